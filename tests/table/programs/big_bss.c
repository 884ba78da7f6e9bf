/* 200 MiB of .bss, all of it used. */
#include <string.h>

#include "sandboxed.h"

static char room[200 << 20];

int main(int argc, char **argv)
{
    (void)argv;
    memset(room, argc, sizeof room);
    return room[argc] == argc ? 0 : 3;
}

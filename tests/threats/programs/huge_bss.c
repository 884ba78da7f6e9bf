/* 1 GiB of .bss, touched unless told to leave it. */
#include "sandboxed.h"

static volatile char room[1UL << 30];

int main(int argc, char **argv)
{
    (void)argv;
    for (unsigned long i = 0; i < sizeof room && argc < 2; i += 4096)
        room[i] = 1;
    return 0;
}

/* 256 GiB of .bss, touched from the front. */
#include "sandboxed.h"

static char room[256UL << 30];

int main(void)
{
    for (unsigned long i = 0; i < sizeof room; i += 4096)
        room[i] = 1;
    return 0;
}

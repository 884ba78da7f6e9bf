/* 1 GiB of address space, of which one page is used: no memory. */
#include <stdio.h>
#include <sys/mman.h>

int main(void)
{
    char *room = mmap(NULL, 1UL << 30, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        return 3;
    room[12345] = 1;
    puts("reserved");
    return 0;
}

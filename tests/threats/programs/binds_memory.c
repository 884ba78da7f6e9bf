/* Leaves a memory policy (mbind(2)) on the file that its input is, and tells which one it found there: of a tmpfs the
 * policy of a shared mapping stays with the file, when nobody has it open any more. */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PREFERRED = 1, MPOL_F_ADDR = 2, PAGE = 4096 };

int main(void)
{
    unsigned long nodes = 1;
    int mode = 0;
    char *map = mmap(NULL, 8 * PAGE, PROT_READ, MAP_SHARED, 0, 0); /* also behind its end */
    if (map == MAP_FAILED || syscall(SYS_get_mempolicy, &mode, NULL, 0UL, map, MPOL_F_ADDR) < 0)
        puts("nothing to see"); /* no file, or a kernel without it */
    else
        printf("found %d\n", mode);
    syscall(SYS_mbind, map, 8UL * PAGE, PREFERRED, &nodes, 8UL, 0);
    return 0;
}

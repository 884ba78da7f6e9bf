/* 30 MiB ten times over, never at once. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

int main(void)
{
    for (int i = 0; i < 10; i++) {
        char *block =
            mmap(NULL, 30 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED)
            return 3;
        memset(block, i, 30 << 20);
        munmap(block, 30 << 20);
    }
    puts("ten times");
    return 0;
}

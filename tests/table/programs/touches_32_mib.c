#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    char *block = malloc(32 << 20);
    if (block == NULL)
        return 3;
    memset(block, 7, 32 << 20);
    __asm__ volatile("" : : "r"(block) : "memory"); /* the compiler may not leave it out */
    printf("%d\n", *(volatile char *)(block + (31 << 20)));
    return 0;
}

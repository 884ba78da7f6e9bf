/* Prints first: what was written before a crash is kept. */
#include <stdio.h>

int main(void)
{
    puts("before");
    fflush(stdout);
    *(volatile int *)8 = 1;
    return 0;
}

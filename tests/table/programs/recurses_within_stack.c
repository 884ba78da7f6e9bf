/* About 40 MiB of stack, below a limit of 64. */
#include <stdio.h>
#include <string.h>

static int descend(int depth)
{
    volatile char frame[4000];
    frame[0] = (char)depth;
    frame[3999] = 1;
    return depth == 0 ? 0 : descend(depth - 1) + frame[3999];
}

int main(void)
{
    printf("%d\n", descend(10000));
    return 0;
}

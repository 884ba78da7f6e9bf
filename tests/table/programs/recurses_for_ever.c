#include "sandboxed.h"

static volatile int for_ever = 1;

static int descend(volatile char *above)
{
    volatile char frame[4000];
    frame[0] = (char)(above[0] + 1);
    return for_ever ? descend(frame) + frame[0] : 0;
}

int main(void)
{
    volatile char start[1] = {0};
    return descend(start) == 0;
}

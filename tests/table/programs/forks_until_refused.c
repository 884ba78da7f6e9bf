#include <stdio.h>
#include <unistd.h>

#include "sandboxed.h"

int main(void)
{
    int made = 0;
    for (; made < 200; made++) {
        pid_t pid = fork();
        if (pid == 0)
            for (;;)
                pause();
        if (pid < 0)
            break;
    }
    printf("%d\n", made);
    return 0;
}

#include <sys/wait.h>
#include <unistd.h>

#include "sandboxed.h"

int main(void)
{
    for (int i = 0; i < 3; i++)
        if (fork() == 0)
            for (volatile unsigned long j = 0;; j++)
                ;
    while (wait(NULL) > 0)
        ;
    return 0;
}

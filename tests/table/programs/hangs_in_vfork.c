/* The main process stays in vfork(2) until its child ends, which it does not. */
#define _GNU_SOURCE
#include <signal.h>
#include <unistd.h>

int main(void)
{
    if (vfork() == 0)
        for (;;)
            pause();
    return 0;
}

/* kill(-1, SIGKILL) reaches every process it may signal but itself; init has to stay. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "sandboxed.h"

int main(void)
{
    kill(-1, SIGKILL);
    for (int sig = 1; sig < 65; sig++)
        kill(1, sig);
    puts("alone");
    return 0;
}

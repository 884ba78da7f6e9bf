/* Asks to be traced, then stops: nobody continues it. */
#include <signal.h>
#include <sys/ptrace.h>
#include <unistd.h>

int main(void)
{
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    kill(getpid(), SIGTRAP);
    kill(getpid(), SIGSTOP);
    return 0;
}

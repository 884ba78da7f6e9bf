#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    kill(getpid(), argc > 1 ? atoi(argv[1]) : SIGKILL);
    return 42; /* a signal that is ignored or blocked would show here */
}

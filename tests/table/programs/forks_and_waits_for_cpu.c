/* Two children burn 0.1 s each and are waited for. */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
    for (int i = 0; i < 2; i++)
        if (fork() == 0) {
            struct timespec now;
            do
                clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
            while (now.tv_nsec < 100000000 && now.tv_sec == 0);
            _exit(0);
        }
    while (wait(NULL) > 0)
        ;
    puts("done");
    return 0;
}

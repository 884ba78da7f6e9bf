#include <stdio.h>
#include <time.h>

int main(void)
{
    struct timespec now;
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    while (now.tv_sec == 0 && now.tv_nsec < 300000000);
    puts("warm");
    return 0;
}

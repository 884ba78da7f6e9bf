#include <stdio.h>
#include <unistd.h>

int main(void)
{
    if (fork() == 0)
        for (;;)
            sleep(3600);
    puts("parent gone");
    return 0;
}

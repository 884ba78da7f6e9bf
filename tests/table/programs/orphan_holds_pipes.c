#include <stdio.h>
#include <unistd.h>

#include "sandboxed.h"

int main(void)
{
    if (fork() == 0)
        for (;;)
            sleep(3600);
    puts("parent gone");
    return 0;
}

/* 17 MiB into one file, limit 16. */
#include <fcntl.h>
#include <unistd.h>

#include "sandboxed.h"

int main(void)
{
    static char block[1 << 20];
    int fd = open("big", O_WRONLY | O_CREAT, 0600);
    for (int i = 0; i < 17; i++)
        if (write(fd, block, sizeof block) != (ssize_t)sizeof block)
            return 27;
    return 0;
}

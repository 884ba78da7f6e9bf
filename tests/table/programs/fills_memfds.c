/* 25 memory files of 8 MiB. Exit 3: refused. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sandboxed.h"

int main(void)
{
    static char block[1 << 20];
    memset(block, 'x', sizeof block);
    for (int i = 0; i < 25; i++) {
        int fd = memfd_create("fill", 0);
        if (fd < 0)
            return 3;
        for (int j = 0; j < 8; j++)
            if (write(fd, block, sizeof block) != (ssize_t)sizeof block)
                return 3;
    }
    return 0;
}

/* Files of 8 MiB in argv[1] until no more fits. Exit 28: ENOSPC or EDQUOT; 3: anything else. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sandboxed.h"

int main(int argc, char **argv)
{
    static char block[1 << 20];
    memset(block, 'x', sizeof block);
    for (int i = 0; i < 64; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/fill-%d", argc > 1 ? argv[1] : "/tmp", i);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (fd < 0)
            return errno == ENOSPC || errno == EDQUOT ? 28 : 3;
        for (int j = 0; j < 8; j++)
            if (write(fd, block, sizeof block) != (ssize_t)sizeof block)
                return errno == ENOSPC || errno == EDQUOT || errno == 0 ? 28 : 3;
        close(fd);
    }
    return 0;
}

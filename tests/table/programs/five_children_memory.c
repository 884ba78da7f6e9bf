/* Five children hold 20 MiB each at the same time. The parent ends with 0 whatever happens to them. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandboxed.h"

int main(void)
{
    int ready[2], go[2];
    char byte = 0;
    if (pipe(ready) != 0 || pipe(go) != 0)
        return 3;
    for (int i = 0; i < 5; i++)
        if (fork() == 0) {
            close(ready[0]);
            close(go[1]);
            char *block = malloc(20 << 20);
            if (block != NULL)
                memset(block, i + 1, 20 << 20);
            if (write(ready[1], &byte, 1) != 1 || read(go[0], &byte, 1) < 0)
                _exit(4);
            _exit(block == NULL);
        }
    close(ready[1]);
    close(go[0]);
    for (int i = 0; i < 5 && read(ready[0], &byte, 1) == 1; i++)
        ;
    close(go[1]);
    while (wait(NULL) > 0)
        ;
    return 0;
}

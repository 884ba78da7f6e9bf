/* 256 MiB, a page at a time. Exit 3: an allocation was refused. */
#include <stdlib.h>
#include <string.h>

#include "sandboxed.h"

int main(void)
{
    for (int i = 0; i < 256; i++) {
        char *block = malloc(1 << 20);
        if (block == NULL)
            return 3;
        memset(block, i + 1, 1 << 20);
    }
    return 0;
}

/* 200 MiB of anonymous shared memory, touched. Exit 3: refused. */
#include <string.h>
#include <sys/mman.h>

#include "sandboxed.h"

int main(void)
{
    size_t size = 200 << 20;
    char *room = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED)
        return 3;
    for (size_t at = 0; at < size; at += 1 << 20)
        memset(room + at, 1, 1 << 20);
    return 0;
}

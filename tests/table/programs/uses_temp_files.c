#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(void)
{
    char path[] = "/tmp/probe-XXXXXX";
    int fd = mkstemp(path);
    FILE *here = fopen("here", "w+");
    if (fd < 0 || here == NULL || write(fd, "abc", 3) != 3 || lseek(fd, 0, SEEK_END) != 3)
        return 3;
    fputs("in the work directory\n", here);
    rewind(here);
    for (int c; (c = fgetc(here)) != EOF;)
        putchar(c);
    return unlink(path) == 0 ? 0 : 4;
}

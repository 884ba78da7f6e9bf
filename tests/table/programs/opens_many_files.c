#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

int main(void)
{
    int opened = 0;
    while (opened < 10000 && open("/dev/null", O_RDONLY) >= 0)
        opened++;
    printf("%d %s\n", opened, errno == EMFILE ? "EMFILE" : "other");
    return 0;
}

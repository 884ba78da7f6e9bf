#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    const char *value = getenv("PROBE");
    printf("[%s]\n", value != NULL ? value : "(none)");
    return 0;
}

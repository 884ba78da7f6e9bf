/* Writes argv[1] bytes to standard output and ends with 0. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    long count = argc > 1 ? atol(argv[1]) : 0;
    for (long i = 0; i < count; i++)
        putchar('a' + (int)(i % 26));
    return 0;
}

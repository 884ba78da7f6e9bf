#include <stdio.h>

int main(void)
{
    fwrite("x\xff\xfey\n", 1, 5, stdout);
    return 0;
}

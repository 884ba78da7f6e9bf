/* One line of 60,000 characters, control bytes 1 to 31 among them (no line feed). */
#include <stdio.h>

int main(void)
{
    for (int i = 0; i < 60000; i++) {
        int c = i % 127 + 1;
        putchar(c == '\n' ? 'n' : c);
    }
    return 0;
}

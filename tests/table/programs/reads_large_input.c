/* Length and a checksum of all of its input. */
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    static unsigned char block[65536];
    uint64_t length = 0, sum = 0;
    for (ssize_t got; (got = read(0, block, sizeof block)) > 0;) {
        for (ssize_t i = 0; i < got; i++)
            sum += block[i];
        length += (uint64_t)got;
    }
    printf("%ju %ju\n", (uintmax_t)length, (uintmax_t)sum);
    return 0;
}

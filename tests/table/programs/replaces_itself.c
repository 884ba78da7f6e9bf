/* exec(2) into a shell, which ends with 5. */
#include <unistd.h>

int main(void)
{
    execl("/bin/sh", "sh", "-c", "exit 5", (char *)NULL);
    return 3;
}

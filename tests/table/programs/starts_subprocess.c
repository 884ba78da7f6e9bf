#include <stdio.h>

int main(void)
{
    char line[64] = "";
    FILE *child = popen("echo from a child", "r");
    if (child == NULL || fgets(line, sizeof line, child) == NULL || pclose(child) != 0)
        return 3;
    printf("%s", line);
    return 0;
}

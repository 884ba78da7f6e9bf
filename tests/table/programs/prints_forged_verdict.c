#define _GNU_SOURCE
#include <stdio.h>
#include <sys/prctl.h>

int main(void)
{
    prctl(PR_SET_NAME, "cjudge-init", 0, 0, 0);
    fputs("{\"status\":\"Accepted\",\"exitStatus\":0,\"time\":1}\n", stdout);
    fputs("timelimit exceeded\nCommand exited with signal 9\n", stderr);
    return 1;
}

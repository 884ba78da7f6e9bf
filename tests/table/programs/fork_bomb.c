#include <unistd.h>

#include "sandboxed.h"

int main(void)
{
    for (;;)
        fork();
}

#include "guest.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <unistd.h>

noreturn void power_off(void)
{
    reboot(RB_POWER_OFF);
    for (;;)
        pause();
}

noreturn void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("guest: ", stderr);
    vfprintf(stderr, format, arguments);
    fputs("\n", stderr);
    va_end(arguments);
    power_off();
}

int main(void)
{
    /* The kernel hands parameters it does not know to pid 1 as environment. */
    const char *cgroup_mode = getenv("guest_cgroup");

    boot_modules("/modules");
    boot_root("/dev/vda");
    boot_network();
    cgroup_mount(cgroup_mode ? cgroup_mode : "none");

    /* What systemd gives a service; the kernel's own hard limit, 4096, is nobody's. */
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_cur = 1024, .rlim_max = 524288});
    agent_serve("/dev/vport0p1");
    power_off();
}

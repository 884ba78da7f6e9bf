/* A terminal of a run.
 *
 * Where we may mount, the pair comes from a devpts of its own that is mounted nowhere: no process of the
 * host and no other run can name it, so its modes let the run's uid open it anew (/proc/self/fd/0). Else
 * the run has our uid, and the host's devpts gives it to us. The default filter keeps programs from
 * typing into it themselves and from loading line disciplines (TIOCSTI, TIOCSETD). */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

enum { OPEN_FLAGS = O_RDWR | O_NOCTTY | O_CLOEXEC };

static int set_option(int context, const char *key, const char *value)
{
    return (int)syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, key, value, 0);
}

/* The new file system lives as long as something of it is open. */
static int open_own_master(void)
{
    auto_fd int context = (int)syscall(SYS_fsopen, "devpts", FSOPEN_CLOEXEC);
    if (context < 0 || set_option(context, "mode", "0666") < 0 ||
        set_option(context, "ptmxmode", "0600") < 0 ||
        syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -1;
    auto_fd int mount =
        (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    return mount < 0 ? -1 : openat(mount, "ptmx", OPEN_FLAGS | O_NONBLOCK);
}

int terminal_open(int *master, int *slave, struct cj_error *err)
{
    auto_fd int own_master = open_own_master();
    if (own_master < 0)
        own_master = open("/dev/ptmx", OPEN_FLAGS | O_NONBLOCK);
    int unlocked = 0;
    if (own_master < 0 || ioctl(own_master, TIOCSPTLCK, &unlocked) < 0)
        return error_errno(err, "failed to open tty");
    int peer = ioctl(own_master, TIOCGPTPEER, OPEN_FLAGS); /* by descriptor: no path to trust */
    if (peer < 0)
        return error_errno(err, "failed to open tty");
    *master = fd_take(&own_master);
    *slave = peer;
    return 0;
}

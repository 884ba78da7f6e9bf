/* What init keeps from run to run on mounts that only it can reach: an empty file and the output pipes,
 * made anew when a program has changed them, and the root of the message queues. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init.h"

static void kept_name(enum init_kept number, char name[static 2])
{
    name[0] = (char)('0' + number);
    name[1] = '\0';
}

int kept_make(enum init_kept number)
{
    char name[2];
    kept_name(number, name);
    if (unlinkat(self.kept_make_dir, name, 0) < 0 && errno != ENOENT)
        return -1;
    int fd;
    if (number == INIT_KEPT_EMPTY) {
        fd = openat(self.kept_make_dir, name, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    } else {
        if (mknodat(self.kept_make_dir, name, S_IFIFO | 0666, 0) < 0)
            return -1;
        fd = openat(self.kept_make_dir, name, O_RDWR | O_CLOEXEC); /* never waits: fifo(7) */
    }
    if (fd < 0)
        return -1;
    if (self.kept[number] >= 0)
        close(self.kept[number]);
    self.kept[number] = fd;
    return 0;
}

/* Named, so that each run's process opens them anew in 1.5 us (5 us through /proc/self/fd): flags,
 * offset, locks and owners of an earlier run stay with its own description. Through a read-only mount,
 * so that a program changes neither mode, owner, times nor attributes, nor writes to what is for
 * reading, whatever its uid; a pipe can be written to all the same. It borrows the directory that /proc is
 * mounted on next: only what is mounted can be copied before Linux 6.15. */
int kept_make_all(void)
{
    if (mount("tmpfs", "proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "nr_inodes=16,mode=755") <
        0)
        return setup_fail("mount the kept files");
    self.kept_make_dir = open("proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    self.kept_dir =
        (int)syscall(SYS_open_tree, AT_FDCWD, "proc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (self.kept_make_dir < 0 || self.kept_dir < 0 ||
        mounts_set_attributes(self.kept_dir, 0, MOUNT_ATTR_RDONLY) < 0 ||
        umount2("proc", MNT_DETACH) < 0)
        return setup_fail("mount the kept files for reading");
    for (enum init_kept number = INIT_KEPT_EMPTY; number < INIT_KEPT_COUNT; number++)
        if (kept_make(number) < 0)
            return setup_fail("make kept file %d", (int)number);
    return 0;
}

/* The message queues of this IPC namespace, seen through a mount that only init holds: mq_overview(7).
 * It borrows the directory that /proc is mounted on next. */
int kept_watch_queues(void)
{
    if (mount("mqueue", "proc", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return 0; /* a kernel without them has none to leave */
    self.mqueue_fd = open("proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat fresh;
    if (self.mqueue_fd < 0 || fstat(self.mqueue_fd, &fresh) < 0 || umount2("proc", MNT_DETACH) < 0)
        return setup_fail("hold the message queues");
    self.mqueue_fresh_size = fresh.st_size;
    return 0;
}

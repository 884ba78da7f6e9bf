/* From the initramfs to a root file system that looks like Debian's after boot. */
#include "guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEVICE_WAIT_MS 20000

int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t written = write(fd, text, strlen(text));
    int saved_errno = errno;
    close(fd);
    errno = saved_errno;
    return written < 0 ? -1 : 0;
}

static void mount_or_die(const char *type, const char *target, unsigned long flags,
                         const char *options)
{
    mkdir(target, 0755);
    if (mount(type, target, type, flags, options) < 0)
        die("mount %s on %s: %s", type, target, strerror(errno));
}

/* The host numbered the files in the order of their dependencies. */
void boot_modules(const char *directory)
{
    struct dirent **entries;
    int count = scandir(directory, &entries, NULL, alphasort);
    if (count < 0)
        die("read %s: %s", directory, strerror(errno));
    for (int i = 0; i < count; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
        int fd = entries[i]->d_name[0] == '.' ? -1 : open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
                die("load %s: %s", path, strerror(errno));
            close(fd);
        }
        free(entries[i]);
    }
    free(entries);
}

static void wait_for(const char *path)
{
    for (int waited_ms = 0; access(path, F_OK) < 0; waited_ms += 10) {
        if (waited_ms > DEVICE_WAIT_MS)
            die("%s did not appear", path);
        usleep(10000);
    }
}

void boot_root(const char *disk)
{
    mount_or_die("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
    wait_for(disk);
    mkdir("/new", 0755);
    if (mount(disk, "/new", "ext4", MS_NOATIME, "") < 0)
        die("mount %s: %s", disk, strerror(errno));

    /* Not pivot_root, which refuses the initramfs; and afterwards the root has a parent mount, so
     * that a sandbox may pivot_root away from it:
     * Documentation/filesystems/ramfs-rootfs-initramfs.rst */
    if (mount("/dev", "/new/dev", NULL, MS_MOVE, NULL) < 0 || chdir("/new") < 0 ||
        mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
        die("switch to %s: %s", disk, strerror(errno));

    mount_or_die("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
    mount_or_die("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
    mount_or_die("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=000");
    mount_or_die("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
    mount_or_die("mqueue", "/dev/mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
    mount_or_die("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755");
    mount_or_die("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777");

    /* As systemd leaves it: a mount namespace that forgets to detach leaks its mounts. */
    if (mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) < 0)
        die("share mounts: %s", strerror(errno));

    /* What udev and systemd-sysctl would do. */
    symlink("/proc/self/fd", "/dev/fd");
    symlink("/proc/self/fd/0", "/dev/stdin");
    symlink("/proc/self/fd/1", "/dev/stdout");
    symlink("/proc/self/fd/2", "/dev/stderr");
    chmod("/dev/fuse", 0666);
    chown("/home/guest", 1000, 1000);
    write_file("/proc/sys/fs/protected_symlinks", "1");
    write_file("/proc/sys/fs/protected_hardlinks", "1");
}

void boot_network(void)
{
    static const char hostname[] = "guest";
    sethostname(hostname, sizeof hostname - 1);

    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        die("bring up lo: %s", strerror(errno));
    close(fd);
}

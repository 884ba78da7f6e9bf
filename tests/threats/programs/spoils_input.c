/* Tries to change the file behind descriptor 0. Prints "NAME worked" for what did. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sandboxed.h"

static void report(const char *name, long result)
{
    printf("%s %s\n", name, result < 0 ? "refused" : "worked");
}

int main(void)
{
    const char *self = "/proc/self/fd/0";
    char thread_self[64];
    snprintf(thread_self, sizeof thread_self, "/proc/%d/fd/0", getpid());
    report("write", write(0, "X", 1));
    report("pwrite", pwrite(0, "X", 1, 0));
    report("ftruncate", ftruncate(0, 0));
    report("truncate", truncate(self, 0));
    report("fchmod", fchmod(0, 0777));
    report("chmod", chmod(self, 0777));
    report("fchown", fchown(0, getuid(), getgid()));
    report("futimens", futimens(0, NULL));
    report("utimensat", utimensat(AT_FDCWD, self, NULL, 0));
    report("fallocate", fallocate(0, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
    report("open:w", open(self, O_WRONLY));
    report("open:rw", open(self, O_RDWR));
    report("open:trunc", open(self, O_RDONLY | O_TRUNC));
    report("open:append", open(thread_self, O_WRONLY | O_APPEND));
    report("dev/stdin", open("/dev/fd/0", O_RDWR));
    report("mmap",
           mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 0, 0) == MAP_FAILED ? -1 : 0);
    void *room = mmap(NULL, 4096, PROT_READ, MAP_SHARED, 0, 0);
    report("mprotect", room == MAP_FAILED ? -1 : mprotect(room, 4096, PROT_READ | PROT_WRITE));
    report("fsetxattr", fsetxattr(0, "user.probe", "x", 1, 0));
    report("setflags", ioctl(0, FS_IOC_SETFLAGS, &(int){0x40}));
    report("seals", fcntl(0, F_ADD_SEALS, 0x10));
    report("lease", fcntl(0, F_SETLEASE, F_WRLCK));
    report("linkat", linkat(AT_FDCWD, self, AT_FDCWD, "/tmp/link", AT_SYMLINK_FOLLOW));
    report("sendfile", sendfile(0, 0, NULL, 10));
    report("directory", openat(0, "..", O_RDONLY));
    return 0;
}

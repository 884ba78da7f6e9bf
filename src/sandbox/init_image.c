/* cjudge-init as a descriptor that execveat(2) takes. */
#include "init_image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/io.h"

extern const char cjudge_init_start[], cjudge_init_end[];

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* Linux 6.3 */
#endif

static int fill(int fd)
{
    return write_full(fd, cjudge_init_start, (size_t)(cjudge_init_end - cjudge_init_start));
}

/* Linux 6.3 wants MFD_EXEC said, older kernels do not know it. */
static int open_memfd(void)
{
    int fd = memfd_create("cjudge-init", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("cjudge-init", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd;
}

/* Whether a descriptor can be executed here: tried, because sysctls, mount options and security modules
 * all have a say. Started as no pid 1, init says so and exits 64. */
static bool executable(int fd)
{
    pid_t pid = vfork();
    if (pid == 0) {
        char *const args[] = {(char[]){"cjudge-init"}, NULL};
        char *const environment[] = {NULL};
        close(STDERR_FILENO);
        syscall(SYS_execveat, fd, "", args, environment, AT_EMPTY_PATH);
        _exit(1);
    }
    int status;
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 64;
}

/* An unlinked file, opened again read-only: a file open for writing cannot be executed. */
static int open_unlinked(const char *directory)
{
    auto_fd int writer = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0700);
    if (writer < 0 || fill(writer) < 0 || fchmod(writer, 0500) < 0)
        return -1;
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", writer);
    return open(link, O_RDONLY | O_CLOEXEC);
}

int init_image_open(int *out, struct cj_error *err)
{
    auto_fd int fd = open_memfd();
    if (fd >= 0 && fill(fd) == 0 && fchmod(fd, 0555) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0 &&
        executable(fd)) {
        *out = fd_take(&fd);
        return 0;
    }
    static const char *const directories[] = {"/run", "/dev/shm", "/var/tmp", "/tmp"};
    for (size_t i = 0; i < COUNT_OF(directories); i++) {
        auto_fd int file = open_unlinked(directories[i]);
        if (file >= 0 && executable(file)) {
            *out = fd_take(&file);
            return 0;
        }
    }
    return error_set(
        err, ERROR_UNSUPPORTED, 0,
        "cjudge-init cannot be executed, neither from memory (sysctl vm.memfd_noexec=1 or "
        "lower would allow it) nor from /run, /dev/shm, /var/tmp or /tmp (mounted noexec?)");
}

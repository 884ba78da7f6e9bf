/* Figures of a run while it goes on, where no control group has them: from /proc and the file systems.
 *
 * Each is a lower bound of what is used: nothing is counted twice, and some things cannot be counted at all
 * (docs/security.md, "Known limits"). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "init.h"

enum { STATUS_SIZE = 4096 };

static uint64_t files_before; /* what copied-in files take is not the run's */

/* Pages of the writable tmpfs and of System V segments, mapped by somebody or not. */
static uint64_t file_bytes(void)
{
    uint64_t pages = 0;
    struct statfs space;
    struct shm_info segments = {0};
    for (unsigned i = 0; i < self.tmpfs_count; i++)
        if (fstatfs(self.tmpfs[i].dir_fd, &space) == 0 && space.f_blocks >= space.f_bfree)
            pages += (uint64_t)(space.f_blocks - space.f_bfree);
    if (shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&segments) >= 0)
        pages += segments.shm_rss;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void look_begin(void)
{
    files_before = file_bytes();
}

uint64_t look_files(void)
{
    uint64_t now = file_bytes();
    return now > files_before ? now - files_before : 0;
}

static bool read_proc(const char *pid, const char *file, char *text, size_t size)
{
    char path[NAME_MAX + 16];
    snprintf(path, sizeof(path), "%s/%s", pid, file);
    int fd = openat(self.proc_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t length = read(fd, text, size - 1);
    close(fd);
    if (length <= 0)
        return false;
    text[length] = '\0';
    return true;
}

/* Adds utime and stime with those of reaped children, and threads: proc_pid_stat(5), fields 14-17 and 20. */
static void add_time(const char *pid, struct init_answer *answer)
{
    char text[1024];
    unsigned long long user, system;
    long long child_user, child_system, threads;
    if (!read_proc(pid, "stat", text, sizeof(text)))
        return;
    const char *after_name = strrchr(text, ')'); /* the name may hold anything */
    if (after_name == NULL ||
        sscanf(after_name + 1,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %lld %lld %*d %*d %lld",
               &user, &system, &child_user, &child_system, &threads) != 5)
        return;
    answer->value += ((long long)(user + system) + child_user + child_system) *
                     (1000000000LL / sysconf(_SC_CLK_TCK));
    answer->tasks += (uint64_t)threads;
}

/* "Name:   123 kB" of proc_pid_status(5). */
static uint64_t status_bytes(const char *status, const char *name)
{
    const char *line = strstr(status, name);
    return line != NULL ? strtoull(line + strlen(name), NULL, 10) * 1024 : 0;
}

struct memory {
    uint64_t private, shared; /* of the process that holds most */
};

/* Cannot be added up, forked processes share it: the largest counts. The name stands first and may hold
 * anything but a newline that is not escaped. Up to its execve(2) a run's process is on init's memory,
 * with all that was sent for it: nothing of that is the run's, and the launcher waits meanwhile. */
static void see_memory(const char *pid, struct memory *most)
{
    char status[STATUS_SIZE];
    if (__atomic_load_n(&self.starting, __ATOMIC_SEQ_CST) != 0 ||
        !read_proc(pid, "status", status, sizeof(status)))
        return;
    struct memory seen = {status_bytes(status, "\nRssAnon:"), status_bytes(status, "\nRssShmem:")};
    if (seen.private + seen.shared > most->private + most->shared)
        *most = seen;
}

/* What one process has mapped of memory that is shared is in a tmpfs, a segment, or neither (memfd, shared
 * anonymous memory): the larger of the two is used for sure. */
void look_around(struct init_answer *answer)
{
    struct memory most = {0};
    int fd = openat(self.proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        answer->error = errno;
        return;
    }
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || strcmp(entry->d_name, "1") == 0)
            continue;
        add_time(entry->d_name, answer);
        see_memory(entry->d_name, &most);
    }
    closedir(dir);
    uint64_t files = look_files();
    answer->memory_bytes = most.private + (most.shared > files ? most.shared : files);
}

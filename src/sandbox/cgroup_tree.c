/* Directories of a cgroup file system. */
#include "cgroup_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/io.h"

enum {
    DEPTH_MAX = 8,
    KILL_BATCH = 256,      /* processes per round */
    LEFTOVERS_MAX = 64,    /* dead instances per clean; the next start finds the others */
    PROCS_TEXT_SIZE = 4096 /* seq_file gives a page at a time */
};

static void nap(void)
{
    struct timespec pause = timespec_from_ns(NS_PER_MS / 2);
    nanosleep(&pause, NULL);
}

static void close_directory(DIR **directory)
{
    if (*directory != NULL)
        closedir(*directory);
}
#define auto_dir __attribute__((cleanup(close_directory)))

static int check_magic(int fd, const char *name, struct cj_error *err)
{
    struct statfs info;
    if (fstatfs(fd, &info) < 0)
        return error_errno(err, "statfs %s", name);
    if ((unsigned long)info.f_type != CGROUP_SUPER_MAGIC &&
        (unsigned long)info.f_type != CGROUP2_SUPER_MAGIC)
        return error_set(err, ERROR_UNSUPPORTED, ENOTSUP, "%s is not on a cgroup file system",
                         name);
    return 0;
}

static bool is_component(const char *name)
{
    return name[0] != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

int tree_open(const char *path, int *out_fd, struct cj_error *err)
{
    auto_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, "open %s", path);
    if (check_magic(fd, path, err) < 0)
        return -1;
    *out_fd = fd_take(&fd);
    return 0;
}

int tree_open_child(int parent_fd, const char *name, int *out_fd, struct cj_error *err)
{
    if (!is_component(name))
        return error_set(err, ERROR_INTERNAL, EINVAL, "'%s' is not the name of a group", name);
    auto_fd int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, "open group %s", name);
    if (check_magic(fd, name, err) < 0)
        return -1;
    *out_fd = fd_take(&fd);
    return 0;
}

int tree_make_child(int parent_fd, const char *name, bool reuse, int *out_fd, struct cj_error *err)
{
    if (!is_component(name))
        return error_set(err, ERROR_INTERNAL, EINVAL, "'%s' is not the name of a group", name);
    bool made = mkdirat(parent_fd, name, 0755) == 0;
    if (!made && !(reuse && errno == EEXIST))
        return error_errno(err, "make group %s", name);
    if (tree_open_child(parent_fd, name, out_fd, err) == 0)
        return 0;
    int saved_errno = errno;
    if (made) /* no descriptor left, perhaps: the caller knows nothing of it, and the next try wants it */
        (void)unlinkat(parent_fd, name, AT_REMOVEDIR);
    errno = saved_errno;
    return -1;
}

int tree_lock(int fd, int64_t deadline_ns, struct cj_error *err)
{
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK || monotonic_ns() >= deadline_ns)
            return error_errno(err, "lock group");
        nap();
    }
    return 0;
}

/* ---- processes ---- */

/* Whole lines of cgroup.procs as numbers, at most `most`. A group inside of our pid namespace lists
 * processes outside of it as 0: those are not ours to name. */
static ssize_t read_pids(int fd, int *pids, size_t most, struct cj_error *err)
{
    auto_fd int procs = openat(fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    if (procs < 0)
        return error_errno(err, "open cgroup.procs");
    char text[PROCS_TEXT_SIZE + 1];
    size_t used = 0, count = 0;
    for (;;) {
        ssize_t got = read(procs, text + used, PROCS_TEXT_SIZE - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(err, "read cgroup.procs");
        if (got == 0)
            return (ssize_t)count;
        used += (size_t)got;
        text[used] = '\0';
        char *line = text;
        for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
            if (count == most)
                return (ssize_t)count;
            pids[count++] = (int)strtol(line, NULL, 10);
        }
        used -= (size_t)(line - text);
        memmove(text, line, used);
    }
}

int tree_each_pid(int fd, tree_pid_use *use, void *context, struct cj_error *err)
{
    int pids[KILL_BATCH];
    ssize_t count = read_pids(fd, pids, COUNT_OF(pids), err);
    for (ssize_t i = 0; i < count; i++)
        if (use(pids[i], context, err) != 0)
            return -1;
    return (int)count;
}

static bool listed(const int *pids, ssize_t count, int pid)
{
    for (ssize_t i = 0; i < count; i++)
        if (pids[i] == pid)
            return true;
    return false;
}

/* A number that was listed may belong to somebody else by the time it is killed. So: 1. list, 2. pin
 * each process by a pidfd, 3. list again: a pinned process that is still in the list, and still
 * pinned (it would give ESRCH), is the one that was listed. */
static ssize_t kill_round(int fd, struct cj_error *err)
{
    int pids[KILL_BATCH], again[KILL_BATCH], pidfds[KILL_BATCH];
    ssize_t count = read_pids(fd, pids, COUNT_OF(pids), err);
    bool old_kernel = false; /* no pidfds before Linux 5.3 */
    for (ssize_t i = 0; i < count; i++) {
        pidfds[i] = pids[i] > 1 ? (int)syscall(SYS_pidfd_open, pids[i], 0) : -1;
        old_kernel |= pids[i] > 1 && pidfds[i] < 0 && errno == ENOSYS;
    }
    ssize_t still = count > 0 ? read_pids(fd, again, COUNT_OF(again), err) : count;
    for (ssize_t i = 0; i < count; i++) {
        bool ours = pids[i] > 1 && pids[i] != getpid() && listed(again, still, pids[i]);
        if (ours && pidfds[i] >= 0)
            syscall(SYS_pidfd_send_signal, pidfds[i], SIGKILL, NULL, 0);
        else if (ours && old_kernel)
            kill(pids[i], SIGKILL);
        fd_close(&pidfds[i]);
    }
    return still < 0 ? -1 : count;
}

static bool next_child(DIR *directory, char name[static TREE_NAME_SIZE])
{
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (entry->d_type != DT_DIR || !is_component(entry->d_name) ||
            strlen(entry->d_name) >= TREE_NAME_SIZE)
            continue;
        memcpy(name, entry->d_name, strlen(entry->d_name) + 1);
        return true;
    }
    return false;
}

static DIR *list_directory(int fd, struct cj_error *err)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = copy >= 0 ? fdopendir(copy) : NULL;
    if (directory == NULL) {
        error_errno(err, "list group");
        fd_close(&copy);
    }
    return directory;
}

/* One round over the group and all below. Returns the number of processes seen. */
static ssize_t kill_below(int fd, int depth, struct cj_error *err)
{
    ssize_t seen = kill_round(fd, err);
    if (seen < 0 || depth >= DEPTH_MAX)
        return seen;
    auto_dir DIR *directory = list_directory(fd, err);
    if (directory == NULL)
        return -1;
    char name[TREE_NAME_SIZE];
    while (next_child(directory, name)) {
        auto_fd int child = -1;
        if (tree_open_child(fd, name, &child, err) < 0)
            continue; /* gone meanwhile */
        ssize_t below = kill_below(child, depth + 1, err);
        if (below > 0)
            seen += below;
    }
    return seen;
}

int tree_kill(int fd, int64_t deadline_ns, struct cj_error *err)
{
    /* v2, Linux 5.14: the kernel kills the whole subtree, forks included, and the rounds below only
     * wait for it. Elsewhere they do the work. */
    auto_fd int kill_fd = openat(fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    if (kill_fd >= 0 && write(kill_fd, "1", 1) < 0 && errno == EINTR)
        fd_close(&kill_fd);
    for (;;) {
        ssize_t seen = kill_below(fd, 0, err);
        if (seen <= 0)
            return (int)seen;
        if (monotonic_ns() >= deadline_ns)
            return error_set(err, ERROR_SYSTEM, ETIMEDOUT,
                             "%zd processes of the group do not die (in uninterruptible sleep?)",
                             seen);
        nap();
    }
}

/* ---- removal ---- */

int tree_rmdir(int parent_fd, const char *name, int64_t deadline_ns, struct cj_error *err)
{
    if (!is_component(name))
        return error_set(err, ERROR_INTERNAL, EINVAL, "'%s' is not the name of a group", name);
    while (unlinkat(parent_fd, name, AT_REMOVEDIR) < 0) {
        if (errno == ENOENT)
            return 0;
        if (errno != EBUSY && errno != EINTR)
            return error_errno(err, "remove group %s", name);
        if (monotonic_ns() >= deadline_ns)
            return error_errno(err, "remove group %s: a process or a group is still inside", name);
        nap();
    }
    return 0;
}

/* What page cache is charged to a removed group keeps it alive inside the kernel (/proc/cgroups counts
 * it), so that is reclaimed before. Failing is fine: less could be had than was asked for. */
static void reclaim_cache(int fd)
{
    static const struct {
        const char *usage, *reclaim;
    } names[] = {{"memory.usage_in_bytes", "memory.force_empty"}, /* v1 */
                 {"memory.current", "memory.reclaim"}};           /* v2, Linux 5.19 */
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char usage[32];
        if (read_file_at(fd, names[i].usage, usage, sizeof(usage)) > 0 && strcmp(usage, "0") != 0 &&
            write_file_at(fd, names[i].reclaim, usage, NULL) == 0)
            return;
    }
}

static int remove_below(int fd, int depth, int64_t deadline_ns, struct cj_error *err)
{
    auto_dir DIR *directory = list_directory(fd, err);
    if (directory == NULL)
        return -1;
    char name[TREE_NAME_SIZE];
    while (next_child(directory, name)) {
        auto_fd int child = -1;
        if (tree_open_child(fd, name, &child, err) < 0) {
            if (errno == ENOENT)
                continue;
            return -1;
        }
        if (depth < DEPTH_MAX && remove_below(child, depth + 1, deadline_ns, err) < 0)
            return -1;
        reclaim_cache(child);
        if (tree_rmdir(fd, name, deadline_ns, err) < 0)
            return -1;
    }
    return 0;
}

int tree_remove(int parent_fd, const char *name, int64_t deadline_ns, struct cj_error *err)
{
    auto_fd int fd = -1;
    if (tree_open_child(parent_fd, name, &fd, err) < 0)
        return errno == ENOENT ? 0 : -1;
    if (remove_below(fd, 0, deadline_ns, err) < 0)
        return -1;
    return tree_rmdir(parent_fd, name, deadline_ns, err);
}

/* ---- leftovers ---- */

bool tree_is_instance_name(const char *name)
{
    static const char *const parts[] = {"0123456789", "0123456789", "0123456789abcdef"};
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        size_t length = strspn(name, parts[i]);
        if (length == 0 || name[length] != (i + 1 < COUNT_OF(parts) ? '-' : '\0'))
            return false;
        name += length + 1;
    }
    return true;
}

struct leftover {
    char name[TREE_NAME_SIZE];
    int fd;
};

/* Dead instances: their lock can be had. They are ours to clean while we hold it. */
static size_t find_leftovers(int prefix_fd, struct leftover found[static LEFTOVERS_MAX])
{
    auto_dir DIR *directory = list_directory(prefix_fd, NULL);
    size_t count = 0;
    char name[TREE_NAME_SIZE];
    while (directory != NULL && count < LEFTOVERS_MAX && next_child(directory, name)) {
        auto_fd int fd = -1;
        if (!tree_is_instance_name(name) || tree_open_child(prefix_fd, name, &fd, NULL) < 0 ||
            flock(fd, LOCK_EX | LOCK_NB) < 0)
            continue;
        memcpy(found[count].name, name, sizeof(name));
        found[count++].fd = fd_take(&fd);
    }
    return count;
}

int tree_clean_leftovers(int prefix_fd, int64_t deadline_ns)
{
    struct leftover found[LEFTOVERS_MAX];
    int failed = 0;
    /* The prefix is locked while an instance is made (mkdir, then lock), so that no new one is taken
     * for a dead one; not while the dead are cleaned, so that a start never waits for that. */
    if (tree_lock(prefix_fd, deadline_ns, NULL) < 0)
        return 0;
    size_t count = find_leftovers(prefix_fd, found);
    flock(prefix_fd, LOCK_UN);
    for (size_t i = 0; i < count; i++) {
        if (tree_kill(found[i].fd, deadline_ns, NULL) < 0 ||
            tree_remove(prefix_fd, found[i].name, deadline_ns, NULL) < 0)
            failed++;
        close(found[i].fd);
    }
    return failed;
}

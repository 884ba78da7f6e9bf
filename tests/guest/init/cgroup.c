/* The cgroup file systems of the guest, as the test asked for them.
 *
 *   v2-nsdelegate  cgroup2 on /sys/fs/cgroup with the options systemd mounts it with
 *   v2             cgroup2 on /sys/fs/cgroup without nsdelegate
 *   hybrid         v1 controllers in directories of a tmpfs, and an empty cgroup2 in `unified`
 *   v1             the same without `unified`
 *   none           nothing is mounted */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define CGROUP_ROOT  "/sys/fs/cgroup"
#define CGROUP_FLAGS (MS_NOSUID | MS_NODEV | MS_NOEXEC)

/* The v1 mounts of systemd's hybrid layout, those the sandbox has a use for. */
static const char *const v1_controllers[] = {
    "cpu,cpuacct", "cpuset", "memory", "pids", "devices", "freezer", "blkio",
};
#define V1_COUNT (sizeof v1_controllers / sizeof v1_controllers[0])

/* Mount points of the hierarchies a command can be put into. */
static char hierarchies[V1_COUNT + 1][64];
static size_t hierarchy_count;
static bool is_v2;

static void mount_hierarchy(const char *type, const char *directory, const char *options)
{
    char *point = hierarchies[hierarchy_count++];
    snprintf(point, sizeof hierarchies[0], CGROUP_ROOT "%s%s", *directory ? "/" : "", directory);
    mkdir(point, 0755);
    if (mount(type, point, type, CGROUP_FLAGS, options) < 0)
        die("mount %s %s: %s", type, options, strerror(errno));
}

/* Switches on, for the children of `directory`, each controller it has. Best effort: a cgroup
 * with processes of its own refuses (cgroup-v2.rst, "No Internal Process Constraint"). */
static void enable_controllers(const char *directory)
{
    char path[PATH_MAX], names[512] = "";
    snprintf(path, sizeof path, "%s/cgroup.controllers", directory);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, names, sizeof names - 1) < 0)
        die("read %s: %s", path, strerror(errno));
    close(fd);

    snprintf(path, sizeof path, "%s/cgroup.subtree_control", directory);
    char *rest = names;
    for (char *name; (name = strsep(&rest, " \n"));) {
        char text[64];
        snprintf(text, sizeof text, "+%s", name);
        if (*name)
            write_file(path, text);
    }
}

static void mount_v1(void)
{
    if (mount("tmpfs", CGROUP_ROOT, "tmpfs", CGROUP_FLAGS, "mode=755") < 0)
        die("mount tmpfs: %s", strerror(errno));
    for (size_t i = 0; i < V1_COUNT; i++)
        mount_hierarchy("cgroup", v1_controllers[i], v1_controllers[i]);
    /* A new v1 cpuset has no CPUs and takes no process unless it copies its parent's. */
    write_file(CGROUP_ROOT "/cpuset/cgroup.clone_children", "1");
    symlink("cpu,cpuacct", CGROUP_ROOT "/cpu");
    symlink("cpu,cpuacct", CGROUP_ROOT "/cpuacct");
}

void cgroup_mount(const char *mode)
{
    if (strcmp(mode, "v2-nsdelegate") == 0 || strcmp(mode, "v2") == 0) {
        is_v2 = true;
        mount_hierarchy("cgroup2", "",
                        strcmp(mode, "v2") == 0 ? "memory_recursiveprot"
                                                : "nsdelegate,memory_recursiveprot");
        enable_controllers(CGROUP_ROOT);
    } else if (strcmp(mode, "hybrid") == 0) {
        mount_v1();
        mount_hierarchy("cgroup2", "unified", "nsdelegate");
    } else if (strcmp(mode, "v1") == 0) {
        mount_v1();
    } else if (strcmp(mode, "none") != 0) {
        die("unknown cgroup mode %s", mode);
    }
}

/* The files systemd gives to the user of a delegated unit. */
static void delegate(const char *directory, uid_t uid, gid_t gid)
{
    static const char *const files[] = {
        "", "/cgroup.procs", "/cgroup.threads", "/cgroup.subtree_control", "/tasks",
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s%s", directory, files[i]);
        if (chown(path, uid, gid) < 0 && errno != ENOENT)
            die("chown %s: %s", path, strerror(errno));
    }
}

static int remove_directory(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info, (void)where;
    if (type == FTW_DP)
        rmdir(path);
    return 0;
}

/* What an earlier command left in a delegated v2 cgroup would keep the next one out, which has to
 * stand in it; systemd removes it as well. Left alone while anybody is inside. */
static void remove_if_empty(const char *directory)
{
    char path[PATH_MAX], events[256] = "";
    snprintf(path, sizeof path, "%s/cgroup.events", directory);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t length = read(fd, events, sizeof events - 1);
    close(fd);
    if (length > 0 && strstr(events, "populated 0"))
        nftw(directory, remove_directory, 16, FTW_DEPTH | FTW_PHYS);
}

static int enter_below(const char *root, const char *path, uid_t uid, gid_t gid,
                       const char **failed)
{
    static char at[512]; /* *failed points here */
    size_t length = (size_t)snprintf(at, sizeof at, "%s", root);
    *failed = at;

    char copy[256], *rest = copy;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *part; (part = strsep(&rest, "/"));) {
        if (!*part)
            continue;
        if (is_v2)
            enable_controllers(at);
        length += (size_t)snprintf(at + length, sizeof at - length, "/%s", part);
        if (length >= sizeof at)
            return errno = ENAMETOOLONG, -1;
        if (is_v2)
            remove_if_empty(at);
        if (mkdir(at, 0755) < 0 && errno != EEXIST)
            return -1;
    }
    if (uid != 0)
        delegate(at, uid, gid);
    snprintf(at + length, sizeof at - length, "/cgroup.procs");
    return write_file(at, "0");
}

int cgroup_enter(const char *path, uid_t uid, gid_t gid, const char **failed)
{
    if (hierarchy_count == 0) {
        *failed = CGROUP_ROOT;
        return errno = ENOENT, -1;
    }
    for (size_t i = 0; i < hierarchy_count; i++)
        if (enter_below(hierarchies[i], path, uid, gid, failed) < 0)
            return -1;
    return 0;
}

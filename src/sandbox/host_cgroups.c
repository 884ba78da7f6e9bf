/* Which cgroup hierarchies are mounted, and where this process stands in them. Read only. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/io.h"
#include "sandbox/host_facts.h"

enum { TEXT_MAX = 4 << 20, PATH_SIZE = 512 };

/* By bit number of enum cgroup_controller. */
static const char *const controller_names[] = {"cpu", "cpuacct", "cpuset", "memory", "pids"};
enum { CONTROLLERS = COUNT_OF(controller_names), MEMORY_BIT = 3, CPU_BIT = 0, PIDS_BIT = 4 };

const char *host_controllers_text(unsigned controllers, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < CONTROLLERS; i++) {
        if ((controllers >> i & 1) == 0)
            continue;
        int length =
            snprintf(text + used, size - used, "%s%s", used > 0 ? "," : "", controller_names[i]);
        if (length < 0 || (size_t)length >= size - used)
            break;
        used += (size_t)length;
    }
    return text;
}

/* Words of a list (blanks or commas between them) as bits. */
static unsigned parse_controllers(const char *text)
{
    unsigned found = 0;
    while (*text != '\0') {
        size_t length = strcspn(text, " ,\n");
        for (unsigned i = 0; i < CONTROLLERS; i++)
            if (strlen(controller_names[i]) == length &&
                strncmp(text, controller_names[i], length) == 0)
                found |= 1u << i;
        text += length + (text[length] != '\0');
    }
    return found;
}

/* What of the hierarchy its mount shows: "/" or, in a container, the container's group. */
struct mount_roots {
    char unified[256];
    char v1[CONTROLLERS][256];
};

static void add_v1(const struct host_mount_line *line, struct host_cgroups *out,
                   struct mount_roots *roots)
{
    unsigned bits = parse_controllers(line->super);
    for (unsigned i = 0; i < CONTROLLERS; i++) {
        if ((bits >> i & 1) == 0)
            continue;
        snprintf(out->v1_mounts[i], sizeof(out->v1_mounts[i]), "%s", line->target);
        snprintf(roots->v1[i], sizeof(roots->v1[i]), "%s", line->root);
    }
    out->available |= bits;
    if ((bits & CGROUP_MEMORY) != 0)
        out->read_only = host_has_option(line->options, "ro");
}

static void add_unified(const struct host_mount_line *line, struct host_cgroups *out,
                        struct mount_roots *roots)
{
    snprintf(out->unified_mount, sizeof(out->unified_mount), "%s", line->target);
    snprintf(roots->unified, sizeof(roots->unified), "%s", line->root);
    out->nsdelegate = host_has_option(line->super, "nsdelegate");
    out->memory_recursiveprot = host_has_option(line->super, "memory_recursiveprot");
}

static void read_hierarchies(int root_fd, struct host_cgroups *out, struct mount_roots *roots)
{
    char *text = NULL;
    size_t size = 0;
    if (read_file_alloc(root_fd, "proc/self/mountinfo", TEXT_MAX, &text, &size, NULL) < 0)
        return;
    auto_free char *owned = text;
    bool unified_read_only = false;
    struct host_mount_line line;
    while (host_mount_next(&text, &line)) {
        if (strcmp(line.type, "cgroup") == 0)
            add_v1(&line, out, roots);
        if (strcmp(line.type, "cgroup2") == 0) {
            add_unified(&line, out, roots);
            unified_read_only = host_has_option(line.options, "ro");
        }
    }
    (void)owned;
    if (out->available != 0) {
        out->kind = CGROUP_V1;
        out->hybrid = out->unified_mount[0] != '\0';
        out->enabled = out->available;
    } else if (out->unified_mount[0] != '\0') {
        out->kind = CGROUP_V2;
        out->read_only = unified_read_only;
    }
}

/* The path below the mount: in a container without a cgroup namespace the kernel tells the path
 * from the host's root, and the mount begins at the container's group. */
static void keep_path(char *out, size_t size, const char *path, const char *mount_root)
{
    size_t length = strlen(mount_root);
    if (length > 1 && strncmp(path, mount_root, length) == 0 &&
        (path[length] == '/' || path[length] == '\0'))
        path += length;
    snprintf(out, size, "%s", path[0] == '\0' ? "/" : path);
}

/* Lines "5:memory:/a/b", "0::/a/b" (cgroups(7)). */
static void read_paths(int root_fd, const struct mount_roots *roots, struct host_cgroups *out)
{
    char text[8192];
    if (read_file_at(root_fd, "proc/self/cgroup", text, sizeof(text)) < 0)
        return;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        char *names = strchr(line, ':');
        char *path = names == NULL ? NULL : strchr(names + 1, ':');
        if (path == NULL)
            continue;
        *path++ = '\0';
        names++;
        if (names[0] == '\0')
            keep_path(out->path, sizeof(out->path), path, roots->unified);
        else if ((parse_controllers(names) & CGROUP_MEMORY) != 0)
            keep_path(out->memory_path, sizeof(out->memory_path), path, roots->v1[MEMORY_BIT]);
    }
    const char *own = out->kind == CGROUP_V1 ? out->memory_path : out->path;
    out->at_root = strcmp(own, "/") == 0;
}

/* A file of this process's own group in the hierarchy at mount, as a path below root_fd. */
static const char *own_file(char *out, const char *mount, const char *path, const char *file)
{
    snprintf(out, PATH_SIZE, "%s%s/%s", mount + (mount[0] == '/'),
             strcmp(path, "/") == 0 ? "" : path, file);
    return out;
}

static void read_limits_v2(int root_fd, struct host_cgroups *out)
{
    char path[PATH_SIZE];
    const char *mount = out->unified_mount;
    out->memory_limit_bytes =
        host_read_number(root_fd, own_file(path, mount, out->path, "memory.max"));
    out->processes_limit = host_read_number(root_fd, own_file(path, mount, out->path, "pids.max"));
    host_read_line(root_fd, own_file(path, mount, out->path, "cpu.max"), out->cpu_limit,
                   sizeof(out->cpu_limit));
    if (strncmp(out->cpu_limit, "max", 3) == 0)
        out->cpu_limit[0] = '\0';
}

static void read_limits_v1(int root_fd, struct host_cgroups *out)
{
    char path[PATH_SIZE];
    const char *mount = out->v1_mounts[MEMORY_BIT];
    if (mount[0] == '\0')
        return;
    int64_t limit =
        host_read_number(root_fd, own_file(path, mount, out->memory_path, "memory.limit_in_bytes"));
    /* "No limit" is the largest multiple of a page. */
    out->memory_limit_bytes = limit >= INT64_MAX / 2 ? HOST_UNKNOWN : limit;
    /* A container sees its own group at the mount's root, in every controller. */
    if (!out->at_root)
        return;
    out->processes_limit =
        host_read_number(root_fd, own_file(path, out->v1_mounts[PIDS_BIT], "/", "pids.max"));
    mount = out->v1_mounts[CPU_BIT];
    int64_t quota = host_read_number(root_fd, own_file(path, mount, "/", "cpu.cfs_quota_us"));
    int64_t period = host_read_number(root_fd, own_file(path, mount, "/", "cpu.cfs_period_us"));
    if (quota > 0 && period > 0)
        snprintf(out->cpu_limit, sizeof(out->cpu_limit), "%" PRId64 " %" PRId64, quota, period);
}

void host_cgroups_read(int root_fd, struct host_cgroups *out)
{
    memset(out, 0, sizeof(*out));
    out->memory_limit_bytes = out->processes_limit = HOST_UNKNOWN;
    struct mount_roots roots = {.unified = ""};
    read_hierarchies(root_fd, out, &roots);
    read_paths(root_fd, &roots, out);
    if (out->kind == CGROUP_V2) {
        char path[PATH_SIZE], text[512];
        host_read_line(root_fd, own_file(path, out->unified_mount, "/", "cgroup.controllers"), text,
                       sizeof(text));
        /* CPU time of a group needs no controller on v2 (cpu.stat, Linux 4.18). */
        out->available = parse_controllers(text) | CGROUP_CPUACCT;
        host_read_line(root_fd, own_file(path, out->unified_mount, "/", "cgroup.subtree_control"),
                       text, sizeof(text));
        out->enabled = parse_controllers(text) | CGROUP_CPUACCT;
        read_limits_v2(root_fd, out);
    } else if (out->kind == CGROUP_V1) {
        read_limits_v1(root_fd, out);
    }
}

/* Which control groups could be made for runs: by making one and looking at its files. And the pure
 * summary of all tries, host_ability(). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/io.h"
#include "sandbox/host_try.h"

enum { PATH_SIZE = 512, NEEDED = CGROUP_MEMORY | CGROUP_PIDS };

static bool kernel_at_least(const struct host_facts *facts, int major, int minor)
{
    int have_major = 0, have_minor = 0;
    if (sscanf(facts->identity.release, "%d.%d", &have_major, &have_minor) != 2)
        return false;
    return have_major > major || (have_major == major && have_minor >= minor);
}

/* Below root_fd, so without the leading '/'. */
static void join(char *out, const char *mount, const char *path, const char *name)
{
    snprintf(out, PATH_SIZE, "%s%s%s%s", mount + (mount[0] == '/'),
             strcmp(path, "/") == 0 ? "" : path, name[0] == '\0' ? "" : "/", name);
}

static enum fact has_file(int dir_fd, const char *name)
{
    return fact_of(faccessat(dir_fd, name, F_OK, 0) == 0);
}

static unsigned list_controllers(int dir_fd, const char *file)
{
    static const struct {
        const char *name;
        unsigned bit;
    } known[] = {{"cpu", CGROUP_CPU},
                 {"cpuset", CGROUP_CPUSET},
                 {"memory", CGROUP_MEMORY},
                 {"pids", CGROUP_PIDS}};
    char text[512];
    unsigned found = 0;
    char *save = NULL;
    if (read_file_at(dir_fd, file, text, sizeof(text)) < 0)
        return 0;
    for (char *word = strtok_r(text, " \n", &save); word != NULL;
         word = strtok_r(NULL, " \n", &save))
        for (size_t i = 0; i < COUNT_OF(known); i++)
            if (strcmp(word, known[i].name) == 0)
                found |= known[i].bit;
    return found;
}

/* Makes a directory that nobody else has below path. Returns its descriptor, or -1 with errno set.
 */
static int make_group(int root_fd, const char *path, char *group)
{
    snprintf(group, PATH_SIZE, "%.*s/cjudge-doctor-%d", PATH_SIZE - 32, path, (int)getpid());
    if (mkdirat(root_fd, group, 0755) < 0)
        return -1;
    int fd = openat(root_fd, group, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        int code = errno;
        unlinkat(root_fd, group, AT_REMOVEDIR);
        errno = code;
    }
    return fd;
}

static void note_mkdir(struct host_cgroup_try *out, const char *path, bool made)
{
    out->mkdir = (struct host_try){.works = fact_of(made), .error = made ? 0 : errno};
    snprintf(out->path, sizeof(out->path), "/%.*s", (int)sizeof(out->path) - 2, path);
}

static void note_kernel_memory(const struct host_facts *facts, struct host_cgroup_try *out)
{
    const char *option = strstr(facts->resources.kernel_command_line, "cgroup.memory=");
    size_t length = option == NULL ? 0 : strcspn(option, " ");
    const char *word = option == NULL ? NULL : strstr(option, "nokmem");
    out->kernel_memory = fact_of(word == NULL || word >= option + length);
}

/* ---- v2 ---- */

/* "No internal processes" (cgroups(7)): a group below the root gives controllers to its children
 * only while no process is in it. This process can move itself away; others it cannot. */
static int64_t count_others(int dir_fd)
{
    auto_free char *text = NULL;
    size_t size = 0;
    int64_t others = 0;
    if (read_file_alloc(dir_fd, "cgroup.procs", 4 << 20, &text, &size, NULL) < 0)
        return 0;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
        others += strtol(line, NULL, 10) != (long)getpid();
    return others;
}

/* What a group of runs below path (already made as group_fd) can have. */
static void look_v2(int parent_fd, int group_fd, const struct host_facts *facts,
                    struct host_cgroup_try *out)
{
    unsigned enabled = list_controllers(group_fd, "cgroup.controllers");
    unsigned offered = list_controllers(parent_fd, "cgroup.controllers");
    bool root = has_file(parent_fd, "cgroup.type") == FACT_NO;
    bool writable = faccessat(parent_fd, "cgroup.subtree_control", W_OK, AT_EACCESS) == 0;
    out->other_processes = root || (enabled & NEEDED) == NEEDED ? 0 : count_others(parent_fd);
    out->usable = enabled | CGROUP_CPUACCT;
    if (writable && out->other_processes == 0)
        out->usable |= offered;
    out->kill = has_file(group_fd, "cgroup.kill");
    if ((enabled & CGROUP_MEMORY) != 0) {
        out->memory_peak = has_file(group_fd, "memory.peak");
        out->swap_limit = has_file(group_fd, "memory.swap.max");
    } else { /* the files come with the controller */
        out->memory_peak = fact_of(kernel_at_least(facts, 5, 19));
        out->swap_limit = FACT_UNKNOWN;
    }
    out->pids_peak = (enabled & CGROUP_PIDS) != 0 ? has_file(group_fd, "pids.peak")
                                                  : fact_of(kernel_at_least(facts, 6, 1));
}

static void try_v2_at(int root_fd, const char *path, const struct host_facts *facts,
                      struct host_cgroup_try *out)
{
    char group[PATH_SIZE];
    auto_fd int group_fd = make_group(root_fd, path, group);
    note_mkdir(out, path, group_fd >= 0);
    if (group_fd < 0)
        return;
    auto_fd int parent_fd = openat(root_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (parent_fd >= 0)
        look_v2(parent_fd, group_fd, facts, out);
    unlinkat(root_fd, group, AT_REMOVEDIR);
}

/* In the root of what is seen (root does), or in our own group (a delegated subtree). */
static void try_v2(int root_fd, const struct host_facts *facts, struct host_cgroup_try *out)
{
    const struct host_cgroups *seen = &facts->cgroups;
    char path[PATH_SIZE];
    join(path, seen->unified_mount, "/", "");
    try_v2_at(root_fd, path, facts, out);
    if ((out->usable & NEEDED) == NEEDED || seen->path[0] == '\0' || strcmp(seen->path, "/") == 0)
        return;
    struct host_cgroup_try own = {.usable = 0};
    join(path, seen->unified_mount, seen->path, "");
    try_v2_at(root_fd, path, facts, &own);
    if (out->mkdir.works != FACT_YES || (own.usable & NEEDED) == NEEDED)
        *out = own;
}

/* ---- v1 ---- */

static void look_v1(int group_fd, unsigned controller, struct host_cgroup_try *out)
{
    if (controller == CGROUP_MEMORY) {
        out->memory_peak = has_file(group_fd, "memory.max_usage_in_bytes");
        out->swap_limit = has_file(group_fd, "memory.memsw.limit_in_bytes");
    }
    if (controller == CGROUP_PIDS)
        out->pids_peak = has_file(group_fd, "pids.peak"); /* Linux 6.11 */
}

static void try_v1(int root_fd, const struct host_facts *facts, struct host_cgroup_try *out)
{
    const struct host_cgroups *seen = &facts->cgroups;
    for (unsigned bit = 0; bit < COUNT_OF(seen->v1_mounts); bit++) {
        unsigned controller = 1u << bit;
        char path[PATH_SIZE], group[PATH_SIZE];
        if (seen->v1_mounts[bit][0] == '\0')
            continue;
        join(path, seen->v1_mounts[bit], "/", "");
        auto_fd int group_fd = make_group(root_fd, path, group);
        if (controller == CGROUP_MEMORY)
            note_mkdir(out, path, group_fd >= 0);
        if (group_fd < 0)
            continue;
        out->usable |= controller;
        look_v1(group_fd, controller, out);
        unlinkat(root_fd, group, AT_REMOVEDIR);
    }
    /* cgroup.kill lies in the unified tree beside the controllers. */
    if (seen->hybrid) {
        char path[PATH_SIZE], group[PATH_SIZE];
        join(path, seen->unified_mount, "/", "");
        auto_fd int group_fd = make_group(root_fd, path, group);
        if (group_fd >= 0) {
            out->kill = has_file(group_fd, "cgroup.kill");
            unlinkat(root_fd, group, AT_REMOVEDIR);
        }
    }
}

void host_cgroup_try(int root_fd, const struct host_facts *facts, struct host_cgroup_try *out)
{
    memset(out, 0, sizeof(*out));
    if (facts->cgroups.kind == CGROUP_V2)
        try_v2(root_fd, facts, out);
    else if (facts->cgroups.kind == CGROUP_V1)
        try_v1(root_fd, facts, out);
    note_kernel_memory(facts, out);
}

/* ---- the summary ---- */

static bool works(const struct host_tries *tries, unsigned step)
{
    return tries->steps[step].works == FACT_YES;
}

static void ability_but_cgroups(const struct host_tries *tries, struct protection_ability *out)
{
    memset(out, 0, sizeof(*out));
    out->user_namespace = works(tries, TRY_ID_MAP);
    out->namespaces = works(tries, TRY_ALL_NAMESPACES);
    out->cgroup_namespace = works(tries, TRY_NAMESPACE + HOST_NS_CGROUP);
    out->mounts = works(tries, TRY_MOUNT_TMPFS) && works(tries, TRY_MOUNT_BIND) &&
                  works(tries, TRY_PIVOT_ROOT);
    out->proc = works(tries, TRY_MOUNT_PROC);
    out->kernel_calls = works(tries, TRY_KERNEL_CALLS);
    out->own_uid = works(tries, TRY_OWN_UID);
    out->seccomp = works(tries, TRY_SECCOMP);
    out->landlock = works(tries, TRY_LANDLOCK);
}

void host_ability(const struct host_facts *facts, const struct host_tries *tries,
                  struct protection_ability *out)
{
    const struct host_cgroup_try *group = &tries->cgroup;
    ability_but_cgroups(tries, out);
    out->cgroup_memory = (group->usable & CGROUP_MEMORY) != 0;
    out->cgroup_pids = (group->usable & CGROUP_PIDS) != 0;
    out->cgroup_cpu = (group->usable & CGROUP_CPUACCT) != 0;
    out->memory_peak = group->memory_peak == FACT_YES;
    out->process_peak = group->pids_peak == FACT_YES;
    out->swap_limited = group->swap_limit == FACT_YES || facts->resources.swap_bytes == 0;
    out->kernel_memory = group->kernel_memory == FACT_YES;
}

void host_ability_with_cgroups(const struct host_facts *facts, const struct host_tries *tries,
                               const struct cgroup_facts *cgroups, struct protection_ability *out)
{
    ability_but_cgroups(tries, out);
    out->cgroup_memory = (cgroups->controllers & CGROUP_MEMORY) != 0;
    out->cgroup_pids = (cgroups->controllers & CGROUP_PIDS) != 0;
    out->cgroup_cpu = (cgroups->controllers & CGROUP_CPUACCT) != 0;
    out->memory_peak = cgroups->has_memory_peak;
    out->process_peak = cgroups->has_pids_peak;
    out->swap_limited = cgroups->limits_swap || facts->resources.swap_bytes == 0;
    out->kernel_memory = cgroups->limits_kernel_memory;
}

/* cgroup v2: one tree; programs are cloned into a group of their own.
 *
 *     <base>/<prefix>/                     controllers enabled for children
 *         service/                         what stood in <base>, where the rule asks for it
 *         <instance>/                      controllers enabled
 *             box-<index>/                 controllers enabled; cgroup.procs belongs to the container's uid
 *                 init/                    the container's init (and zygotes)
 *                 run[.<generation>]/      the run's group: limits and counters
 *                 warm-<n>[.<generation>]/ that of a run that interpreter n forks, which waits in it
 *
 * "No internal processes": a group whose controllers are enabled for its children holds no process
 * itself, except the real root (cgroup-v2.rst). clone(2) into run/ by init needs write access, with the
 * container's own uid, to cgroup.procs of run/ and of the common ancestor of init/ and run/: box-<index>. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/io.h"
#include "cgroup_group.h"

#define SERVICE_LEAF "service"

enum {
    MOVE_ROUNDS = 50,
    PARK_BYTES = 128 * 1024, /* page cache worth keeping */
    KEPT_BYTES = 512 * 1024, /* of any kind in a group that stays: a new one costs little */
};

static const enum cgroup_controller enabled_in_order[] = {CGROUP_CPU, CGROUP_CPUSET, CGROUP_MEMORY,
                                                          CGROUP_PIDS};

static int64_t removal_deadline(void)
{
    return monotonic_ns() + GROUP_EMPTY_WAIT_MS * NS_PER_MS;
}

static bool is_listed(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; (at = strstr(at, name)) != NULL; at += length)
        if ((at == list || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

/* Enables one controller for the children of a group. errno is kept. */
static int enable(int fd, const char *controller)
{
    char text[256];
    if (read_file_at(fd, "cgroup.subtree_control", text, sizeof(text)) < 0)
        return -1;
    if (is_listed(text, controller))
        return 0;
    auto_fd int control = openat(fd, "cgroup.subtree_control", O_WRONLY | O_CLOEXEC);
    if (control < 0)
        return -1;
    snprintf(text, sizeof(text), "+%s", controller);
    return write_full(control, text, strlen(text));
}

/* ---- the service's own processes ---- */

static int move_one(int pid, void *context, struct cj_error *err)
{
    const int *leaf_fd = context;
    char text[16];
    if (pid == 0)
        return error_set(err, ERROR_UNSUPPORTED, EBUSY,
                         "a process of another pid namespace stands in the group");
    snprintf(text, sizeof(text), "%d", pid);
    if (write_file_at(*leaf_fd, "cgroup.procs", text, err) < 0 && err->code != ESRCH)
        return -1;
    return 0;
}

static int make_room(struct host_tree *tree, const char *prefix, struct cj_error *err)
{
    auto_fd int prefix_fd = -1, leaf_fd = -1;
    if (tree_make_child(tree->base_fd, prefix, true, &prefix_fd, err) < 0 ||
        tree_make_child(prefix_fd, SERVICE_LEAF, true, &leaf_fd, err) < 0)
        return -1;
    for (int round = 0; round < MOVE_ROUNDS; round++) {
        int moved = tree_each_pid(tree->base_fd, move_one, &leaf_fd, err);
        if (moved <= 0)
            return moved;
    }
    return error_set(err, ERROR_SYSTEM, EBUSY, "processes keep appearing in %s", tree->base);
}

static int is_pid(int pid, void *context, struct cj_error *err)
{
    (void)pid, (void)context, (void)err;
    return 0;
}

/* Room is made before anything is enabled: the kernel would enable cpu, cpuset and pids beside
 * processes, but as for threads, and after that no controller for groups of processes. */
int v2_prepare_base(struct cgroup_host *host, bool processes_rule, struct cj_error *err)
{
    struct host_tree *tree = &host->trees[host->count - 1];
    if (processes_rule && tree_each_pid(tree->base_fd, is_pid, NULL, err) > 0 &&
        make_room(tree, host->prefix, err) < 0)
        return error_wrap(err, "move the processes of %s to %s/%s", tree->base, host->prefix,
                          SERVICE_LEAF);
    for (size_t i = 0; i < COUNT_OF(enabled_in_order); i++) {
        enum cgroup_controller bit = enabled_in_order[i];
        const char *name = cgroup_controller_name(bit);
        if (!(tree->controllers & bit) || enable(tree->base_fd, name) == 0)
            continue;
        int code = errno;
        tree->controllers &= ~bit;
        host->facts.controllers &= ~bit;
        cgroup_add_reason(&host->facts, "%s controller cannot be enabled in %s: %s", name,
                          tree->base, strerror(code));
    }
    return 0;
}

/* Enables all we use in a group of our own. */
static int enable_all(const struct host_tree *tree, int fd, const char *name, struct cj_error *err)
{
    for (size_t i = 0; i < COUNT_OF(enabled_in_order); i++) {
        const char *controller = cgroup_controller_name(enabled_in_order[i]);
        if (tree->controllers & enabled_in_order[i] && enable(fd, controller) < 0)
            return error_errno(err, "enable %s controller in %s", controller, name);
    }
    return 0;
}

/* ---- what the kernel can do ---- */

static bool has_file(int fd, const char *name)
{
    return faccessat(fd, name, F_OK, 0) == 0;
}

static bool resets_peak(int fd)
{
    auto_fd int peak = openat(fd, "memory.peak", O_RDWR | O_CLOEXEC);
    return peak >= 0 && write(peak, "0", 1) == 1;
}

int v2_prepare_host(struct cgroup_host *host, struct cj_error *err)
{
    struct host_tree *tree = &host->trees[0];
    struct cgroup_facts *facts = &host->facts;
    if (enable_all(tree, tree->prefix_fd, host->prefix, err) < 0 ||
        enable_all(tree, tree->instance_fd, host->instance, err) < 0)
        return -1;
    facts->has_kill = has_file(tree->instance_fd, "cgroup.kill");
    facts->has_memory_peak = has_file(tree->instance_fd, "memory.peak");
    facts->can_reset_memory_peak = facts->has_memory_peak && resets_peak(tree->instance_fd);
    facts->has_pids_peak = has_file(tree->instance_fd, "pids.peak");
    if (has_file(tree->instance_fd, "memory.swap.max"))
        facts->limits_swap = true;
    return 0;
}

/* ---- groups ---- */

static int give(int fd, const char *name, uid_t owner, struct cj_error *err)
{
    if (fchownat(fd, name, owner, (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0)
        return error_errno(err, "give %s to uid %u", name, owner);
    return 0;
}

static int make_run_group(struct cgroup *cg, struct cj_error *err)
{
    if (tree_make_child(cg->box_fd, cg->run_name[0], false, &cg->run_fd[0], err) < 0 ||
        give(cg->run_fd[0], "cgroup.procs", cg->owner, err) < 0)
        return -1;
    /* One out of memory ends the whole run, not one process of it (Linux 4.19). */
    if (has_file(cg->run_fd[0], "memory.oom.group") &&
        write_file_at(cg->run_fd[0], "memory.oom.group", "1", err) < 0)
        return -1;
    if (has_file(cg->run_fd[0], "memory.swap.max") &&
        write_file_at(cg->run_fd[0], "memory.swap.max", "0", err) < 0)
        return -1;
    memset(&cg->written, 0, sizeof(cg->written));
    cg->share_bytes = 0;
    cg->user_floor = cg->kernel_floor = 0;
    group_open_files(cg, 0);
    fd_close(&cg->files[CGROUP_MEMORY_SWAP_LIMIT]);
    return 0;
}

int v2_new(struct cgroup *cg, struct cj_error *err)
{
    struct host_tree *tree = &cg->host->trees[0];
    snprintf(cg->box_name, sizeof(cg->box_name), "box-%u", cg->index);
    snprintf(cg->run_kind, sizeof(cg->run_kind), "run");
    snprintf(cg->run_name[0], TREE_NAME_SIZE, "%s", cg->run_kind);
    if (tree_make_child(tree->instance_fd, cg->box_name, false, &cg->box_fd, err) < 0 ||
        tree_make_child(cg->box_fd, "init", false, &cg->init_fd, err) < 0 ||
        enable_all(tree, cg->box_fd, cg->box_name, err) < 0 ||
        give(cg->box_fd, "cgroup.procs", cg->owner, err) < 0)
        return -1;
    return make_run_group(cg, err);
}

int v2_new_beside(const struct cgroup *of, struct cgroup *cg, unsigned number, struct cj_error *err)
{
    cg->is_beside = true;
    memcpy(cg->box_name, of->box_name, sizeof(cg->box_name));
    cg->box_fd = fcntl(of->box_fd, F_DUPFD_CLOEXEC, 0);
    if (cg->box_fd < 0)
        return error_errno(err, "open %s", cg->box_name);
    cg->init_cpus = of->init_cpus;
    cg->cpus_learned = of->cpus_learned;
    snprintf(cg->run_kind, sizeof(cg->run_kind), "warm-%u", number);
    snprintf(cg->run_name[0], TREE_NAME_SIZE, "%s", cg->run_kind);
    return make_run_group(cg, err);
}

int v2_adopt_init(struct cgroup *cg, pid_t init_pid, struct cj_error *err)
{
    char text[16];
    snprintf(text, sizeof(text), "%d", init_pid);
    if (write_file_at(cg->init_fd, "cgroup.procs", text, err) < 0)
        return error_wrap(err, "move init to %s", cg->box_name);
    cg->cpus_learned = false;
    group_learn_cpus(cg, init_pid);
    return 0;
}

/* ---- between runs ---- */

/* What page cache is still charged to a removed group keeps the group alive inside the kernel, so that
 * is reclaimed before; it takes milliseconds (every CPU is asked), so only where there is some. */
static void drop_group(struct cgroup *cg, const char *name, bool has_cache)
{
    struct cj_error ignored;
    auto_fd int fd = -1, reclaim = -1;
    char current[32];
    if (name[0] == '\0')
        return;
    if (has_cache && tree_open_child(cg->box_fd, name, &fd, &ignored) == 0 &&
        read_file_at(fd, "memory.current", current, sizeof(current)) > 0 &&
        strtoull(current, NULL, 10) > 0 &&
        (reclaim = openat(fd, "memory.reclaim", O_WRONLY | O_CLOEXEC)) >= 0 &&
        write(reclaim, current, strlen(current)) < 0)
        fd_close(&reclaim); /* EAGAIN: less could be had */
    fd_close(&fd);
    if (tree_rmdir(cg->box_fd, name, removal_deadline(), &ignored) < 0)
        return; /* goes with the box */
}

/* Page cache without tmpfs and shared memory, of which nothing is left. */
static uint64_t cache_bytes(int fd)
{
    char text[8192];
    if (read_file_at(fd, "memory.stat", text, sizeof(text)) < 0)
        return 0;
    const char *line = strstr(text, "\nfile ");
    return line != NULL ? strtoull(line + strlen("\nfile "), NULL, 10) : 0;
}

/* The old group goes, or, when it carries page cache that later runs will read again (an interpreter
 * that was loaded from disk), is kept aside: reclaiming it would make each run a cold one. The oldest
 * of those makes room. */
static int replace_run_group(struct cgroup *cg, struct cj_error *err)
{
    char old[TREE_NAME_SIZE];
    memcpy(old, cg->run_name[0], sizeof(old));
    uint64_t cache = cache_bytes(cg->run_fd[0]);
    group_close_files(cg, 0);
    fd_close(&cg->run_fd[0]);
    if (cache > PARK_BYTES) {
        char *place = cg->parked[cg->parked_next++ % GROUP_PARKED_MAX];
        drop_group(cg, place, true);
        memcpy(place, old, sizeof(old));
    } else {
        drop_group(cg, old, cache > 0);
    }
    snprintf(cg->run_name[0], TREE_NAME_SIZE, "%s.%u", cg->run_kind, ++cg->generation);
    if (make_run_group(cg, err) < 0)
        return error_wrap(err, "replace group %s/%s", cg->box_name, old);
    return 0;
}

int v2_recycle(struct cgroup *cg, pid_t init_pid, struct cj_error *err)
{
    const struct cgroup_facts *facts = &cg->host->facts;
    uint64_t usage = cg->seen.usage_bytes, tasks_peak = cg->seen.tasks_peak, memory_peak = 0;
    group_learn_cpus(cg, init_pid);
    if (!cg->seen.valid && (group_read(cg, CGROUP_MEMORY_USAGE, &usage, err) < 0 ||
                            group_read(cg, CGROUP_PIDS_PEAK, &tasks_peak, err) < 0))
        return -1;
    if (!facts->can_reset_memory_peak && group_read(cg, CGROUP_MEMORY_PEAK, &memory_peak, err) < 0)
        return -1;
    bool touched = memory_peak > 0 && facts->has_memory_peak;
    if (tasks_peak > 1 || touched || usage > KEPT_BYTES)
        return replace_run_group(cg, err);
    return 0;
}

int v2_await_first(struct cgroup *cg, pid_t init_pid, struct cj_error *err)
{
    if (v2_recycle(cg, init_pid, err) < 0 ||
        group_read(cg, CGROUP_MEMORY_USAGE, &cg->before_first_bytes, err) < 0 ||
        group_write_ahead(cg, err) < 0)
        return -1;
    cg->seen.valid = false;
    return 0;
}

/* ---- the end ---- */

int v2_kill_all(struct cgroup *cg, int64_t deadline_ns, struct cj_error *err)
{
    return tree_kill(cg->box_fd, deadline_ns, err);
}

void v2_free(struct cgroup *cg)
{
    struct cj_error ignored;
    group_close_files(cg, 0);
    fd_close(&cg->run_fd[0]);
    fd_close(&cg->init_fd);
    if (cg->box_fd >= 0) {
        for (size_t i = 0; i < GROUP_PARKED_MAX; i++)
            drop_group(cg, cg->parked[i], true);
        drop_group(cg, cg->run_name[0], true);
    }
    fd_close(&cg->box_fd);
    if (cg->is_beside)
        return;
    if (cg->box_name[0] != '\0' &&
        tree_remove(cg->host->trees[0].instance_fd, cg->box_name, removal_deadline(), &ignored) < 0)
        return; /* goes with the instance, or with the next start */
}

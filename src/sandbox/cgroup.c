/* Control groups: the host's side and the dispatch to v1 and v2. See sandbox/cgroup.h. */
#include "sandbox/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/io.h"
#include "cgroup_group.h"

#define DEFAULT_PREFIX "cjudge"

enum {
    PROC_TEXT_MAX = 1024 * 1024,
    PREFIX_LOCK_MS = 2000, /* held by others for microseconds */
    CLEAN_MS = 5000,       /* for killing and removing what dead instances left */
    MAKE_TRIES = 20,
};

static int64_t deadline_after(int64_t ms)
{
    return monotonic_ns() + ms * NS_PER_MS;
}

/* ---- finding out ---- */

/* A file of /proc as text; "" when it cannot be read. The caller frees. */
static char *proc_text(const char *path)
{
    char *text = NULL;
    size_t size;
    if (read_file_alloc(AT_FDCWD, path, PROC_TEXT_MAX, &text, &size, NULL) < 0)
        text = strdup("");
    if (text == NULL)
        abort();
    return text;
}

static void detect(const struct cgroup_options *options, struct cgroup_layout *layout)
{
    auto_free char *mountinfo = proc_text("/proc/self/mountinfo");
    auto_free char *controllers = proc_text("/proc/cgroups");
    auto_free char *own = proc_text("/proc/self/cgroup");
    auto_free char *cmdline = proc_text("/proc/cmdline");
    auto_free char *swaps = proc_text("/proc/swaps");
    struct cgroup_sources sources = {
        .mountinfo = mountinfo,
        .controllers = controllers,
        .own = own,
        .cmdline = cmdline,
        .swaps = swaps,
        .mount_root = options->mount_root,
        .delegated = options->delegated,
    };
    cgroup_detect(&sources, layout);
}

/* ---- the instance's directory ---- */

static int own_start_time(unsigned long long *ticks, struct cj_error *err)
{
    char text[1024];
    if (read_file_at(AT_FDCWD, "/proc/self/stat", text, sizeof(text)) < 0)
        return error_errno(err, "read /proc/self/stat");
    const char *rest = strrchr(text, ')'); /* the name before may hold anything */
    /* field 22, and ")" ends field 2: proc_pid_stat(5) */
    if (rest == NULL ||
        sscanf(rest + 1,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               ticks) != 1)
        return error_set(err, ERROR_SYSTEM, EINVAL, "/proc/self/stat has no start time");
    return 0;
}

static int name_instance(struct cgroup_host *host, struct cj_error *err)
{
    unsigned long long ticks;
    uint32_t salt; /* pids and times repeat in other pid namespaces */
    if (own_start_time(&ticks, err) < 0)
        return -1;
    if (getrandom(&salt, sizeof(salt), 0) != sizeof(salt))
        return error_errno(err, "getrandom");
    snprintf(host->instance, sizeof(host->instance), "%d-%llu-%08" PRIx32, (int)getpid(), ticks,
             salt);
    return 0;
}

/* Under the prefix's lock: no cleaner may meet the directory before it is locked. The prefix itself
 * may be removed by another instance's close at any moment before that; then everything in it fails
 * with ENOENT, and it is made again. */
static int make_instance(struct cgroup_host *host, struct host_tree *tree, struct cj_error *err)
{
    for (int tries = 0; tries < MAKE_TRIES; tries++) {
        fd_close(&tree->prefix_fd);
        if (tree_make_child(tree->base_fd, host->prefix, true, &tree->prefix_fd, err) < 0) {
            if (err->code == ENOENT)
                continue;
            return -1;
        }
        if (tree_lock(tree->prefix_fd, deadline_after(PREFIX_LOCK_MS), err) < 0)
            return error_wrap(err, "%s/%s", tree->base, host->prefix);
        int made = tree_make_child(tree->prefix_fd, host->instance, false, &tree->instance_fd, err);
        if (made == 0)
            made = tree_lock(tree->instance_fd, 0, err);
        flock(tree->prefix_fd, LOCK_UN);
        if (made == 0)
            return 0;
        fd_close(&tree->instance_fd);
        if (err->code != ENOENT)
            return -1;
    }
    return error_wrap(err, "%s/%s does not stay", tree->base, host->prefix);
}

static void remove_instance(struct cgroup_host *host, struct host_tree *tree)
{
    struct cj_error ignored;
    if (tree->instance_fd >= 0 && tree_remove(tree->prefix_fd, host->instance,
                                              deadline_after(GROUP_EMPTY_WAIT_MS), &ignored) < 0) {
        /* the next start finds it, unlocked */
    }
    fd_close(&tree->instance_fd);
    /* the last one out; it fails while another instance or a service leaf is there */
    if (tree->prefix_fd >= 0)
        unlinkat(tree->base_fd, host->prefix, AT_REMOVEDIR);
    fd_close(&tree->prefix_fd);
    fd_close(&tree->base_fd);
}

static int open_tree(struct cgroup_host *host, const struct cgroup_hierarchy *hierarchy,
                     struct host_tree *tree, struct cj_error *err)
{
    tree->controllers = hierarchy->controllers;
    memcpy(tree->base, hierarchy->base, sizeof(tree->base));
    if (tree_open(hierarchy->base, &tree->base_fd, err) < 0)
        return -1;
    /* what a dead instance left; before ours is made, so that it is not met there */
    auto_fd int prefix_fd = -1;
    if (tree_open_child(tree->base_fd, host->prefix, &prefix_fd, NULL) == 0 &&
        tree_clean_leftovers(prefix_fd, deadline_after(CLEAN_MS)) > 0)
        cgroup_add_reason(&host->facts, "groups of a dead instance below %s/%s do not go away",
                          tree->base, host->prefix);
    if (host->facts.kind == CGROUP_V2 &&
        v2_prepare_base(host, hierarchy->base_has_processes_rule, err) < 0)
        return -1;
    return make_instance(host, tree, err);
}

/* A hierarchy that cannot be used is left out, and the facts say why. */
static void open_trees(struct cgroup_host *host, const struct cgroup_layout *layout)
{
    for (size_t i = 0; i < layout->count; i++) {
        struct cj_error err;
        struct host_tree *tree = &host->trees[host->count];
        tree->base_fd = tree->prefix_fd = tree->instance_fd = -1;
        host->count++; /* v2_prepare_base() looks at it */
        if (open_tree(host, &layout->hierarchies[i], tree, &err) == 0)
            continue;
        cgroup_add_reason(
            &host->facts, "%s%s", err.message,
            err.code == EROFS || err.code == EACCES || err.code == EPERM
                ? ": run as root with a writable /sys/fs/cgroup, or in a delegated group"
                : "");
        host->facts.controllers &= ~tree->controllers;
        remove_instance(host, tree);
        host->count--;
    }
}

static void describe_place(struct cgroup_host *host)
{
    struct cgroup_facts *facts = &host->facts;
    for (size_t i = 0; i < host->count; i++)
        if (i == 0 || host->trees[i].controllers & CGROUP_MEMORY)
            if ((size_t)snprintf(facts->path, sizeof(facts->path), "%s/%s/%s", host->trees[i].base,
                                 host->prefix, host->instance) >= sizeof(facts->path))
                facts->path[0] = '\0';
}

static void remove_instances(struct cgroup_host *host)
{
    while (host->count > 0)
        remove_instance(host, &host->trees[--host->count]);
}

static int prepare_host(struct cgroup_host *host, struct cj_error *err)
{
    return host->facts.kind == CGROUP_V2 ? v2_prepare_host(host, err) : v1_prepare_host(host, err);
}

int cgroup_host_open(const struct cgroup_options *given, struct cgroup_host **out,
                     struct cj_error *err)
{
    static const struct cgroup_options defaults = {0};
    const struct cgroup_options *options = given != NULL ? given : &defaults;
    const char *prefix = options->prefix != NULL ? options->prefix : DEFAULT_PREFIX;
    if (prefix[0] == '\0' || prefix[0] == '.' || strpbrk(prefix, "/\n") != NULL ||
        strlen(prefix) >= TREE_NAME_SIZE)
        return error_set(err, ERROR_CONFIG, EINVAL, "'%s' cannot be the name of a cgroup", prefix);
    struct cgroup_host *host = calloc(1, sizeof(*host));
    if (host == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "no memory for the cgroup host");
    memcpy(host->prefix, prefix, strlen(prefix) + 1);
    host->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    host->cpu_count = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
    if (name_instance(host, err) < 0) {
        free(host);
        return -1;
    }

    struct cgroup_layout layout;
    detect(options, &layout);
    host->facts = layout.facts;
    open_trees(host, &layout);
    struct cj_error reason;
    if (host->count > 0 && prepare_host(host, &reason) < 0) {
        cgroup_add_reason(&host->facts, "%s", reason.message);
        host->facts.controllers = 0;
        remove_instances(host);
    }
    describe_place(host);
    if ((host->facts.controllers & (CGROUP_MEMORY | CGROUP_PIDS | CGROUP_CPUACCT)) == 0)
        host->facts.kind = CGROUP_NONE;
    *out = host;
    return 0;
}

const struct cgroup_facts *cgroup_host_facts(const struct cgroup_host *host)
{
    return &host->facts;
}

void cgroup_host_close_inherited(struct cgroup_host *host)
{
    for (size_t i = 0; host != NULL && i < host->count; i++) {
        fd_close(&host->trees[i].instance_fd);
        fd_close(&host->trees[i].prefix_fd);
        fd_close(&host->trees[i].base_fd);
    }
}

void cgroup_host_close(struct cgroup_host *host)
{
    if (host == NULL)
        return;
    remove_instances(host);
    free(host);
}

/* ---- the group of one container ---- */

static bool is_v2(const struct cgroup *cg)
{
    return cg->host->facts.kind == CGROUP_V2;
}

static struct cgroup *make(struct cgroup_host *host, unsigned index, uid_t owner,
                           struct cj_error *err)
{
    struct cgroup *cg = calloc(1, sizeof(*cg));
    if (cg == NULL) {
        error_set(err, ERROR_SYSTEM, ENOMEM, "no memory for a cgroup");
        return NULL;
    }
    cg->host = host;
    cg->index = index;
    cg->owner = owner;
    cg->init_fd = cg->box_fd = -1;
    for (size_t i = 0; i < CGROUP_HIERARCHIES_MAX; i++)
        cg->run_fd[i] = -1;
    for (size_t i = 0; i < CGROUP_FILE_COUNT; i++)
        cg->files[i] = -1;
    return cg;
}

int cgroup_new(struct cgroup_host *host, unsigned index, uid_t owner, unsigned init_tasks,
               struct cgroup **out, struct cj_error *err)
{
    if (host->facts.kind == CGROUP_NONE)
        return error_set(err, ERROR_UNSUPPORTED, 0, "no usable cgroups: %s", host->facts.reason);
    struct cgroup *cg = make(host, index, owner, err);
    if (cg == NULL)
        return -1;
    cg->init_tasks = init_tasks;
    if ((is_v2(cg) ? v2_new(cg, err) : v1_new(cg, err)) < 0) {
        error_wrap(err, "make cgroup %u", index);
        cgroup_free(cg);
        return -1;
    }
    *out = cg;
    return 0;
}

int cgroup_new_beside(const struct cgroup *cg, unsigned number, struct cgroup **out,
                      struct cj_error *err)
{
    if (!is_v2(cg))
        return error_set(err, ERROR_INTERNAL, EINVAL, "no group beside another on v1");
    struct cgroup *beside = make(cg->host, cg->index, cg->owner, err);
    if (beside == NULL)
        return -1;
    if (v2_new_beside(cg, beside, number, err) < 0) {
        error_wrap(err, "make group %u beside cgroup %u", number, cg->index);
        cgroup_free(beside);
        return -1;
    }
    *out = beside;
    return 0;
}

int cgroup_await_first(struct cgroup *cg, pid_t init_pid, struct cj_error *err)
{
    return v2_await_first(cg, init_pid, err);
}

int cgroup_adopt_init(struct cgroup *cg, pid_t init_pid, struct cj_error *err)
{
    if (init_pid <= 1)
        return error_set(err, ERROR_INTERNAL, EINVAL, "%d is not a container's init",
                         (int)init_pid);
    return is_v2(cg) ? v2_adopt_init(cg, init_pid, err) : v1_adopt_init(cg, init_pid, err);
}

int cgroup_learn_init(struct cgroup *cg, struct cj_error *err)
{
    if (is_v2(cg))
        return 0; /* it stands beside the group */
    group_reclaim(cg, 0);
    return group_measure_share(cg, err);
}

void cgroup_free_thread(struct cgroup *cg, pid_t thread_id)
{
    if (!is_v2(cg))
        v1_free_thread(cg, thread_id);
}

int cgroup_begin(struct cgroup *cg, const struct cgroup_limits *limits, struct cj_error *err)
{
    return group_begin(cg, limits, err);
}

bool cgroup_lacks_first(const struct cgroup *cg)
{
    return cg->lacks_first;
}

int cgroup_clone_fd(const struct cgroup *cg)
{
    return is_v2(cg) ? cg->run_fd[0] : -1;
}

unsigned cgroup_generation(const struct cgroup *cg)
{
    return cg->generation;
}

int cgroup_cpu_ns(const struct cgroup *cg, int64_t *cpu_ns, struct cj_error *err)
{
    if (!group_has(cg, CGROUP_CPU_USAGE))
        return error_set(err, ERROR_UNSUPPORTED, 0, "no cpuacct controller");
    if (group_read_cpu_ns(cg, cpu_ns, err) < 0)
        return -1;
    *cpu_ns -= cg->begin.cpu_ns;
    return 0;
}

int cgroup_tasks(const struct cgroup *cg, uint64_t *tasks, struct cj_error *err)
{
    if (!group_has(cg, CGROUP_PIDS_CURRENT))
        return error_set(err, ERROR_UNSUPPORTED, 0, "no pids controller");
    if (group_read(cg, CGROUP_PIDS_CURRENT, tasks, err) < 0)
        return -1;
    *tasks = *tasks > cg->begin.tasks ? *tasks - cg->begin.tasks : 0;
    return 0;
}

int cgroup_lift_rate(struct cgroup *cg, struct cj_error *err)
{
    if (is_v2(cg) || !group_has(cg, CGROUP_CPU_QUOTA) ||
        (cg->written.cpu_known && cg->written.quota_us < 0))
        return 0;
    if (group_write(cg, CGROUP_CPU_QUOTA, "-1") < 0)
        return error_errno(err, "write '-1' to cpu.cfs_quota_us");
    cg->written.quota_us = -1;
    return 0;
}

int cgroup_lift_memory(struct cgroup *cg, struct cj_error *err)
{
    const enum cgroup_file files[] = {CGROUP_MEMORY_SWAP_LIMIT, CGROUP_MEMORY_LIMIT};
    if (is_v2(cg) || (cg->written.memory_known && cg->written.memory_bytes == UINT64_MAX))
        return 0;
    for (size_t i = 0; i < COUNT_OF(files); i++)
        if (group_has(cg, files[i]) && group_write(cg, files[i], "-1") < 0)
            return error_errno(err, "write '-1' to %s", cgroup_file_name(CGROUP_V1, files[i]));
    cg->written.memory_known = true;
    cg->written.memory_bytes = UINT64_MAX;
    return 0;
}

int cgroup_lift_tasks(struct cgroup *cg, struct cj_error *err)
{
    if (!group_has(cg, CGROUP_PIDS_MAX) ||
        (cg->written.tasks_known && cg->written.tasks == UINT64_MAX))
        return 0;
    if (group_write(cg, CGROUP_PIDS_MAX, "max") < 0)
        return error_errno(err, "write 'max' to pids.max");
    cg->written.tasks_known = true;
    cg->written.tasks = UINT64_MAX;
    return 0;
}

void cgroup_disturbed(struct cgroup *cg)
{
    cg->seen.undisturbed = false;
}

void cgroup_populated(struct cgroup *cg)
{
    cg->seen.valid = false;
}

int cgroup_make_room(struct cgroup *cg, uint64_t memory_bytes, bool *worn, struct cj_error *err)
{
    bool gone = true;
    *worn = false;
    if (is_v2(cg))
        return 0;
    if (group_await_garbage(cg, memory_bytes, &gone, err) < 0)
        return -1;
    *worn = !gone;
    return gone ? 0 : v1_replace_memory(cg, err);
}

int64_t cgroup_settle_ns(const struct cgroup *cg)
{
    return group_settle_ns(cg);
}

int cgroup_settle(struct cgroup *cg, struct cgroup_settled *settled, struct cj_error *err)
{
    return group_settle(cg, settled, err);
}

int cgroup_finish(struct cgroup *cg, const struct cgroup_ended *ended, struct cgroup_usage *usage,
                  struct cj_error *err)
{
    static const struct cgroup_ended unknown;
    return group_finish(cg, ended != NULL ? ended : &unknown, usage, err);
}

void cgroup_first_waits(struct cgroup *cg, bool waits)
{
    cg->first_waits = waits;
}

int cgroup_recycle(struct cgroup *cg, pid_t init_pid, struct cj_error *err)
{
    return is_v2(cg) ? v2_recycle(cg, init_pid, err) : v1_recycle(cg, init_pid, err);
}

int cgroup_kill_all(struct cgroup *cg, int64_t timeout_ns, struct cj_error *err)
{
    int64_t deadline_ns = monotonic_ns() + timeout_ns;
    return is_v2(cg) ? v2_kill_all(cg, deadline_ns, err) : v1_kill_all(cg, deadline_ns, err);
}

void cgroup_free(struct cgroup *cg)
{
    if (cg == NULL)
        return;
    if (is_v2(cg))
        v2_free(cg);
    else
        v1_free(cg);
    free(cg);
}

/* cgroup v1: five hierarchies, init in the run's group of each for good. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/io.h"
#include "cgroup_group.h"

/* What may stay charged to the group between runs. Page cache is mostly of files that every run reads
 * (interpreters, libraries): dropped after each run, they would be read from disk by each. */
enum {
    CACHE_KEPT_BYTES = 64 * 1024 * 1024,
    KERNEL_KEPT_BYTES = 16 * 1024 * 1024, /* mostly about to be freed (RCU), else dentries */
};

static int64_t removal_deadline(void)
{
    return monotonic_ns() + GROUP_EMPTY_WAIT_MS * NS_PER_MS;
}

static size_t tree_of(const struct cgroup_host *host, enum cgroup_controller controller)
{
    size_t i = 0;
    while (i < host->count && !(host->trees[i].controllers & controller))
        i++;
    return i;
}

/* A new cpuset is empty and takes no process, cpuset(7). */
static int inherit_cpu_set(int parent_fd, int fd, struct cj_error *err)
{
    static const char *const names[] = {"cpuset.cpus", "cpuset.mems"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char value[4096];
        if (read_file_at(fd, names[i], value, sizeof(value)) > 0)
            continue;
        if (read_file_at(parent_fd, names[i], value, sizeof(value)) < 0)
            return error_errno(err, "read %s", names[i]);
        if (write_file_at(fd, names[i], value, err) < 0)
            return -1;
    }
    return 0;
}

/* Before Linux 5.11 a group's limit held for its children only if asked to. */
static void account_children(int fd)
{
    char value[8];
    if (read_file_at(fd, "memory.use_hierarchy", value, sizeof(value)) == 1 && value[0] == '0' &&
        write_file_at(fd, "memory.use_hierarchy", "1", NULL) < 0)
        return;
}

/* All runs together weigh as much on each CPU as a process outside would: with the default of one
 * process for all of them, runs on two CPUs would get half each beside a busy neighbour. */
static void weigh(const struct cgroup_host *host, int fd)
{
    char value[32];
    snprintf(value, sizeof(value), "%llu", 1024ULL * (unsigned long long)host->cpu_count);
    if (write_file_at(fd, "cpu.shares", value, NULL) < 0)
        return; /* a matter of speed only */
}

int v1_prepare_host(struct cgroup_host *host, struct cj_error *err)
{
    for (size_t i = 0; i < host->count; i++) {
        struct host_tree *tree = &host->trees[i];
        if (tree->controllers & CGROUP_MEMORY) {
            account_children(tree->instance_fd);
            host->facts.has_memory_peak = true;
            host->facts.can_reset_memory_peak = true;
            if (faccessat(tree->instance_fd, "memory.memsw.limit_in_bytes", W_OK, AT_EACCESS) == 0)
                host->facts.limits_swap = true;
        }
        if (tree->controllers & CGROUP_CPU) {
            weigh(host, tree->prefix_fd);
            weigh(host, tree->instance_fd);
        }
        if (tree->controllers & CGROUP_PIDS)
            host->facts.has_pids_peak = faccessat(tree->instance_fd, "pids.peak", R_OK, 0) == 0;
        if (tree->controllers & CGROUP_CPUSET) {
            if (inherit_cpu_set(tree->base_fd, tree->prefix_fd, err) < 0 ||
                inherit_cpu_set(tree->prefix_fd, tree->instance_fd, err) < 0)
                return -1;
            if (read_file_at(tree->instance_fd, "cpuset.cpus", host->cpu_set,
                             sizeof(host->cpu_set)) < 0)
                return error_errno(err, "read cpuset.cpus");
        }
    }
    return 0;
}

static int make_run_group(struct cgroup *cg, size_t i, struct cj_error *err)
{
    struct host_tree *tree = &cg->host->trees[i];
    if (tree_make_child(tree->instance_fd, cg->run_name[i], false, &cg->run_fd[i], err) < 0)
        return -1;
    if (tree->controllers & CGROUP_CPUSET &&
        inherit_cpu_set(tree->instance_fd, cg->run_fd[i], err) < 0)
        return -1;
    if (tree->controllers & CGROUP_MEMORY &&
        write_file_at(cg->run_fd[i], "memory.swappiness", "0", NULL) < 0 && errno == ENOMEM)
        return error_errno(err, "set memory.swappiness");
    group_open_files(cg, i);
    return 0;
}

int v1_new(struct cgroup *cg, struct cj_error *err)
{
    for (size_t i = 0; i < cg->host->count; i++) {
        snprintf(cg->run_name[i], TREE_NAME_SIZE, "run-%u", cg->index);
        if (make_run_group(cg, i, err) < 0)
            return -1;
    }
    return 0;
}

static int join(int group_fd, int pid, struct cj_error *err)
{
    char text[16];
    snprintf(text, sizeof(text), "%d", pid);
    return write_file_at(group_fd, "cgroup.procs", text, err);
}

int v1_adopt_init(struct cgroup *cg, pid_t init_pid, struct cj_error *err)
{
    for (size_t i = 0; i < cg->host->count; i++)
        if (join(cg->run_fd[i], init_pid, err) < 0)
            return error_wrap(err, "move init to %s/%s", cg->host->trees[i].base, cg->run_name[i]);
    group_learn_cpus(cg, init_pid);
    return 0;
}

/* The base is where this process stands itself, or stood when it looked. */
void v1_free_thread(struct cgroup *cg, pid_t thread_id)
{
    char text[16];
    size_t i = tree_of(cg->host, CGROUP_CPU);
    if (i == cg->host->count)
        return;
    snprintf(text, sizeof(text), "%d", thread_id);
    if (write_file_at(cg->host->trees[i].base_fd, "tasks", text, NULL) < 0)
        return; /* a matter of milliseconds only */
}

/* ---- between runs ---- */

struct move {
    int from_fd, to_fd;
};

static int move_one(int pid, void *context, struct cj_error *err)
{
    struct move *move = context;
    if (join(move->to_fd, pid, err) < 0 && err->code != ESRCH)
        return -1;
    return 0;
}

/* Whoever stands in the old directory (init, interpreters) comes along. */
static int replace_group(struct cgroup *cg, size_t i, struct cj_error *err)
{
    struct host_tree *tree = &cg->host->trees[i];
    char old_name[TREE_NAME_SIZE];
    memcpy(old_name, cg->run_name[i], sizeof(old_name));
    auto_fd int old_fd = fd_take(&cg->run_fd[i]);
    snprintf(cg->run_name[i], TREE_NAME_SIZE, "run-%u.%u", cg->index, ++cg->generation);
    if (make_run_group(cg, i, err) < 0)
        return error_wrap(err, "replace group %s", old_name);
    memset(&cg->written, 0, sizeof(cg->written));
    struct move move = {.from_fd = old_fd, .to_fd = cg->run_fd[i]};
    int moved;
    do {
        moved = tree_each_pid(old_fd, move_one, &move, err);
    } while (moved > 0);
    if (moved < 0)
        return error_wrap(err, "replace group %s", old_name);
    return tree_rmdir(tree->instance_fd, old_name, removal_deadline(), err);
}

/* What is charged to the old directory stays there, init's own pages, too. */
int v1_replace_memory(struct cgroup *cg, struct cj_error *err)
{
    size_t i = tree_of(cg->host, CGROUP_MEMORY);
    if (i == cg->host->count)
        return 0;
    if (replace_group(cg, i, err) < 0)
        return -1;
    cg->share_bytes = cg->user_floor = cg->kernel_floor = 0;
    cg->residue_bytes = cg->residue_kernel_bytes = 0;
    return 0;
}

static bool leaves_much(const struct cgroup *cg)
{
    return cg->residue_bytes > CACHE_KEPT_BYTES || cg->residue_kernel_bytes > KERNEL_KEPT_BYTES;
}

/* What the last run left, when its files are gone by now and its kernel memory has had the time that takes. */
static int reclaim_much(struct cgroup *cg, struct cj_error *err)
{
    for (int64_t until_ns = monotonic_ns() + CGROUP_GARBAGE_NS; leaves_much(cg);) {
        if (group_read_residue(cg, err) < 0)
            return -1;
        if (cg->residue_kernel_bytes <= KERNEL_KEPT_BYTES || monotonic_ns() > until_ns)
            break;
        usleep(2000);
    }
    if (!leaves_much(cg))
        return 0;
    group_reclaim(cg, 0);
    if (group_measure_share(cg, err) < 0)
        return -1;
    cg->residue_bytes = cg->residue_kernel_bytes = 0;
    return 0;
}

int v1_recycle(struct cgroup *cg, pid_t init_pid, struct cj_error *err)
{
    group_learn_cpus(cg, init_pid);
    if ((leaves_much(cg) && reclaim_much(cg, err) < 0) || group_look_at_user(cg, err) < 0)
        return -1;
    /* A cold run beside the process that waits to be a warm one has had one task more than that one begins with. */
    bool one_more = cg->first_waits && !cg->begin.limits.first_is_there;
    uint64_t peak, tasks;
    if ((cg->least_tasks && !one_more) || !cg->host->facts.has_pids_peak ||
        tree_of(cg->host, CGROUP_PIDS) == cg->host->count)
        return 0;
    if (group_read(cg, CGROUP_PIDS_PEAK, &peak, err) < 0 ||
        group_read(cg, CGROUP_PIDS_CURRENT, &tasks, err) < 0)
        return -1;
    /* A new directory is the only way to a new pids.peak. */
    return peak > tasks + !one_more ? replace_group(cg, tree_of(cg->host, CGROUP_PIDS), err) : 0;
}

/* ---- the end ---- */

int v1_kill_all(struct cgroup *cg, int64_t deadline_ns, struct cj_error *err)
{
    /* No forks from here on: otherwise a bomb could outrun the rounds of kills. */
    if (group_has(cg, CGROUP_PIDS_MAX) && group_write(cg, CGROUP_PIDS_MAX, "0") < 0)
        return error_errno(err, "write '0' to pids.max");
    cg->written.tasks_known = false;
    for (size_t i = 0; i < cg->host->count; i++)
        if (tree_kill(cg->run_fd[i], deadline_ns, err) < 0)
            return -1;
    return 0;
}

void v1_free(struct cgroup *cg)
{
    group_reclaim(cg, 0); /* a removed group lives on inside the kernel as long as its page cache */
    for (size_t i = 0; i < cg->host->count; i++) {
        group_close_files(cg, i);
        if (cg->run_fd[i] < 0)
            continue;
        fd_close(&cg->run_fd[i]);
        /* what cannot go now goes with the instance, or with the next start */
        if (tree_rmdir(cg->host->trees[i].instance_fd, cg->run_name[i], removal_deadline(), NULL) <
            0)
            continue;
    }
}

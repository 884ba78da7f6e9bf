/* One group's files: limits written, counters read, through descriptors that stay open. */
#include "cgroup_group.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

enum {
    VALUE_SIZE = 512,
    STAT_SIZE =
        256, /* of memory.stat only the first lines count: mm/memcontrol-v1.c, memcg1_stats, */
    STAT_LONG_SIZE = 4096, /* mm/memcontrol.c, memcg_stat_format */
    USER_AGAIN_RUNS = 64,
    /* v2 before anything is known: more than this in an empty group is page cache */
    GROUP_V2_KEPT_BYTES = 512 * 1024,
    AHEAD_BYTES = 256 * 1024,
    AHEAD_SHARE = 64, /* of a limit, at most */
    /* The OOM killer is asked for 8 pages at most (PAGE_ALLOC_COSTLY_ORDER, mm/memcontrol.c); and what of the group is
     * swapped out counts for the limit of both, not for the peak. */
    FAR_BYTES = 16 * 1024 * 1024,
    FAR_SHARE = 4, /* of a limit, at most */
};

/* How long the readings of memory and CPU time at the end of a run are those before the next one:
 * much shorter than the grace period (10 ms) after which kernel memory of the run is freed. */
#define SEEN_NS (200 * NS_PER_US)
/* From when on nobody waits for what comes after a run: reading memory.stat takes 10 to 40 us. */
#define PAUSE_NS (5 * NS_PER_MS)

static const int open_modes[CGROUP_FILE_COUNT] = {
    [CGROUP_MEMORY_LIMIT] = O_WRONLY,  [CGROUP_MEMORY_SWAP_LIMIT] = O_WRONLY,
    [CGROUP_MEMORY_USAGE] = O_RDONLY,  [CGROUP_MEMORY_PEAK] = O_RDWR,
    [CGROUP_MEMORY_KERNEL] = O_RDONLY, [CGROUP_MEMORY_STAT] = O_RDONLY,
    [CGROUP_MEMORY_OOM] = O_RDONLY,    [CGROUP_MEMORY_RECLAIM] = O_WRONLY,
    [CGROUP_PIDS_MAX] = O_WRONLY,      [CGROUP_PIDS_CURRENT] = O_RDONLY,
    [CGROUP_PIDS_PEAK] = O_RDONLY,     [CGROUP_CPU_USAGE] = O_RDONLY,
    [CGROUP_CPU_QUOTA] = O_WRONLY,     [CGROUP_CPU_PERIOD] = O_WRONLY,
    [CGROUP_CPUSET_CPUS] = O_WRONLY,
};

void group_open_files(struct cgroup *cg, size_t tree)
{
    cg->seen.valid = false;
    for (enum cgroup_file file = 0; file < CGROUP_FILE_COUNT; file++) {
        const char *name = cgroup_file_name(cg->host->facts.kind, file);
        if (name == NULL || !(cgroup_file_controller(file) & cg->host->trees[tree].controllers))
            continue;
        fd_close(&cg->files[file]);
        cg->files[file] = openat(cg->run_fd[tree], name, open_modes[file] | O_CLOEXEC);
        if (cg->files[file] < 0 && open_modes[file] == O_RDWR) /* before Linux 6.12 */
            cg->files[file] = openat(cg->run_fd[tree], name, O_RDONLY | O_CLOEXEC);
    }
}

void group_close_files(struct cgroup *cg, size_t tree)
{
    for (enum cgroup_file file = 0; file < CGROUP_FILE_COUNT; file++)
        if (cgroup_file_controller(file) & cg->host->trees[tree].controllers)
            fd_close(&cg->files[file]);
}

/* ---- reading and writing ---- */

static int read_text(const struct cgroup *cg, enum cgroup_file file, char text[static VALUE_SIZE],
                     struct cj_error *err)
{
    ssize_t got = pread(cg->files[file], text, VALUE_SIZE - 1, 0);
    if (got < 0)
        return error_errno(err, "read %s", cgroup_file_name(cg->host->facts.kind, file));
    text[got] = '\0';
    return 0;
}

int group_read(const struct cgroup *cg, enum cgroup_file file, uint64_t *value,
               struct cj_error *err)
{
    char text[VALUE_SIZE];
    *value = 0;
    if (!group_has(cg, file))
        return 0;
    if (read_text(cg, file, text, err) < 0)
        return -1;
    *value = text[0] == 'm' ? UINT64_MAX : strtoull(text, NULL, 10);
    return 0;
}

/* The number behind "key " at the start of a line. Returns whether there is one. */
static bool find_value(const char *text, const char *key, uint64_t *value)
{
    size_t length = strlen(key);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, length) == 0 && line[length] == ' ') {
            *value = strtoull(line + length + 1, NULL, 10);
            return true;
        }
    }
    return false;
}

static uint64_t value_of(const char *text, const char *key)
{
    uint64_t value = 0;
    return find_value(text, key, &value) ? value : 0;
}

int group_read_cpu_ns(const struct cgroup *cg, int64_t *cpu_ns, struct cj_error *err)
{
    char text[VALUE_SIZE];
    *cpu_ns = 0;
    if (!group_has(cg, CGROUP_CPU_USAGE))
        return 0;
    if (read_text(cg, CGROUP_CPU_USAGE, text, err) < 0)
        return -1;
    if (cg->host->facts.kind == CGROUP_V2)
        *cpu_ns = (int64_t)value_of(text, "usage_usec") * NS_PER_US;
    else
        *cpu_ns = strtoll(text, NULL, 10);
    return 0;
}

/* events: how often the group was out of memory, whatever followed; v1 does not tell. */
static int read_oom(const struct cgroup *cg, uint64_t *kills, uint64_t *events,
                    struct cj_error *err)
{
    char text[VALUE_SIZE];
    *kills = *events = 0;
    if (!group_has(cg, CGROUP_MEMORY_OOM))
        return 0;
    if (read_text(cg, CGROUP_MEMORY_OOM, text, err) < 0)
        return -1;
    *kills = value_of(text, "oom_kill");
    *events = value_of(text, "oom");
    return 0;
}

int group_write(const struct cgroup *cg, enum cgroup_file file, const char *value)
{
    ssize_t written;
    do {
        written = pwrite(cg->files[file], value, strlen(value), 0);
    } while (written < 0 && errno == EINTR);
    return written < 0 ? -1 : 0;
}

/* ---- init's share ---- */

void group_reclaim(struct cgroup *cg, uint64_t bytes)
{
    char text[32];
    cg->seen.undisturbed = false;
    if (!group_has(cg, CGROUP_MEMORY_RECLAIM))
        return;
    /* v1: force_empty takes no amount. v2: EAGAIN when less could be had, which is fine */
    snprintf(text, sizeof(text), "%llu",
             cg->host->facts.kind == CGROUP_V2 ? (unsigned long long)bytes : 0ULL);
    if (group_write(cg, CGROUP_MEMORY_RECLAIM, text) < 0)
        return;
}

void group_learn_cpus(struct cgroup *cg, pid_t init_pid)
{
    cpu_set_t allowed;
    if (cg->cpus_learned)
        return;
    if (sched_getaffinity(init_pid, sizeof(allowed), &allowed) == 0)
        cg->init_cpus = (unsigned)CPU_COUNT(&allowed);
    cg->cpus_learned = true;
}

uint64_t group_stock_bytes(const struct cgroup *cg, uint64_t tasks)
{
    /* CPUs on which a run may have left a stock: init's, or more when it had more tasks */
    const uint64_t most = 4; /* more would hide megabytes */
    uint64_t cpus = cg->init_cpus > tasks ? cg->init_cpus : tasks;
    if (cpus == 0 || cpus > cg->host->cpu_count)
        cpus = cg->host->cpu_count;
    if (cpus > most)
        cpus = most;
    return cpus * CGROUP_STOCK_PAGES * cg->host->page_bytes;
}

bool group_tells_user(const struct cgroup *cg)
{
    return cg->host->facts.kind == CGROUP_V1 && group_has(cg, CGROUP_MEMORY_STAT);
}

static int read_stat(const struct cgroup *cg, char *text, size_t size, struct cj_error *err)
{
    ssize_t got = pread(cg->files[CGROUP_MEMORY_STAT], text, size - 1, 0);
    if (got < 0)
        return error_errno(err, "read memory.stat");
    text[got] = '\0';
    return 0;
}

int group_read_user(const struct cgroup *cg, uint64_t *bytes, bool *known, struct cj_error *err)
{
    char text[STAT_SIZE];
    *known = group_tells_user(cg);
    *bytes = 0;
    if (!*known)
        return 0;
    if (read_stat(cg, text, sizeof(text), err) < 0)
        return -1;
    *bytes = value_of(text, "cache") + value_of(text, "rss");
    return 0;
}

/* v1 does not tell which of the kernel's objects can be reclaimed: of those that cannot, page tables are the most. */
int group_read_stat(const struct cgroup *cg, struct group_stat *stat, struct cj_error *err)
{
    enum { PAGE_TABLES_SHARE = 512 };
    char text[STAT_LONG_SIZE];
    if (read_stat(cg, text, sizeof(text), err) < 0)
        return -1;
    const bool v2 = cg->host->facts.kind == CGROUP_V2;
    uint64_t shared = value_of(text, "shmem"), private = value_of(text, v2 ? "anon" : "rss");
    uint64_t objects = value_of(text, "slab_reclaimable");
    uint64_t kernel = minus(value_of(text, "kernel"), objects);
    if (kernel == 0)
        kernel = private / PAGE_TABLES_SHARE;
    stat->cache_bytes = minus(value_of(text, v2 ? "file" : "cache"), shared) + objects;
    stat->own_bytes = private + shared + kernel;
    if (!find_value(text, "workingset_refault_file", &stat->read_again_pages))
        stat->read_again_pages = value_of(text, "pgmajfault");
    return 0;
}

static uint64_t follow(uint64_t floor, uint64_t seen, uint64_t step)
{
    return floor + step < seen ? floor + step : seen;
}

/* What is not the kernel's beside the run. It changes little, and one that does not fit to what is used is looked up
 * again: page cache that the run before has read, or that was reclaimed. */
static int follow_user(struct cgroup *cg, uint64_t user, struct cj_error *err)
{
    /* What was the run's is freed on any CPU, and goes into that one's stock. */
    uint64_t stock = group_stock_bytes(cg, 0), all = group_stock_bytes(cg, cg->host->cpu_count),
             now;
    bool fits = user >= cg->user_floor && user <= cg->user_floor + all, known;
    if (cg->begin.time_ns - cg->seen.time_ns > PAUSE_NS || ++cg->user_runs >= USER_AGAIN_RUNS)
        cg->look_at_user = true;
    if (!group_tells_user(cg)) {
        cg->user_floor = follow(cg->user_floor, user, cg->host->page_bytes);
        if (user > cg->user_floor + stock)
            cg->user_floor = user - stock / 2;
    } else if (!fits) {
        if (group_read_user(cg, &now, &known, err) < 0)
            return -1;
        cg->user_floor = now < user ? now : user; /* it may not count the last pages that went */
    }
    return 0;
}

/* What did fit may have changed by less than a stock: now and then, and after each run that came behind a pause. */
int group_look_at_user(struct cgroup *cg, struct cj_error *err)
{
    uint64_t now;
    bool known;
    if (!cg->look_at_user)
        return 0;
    if (group_read_user(cg, &now, &known, err) < 0)
        return -1;
    if (known)
        cg->user_floor = now;
    cg->look_at_user = false;
    cg->user_runs = 0;
    return 0;
}

static int follow_floors(struct cgroup *cg, struct cj_error *err)
{
    uint64_t user = minus(cg->begin.usage_bytes, cg->begin.kernel_bytes);
    if (follow_user(cg, user, err) < 0)
        return -1;
    cg->kernel_floor = follow(cg->kernel_floor, cg->begin.kernel_bytes, cg->host->page_bytes);
    if (cg->share_bytes > user)
        cg->share_bytes = user; /* the counter is never below what is used */
    return 0;
}

int group_open_procs(const struct cgroup *cg, int fds[static CGROUP_HIERARCHIES_MAX], size_t *count,
                     struct cj_error *err)
{
    *count = 0;
    for (size_t i = 0; i < cg->host->count; i++) {
        fds[*count] = openat(cg->run_fd[i], "cgroup.procs", O_WRONLY | O_CLOEXEC);
        if (fds[*count] < 0)
            return error_errno(err, "open cgroup.procs of %s", cg->run_name[i]);
        ++*count;
    }
    return 0;
}

/* ---- a run ---- */

/* Its first process is there before, and nothing else has happened in the group since. */
static bool is_ahead(const struct cgroup *cg)
{
    return cg->is_beside && cg->begin.limits.first_is_there;
}

static int apply(struct cgroup *cg, const struct cgroup_setting *setting, struct cj_error *err)
{
    if (setting->file == CGROUP_CPUSET_CPUS)
        cg->cpus_learned = false;
    if (!group_has(cg, setting->file) || group_write(cg, setting->file, setting->value) == 0)
        return 0;
    int code = errno;
    const char *name = cgroup_file_name(cg->host->facts.kind, setting->file);
    if (setting->file == CGROUP_CPUSET_CPUS &&
        (code == EINVAL || code == ERANGE || code == EACCES || code == ENOSPC || code == E2BIG))
        return error_set(err, ERROR_REQUEST, EINVAL,
                         "CPU set '%s' is not part of this machine's '%s'", setting->value,
                         cg->host->cpu_set);
    return error_errno(err, "write '%s' to %s", setting->value, name);
}

/* v2: what the run's first process holds already is the run's. */
static void leave_out_first(struct cgroup *cg)
{
    if (is_ahead(cg) && cg->begin.usage_bytes > cg->before_first_bytes)
        cg->begin.usage_bytes = cg->before_first_bytes;
}

int group_read_memory_before(struct cgroup *cg, struct cj_error *err)
{
    if (group_read(cg, CGROUP_MEMORY_USAGE, &cg->begin.usage_bytes, err) < 0 ||
        group_read(cg, CGROUP_MEMORY_KERNEL, &cg->begin.kernel_bytes, err) < 0)
        return -1;
    leave_out_first(cg);
    return 0;
}

/* After the limit is written: to make it lower, the kernel may have had to refuse somebody. */
static int read_oom_before(struct cgroup *cg, uint64_t limit_before, struct cj_error *err)
{
    const struct cgroup_seen *seen = &cg->seen;
    if (!seen->valid || !seen->undisturbed || cg->written.memory_bytes < limit_before)
        return read_oom(cg, &cg->begin.oom_kills, &cg->begin.oom_events, err);
    cg->begin.oom_kills = seen->oom_kills;
    cg->begin.oom_events = seen->oom_events;
    return 0;
}

/* Where the counters stand. What the end of the last run told is not asked for again (0.5 us each): counts
 * that only a run changes hold as long as nobody was moved, the others for a moment. */
static int read_before(struct cgroup *cg, struct cj_error *err)
{
    const struct cgroup_seen *seen = &cg->seen;
    bool recent = seen->valid && seen->undisturbed && cg->begin.time_ns - seen->time_ns <= SEEN_NS;
    if (seen->valid)
        cg->begin.tasks_peak = seen->tasks_peak;
    else if (group_read(cg, CGROUP_PIDS_CURRENT, &cg->begin.tasks, err) < 0 ||
             group_read(cg, CGROUP_PIDS_PEAK, &cg->begin.tasks_peak, err) < 0)
        return -1;
    if (!recent)
        return group_read_cpu_ns(cg, &cg->begin.cpu_ns, err) < 0
                   ? -1
                   : group_read_memory_before(cg, err);
    cg->begin.cpu_ns = seen->cpu_ns;
    cg->begin.usage_bytes = seen->usage_bytes;
    cg->begin.kernel_bytes = seen->kernel_bytes;
    return 0;
}

int group_write_plan(struct cgroup *cg, uint64_t memory_share, struct cj_error *err)
{
    struct cgroup_share share = {
        .memory_bytes = memory_share, .tasks = cg->begin.tasks, .cpu_set = cg->host->cpu_set};
    struct cgroup_setting settings[CGROUP_SETTINGS_MAX];
    struct cgroup_written next;
    size_t count =
        cgroup_plan(cg->host->facts.kind, &cg->begin.limits, &share, &cg->written, &next, settings);
    if (count > 0) {
        memset(&cg->written, 0, sizeof(cg->written)); /* until all of it is written */
        for (size_t i = 0; i < count; i++)
            if (apply(cg, &settings[i], err) < 0)
                return -1;
        cg->written = next;
    }
    cg->begin.limit_bytes = next.memory_bytes != UINT64_MAX ? next.memory_bytes : 0;
    return 0;
}

int group_write_beside(struct cgroup *cg, uint64_t beside, struct cj_error *err)
{
    uint64_t share = cg->host->facts.kind == CGROUP_V2 ? 0 : cg->share_bytes;
    return group_write_plan(cg, share + beside + cg->mark.cache_bytes, err);
}

/* What the limit is raised by: init, and the garbage of earlier runs as long as it stands there
 * (cgroup_garbage.c). Not page cache, which goes when room is needed. v2 does not tell garbage from
 * cache cheaply; there it is bounded by the group's replacement. */
static uint64_t limit_share(const struct cgroup *cg)
{
    if (cg->host->facts.kind == CGROUP_V2)
        return cg->begin.usage_bytes < GROUP_V2_KEPT_BYTES ? cg->begin.usage_bytes : 0;
    uint64_t share = cg->share_bytes + group_garbage(cg);
    uint64_t asked = cg->begin.limits.memory_bytes;
    uint64_t written = cg->written.memory_known ? cg->written.memory_bytes : 0;
    /* What grows from run to run would have to be written for each: a little ahead, which group_settle() takes back. */
    if (asked / AHEAD_SHARE < AHEAD_BYTES ||
        cg->begin.kernel_bytes <= cg->kernel_floor + AHEAD_BYTES)
        return share;
    bool is_there = written >= asked + share && written < asked + share + AHEAD_BYTES;
    return is_there ? written - asked : share + AHEAD_BYTES;
}

int group_write_ahead(struct cgroup *cg, struct cj_error *err)
{
    const struct cgroup_limits limits = cg->begin.limits;
    cg->begin.limits.cpu_rate = 0;
    cg->begin.tasks = 0;
    cg->begin.usage_bytes = cg->before_first_bytes;
    int done = group_write_plan(cg, limit_share(cg), err);
    cg->begin.limits = limits;
    return done;
}

/* v1 refuses a limit below what stands in the group even after it has given back what it could: more than
 * init's share then is there (kernel memory that goes a little later, or that stays with init's name).
 * The run gets what it asked for beside that; whether it took more is for its figure to say. */
static int write_plan_above_usage(struct cgroup *cg, struct cj_error *err)
{
    enum { TRIES = 8 };
    struct cj_error refused;
    error_clear(&refused);
    int done = group_write_plan(cg, limit_share(cg), &refused);
    for (uint64_t i = 0; done < 0 && refused.code == EBUSY && i < TRIES; i++) {
        cg->begin.raised = true;
        if (group_read_memory_before(cg, err) < 0)
            return -1;
        done = group_write_plan(cg, cg->begin.usage_bytes + i * CGROUP_SHARE_ROUNDING, &refused);
    }
    if (done < 0 && err != NULL)
        *err = refused;
    return done;
}

/* Page cache of earlier runs is not in the way of this one: the kernel drops it when the limit is
 * reached. But that is work done in this run's time; when it could fill half of the limit, it is
 * done before. */
static bool cache_is_in_the_way(const struct cgroup *cg)
{
    uint64_t residue = minus(cg->begin.usage_bytes, cg->share_bytes + cg->begin.kernel_bytes);
    return cg->begin.limits.memory_bytes > 0 && residue > 1024 * 1024 &&
           residue > cg->begin.limits.memory_bytes / 2;
}

int group_begin(struct cgroup *cg, const struct cgroup_limits *limits, struct cj_error *err)
{
    const enum cgroup_kind kind = cg->host->facts.kind;
    if (memchr(limits->cpu_set, '\0', sizeof(limits->cpu_set)) == NULL ||
        !cgroup_cpu_set_valid(limits->cpu_set))
        return error_set(err, ERROR_REQUEST, EINVAL, "CPU set '%.*s' is not a list such as 0-3,8",
                         CGROUP_CPU_SET_SIZE - 1, limits->cpu_set);
    cg->least_tasks = false;
    cg->begin.raised = false;
    cg->begin.limits = *limits;
    cg->begin.time_ns = monotonic_ns();
    if (cg->begin.limits.memory_bytes > limits->forked_bytes)
        cg->begin.limits.memory_bytes -= limits->forked_bytes;
    if (read_before(cg, err) < 0)
        return -1;
    cg->lacks_first = is_ahead(cg) && group_has(cg, CGROUP_PIDS_CURRENT) && cg->begin.tasks == 0;
    if (limits->first_is_there && cg->begin.tasks > 0)
        cg->begin.tasks--;
    if (cache_is_in_the_way(cg)) {
        group_reclaim(cg, cg->begin.usage_bytes);
        if (group_read_memory_before(cg, err) < 0)
            return -1;
    }
    if (follow_floors(cg, err) < 0)
        return -1;
    uint64_t limit_before = cg->written.memory_known ? cg->written.memory_bytes : UINT64_MAX;
    if (write_plan_above_usage(cg, err) < 0)
        return -1;

    cg->begin.peak_bytes = 0;
    if (cg->host->facts.can_reset_memory_peak && group_has(cg, CGROUP_MEMORY_PEAK)) {
        if (group_write(cg, CGROUP_MEMORY_PEAK, "0") < 0)
            return error_errno(err, "reset %s", cgroup_file_name(kind, CGROUP_MEMORY_PEAK));
    } else if (group_read(cg, CGROUP_MEMORY_PEAK, &cg->begin.peak_bytes, err) < 0) {
        return -1;
    }
    if (read_oom_before(cg, limit_before, err) < 0)
        return -1;
    if (is_ahead(cg))
        cg->begin.peak_bytes = 0; /* of that process only */
    cg->seen.valid = false;       /* until the run is over */
    group_mark(cg);
    return 0;
}

static int finish_tasks(struct cgroup *cg, struct cgroup_usage *usage, struct cj_error *err)
{
    uint64_t peak;
    if (!group_has(cg, CGROUP_PIDS_PEAK))
        return 0;
    if (group_read(cg, CGROUP_PIDS_PEAK, &peak, err) < 0)
        return -1;
    cg->seen.tasks_peak = peak;
    /* An older peak that this run did not pass says something only when it was the least a run has. */
    usage->has_process_peak = peak > cg->begin.tasks_peak || peak <= cg->begin.tasks + 1;
    if (usage->has_process_peak && peak > cg->begin.tasks)
        usage->process_peak = peak - cg->begin.tasks;
    cg->least_tasks = peak <= cg->begin.tasks + 1;
    return 0;
}

/* The kernel may uncharge a task a little after it was reaped (before Linux 5.2). */
static int look_for_leavings(struct cgroup *cg, struct cgroup_usage *usage, struct cj_error *err)
{
    enum { TRIES = 20 };
    uint64_t tasks = 0;
    if (!cg->begin.limits.first_is_there)
        return 0;
    for (int i = 0; i < TRIES; i++) {
        if (i > 0)
            usleep(1000);
        if (group_read(cg, CGROUP_PIDS_CURRENT, &tasks, err) < 0)
            return -1;
        if (tasks <= cg->begin.tasks)
            return 0;
    }
    usage->somebody_left = true;
    return 0;
}

static void put_residue(struct cgroup *cg, uint64_t usage, uint64_t kernel)
{
    cg->residue_bytes = minus(usage, kernel + cg->share_bytes);
    cg->residue_kernel_bytes = minus(kernel, cg->kernel_floor);
}

int group_read_residue(struct cgroup *cg, struct cj_error *err)
{
    uint64_t usage, kernel;
    if (group_read(cg, CGROUP_MEMORY_USAGE, &usage, err) < 0 ||
        group_read(cg, CGROUP_MEMORY_KERNEL, &kernel, err) < 0)
        return -1;
    put_residue(cg, usage, kernel);
    return 0;
}

/* Whoever is killed for lack of memory gets SIGKILL, and nobody lacks any far below the limit: of a run that was one process all
 * along, and was not killed, that need not be asked (1 us). */
static bool nobody_was_killed(const struct cgroup *cg, bool unkilled,
                              const struct cgroup_usage *usage,
                              const struct cgroup_memory_readings *readings)
{
    bool one_process = usage->has_process_peak && usage->process_peak == 1;
    uint64_t far =
        readings->limit / FAR_SHARE < FAR_BYTES ? readings->limit / FAR_SHARE : FAR_BYTES;
    bool below = readings->peak > 0 && !cg->begin.raised &&
                 (readings->limit == 0 || readings->peak + far < readings->limit);
    return unkilled && one_process && below;
}

static int finish_kills(struct cgroup *cg, bool asked_for, struct cgroup_usage *usage,
                        struct cj_error *err)
{
    uint64_t kills = cg->begin.oom_kills, events = cg->begin.oom_events;
    if (asked_for && read_oom(cg, &kills, &events, err) < 0)
        return -1;
    cg->seen.oom_kills = kills;
    cg->seen.oom_events = events;
    usage->oom_kills = kills - cg->begin.oom_kills;
    usage->refused = events > cg->begin.oom_events;
    return 0;
}

static void finish_memory(struct cgroup *cg, const struct cgroup_memory_readings *readings,
                          uint64_t left, struct cgroup_usage *usage)
{
    cg->seen.usage_bytes = readings->usage_after;
    cg->seen.kernel_bytes = readings->kernel_after;
    put_residue(cg, readings->usage_after, readings->kernel_after);
    if (!group_has(cg, CGROUP_MEMORY_PEAK) ||
        (cg->begin.peak_bytes > 0 && readings->peak <= cg->begin.peak_bytes))
        return; /* not known, or an older run's */
    usage->has_memory = true;
    usage->memory_bytes = cgroup_memory_peak(readings);
    if (usage->memory_bytes < cg->mark.figure_bytes)
        usage->memory_bytes = cg->mark.figure_bytes;
    if (group_was_over(cg, usage->memory_bytes, left) && usage->oom_kills == 0)
        usage->oom_kills = 1;
    /* The limit was rounded up a little; a figure above what was asked for would contradict OK. */
    if (cg->begin.limits.memory_bytes > 0 && usage->memory_bytes > cg->begin.limits.memory_bytes) {
        usage->memory_bytes = cg->begin.limits.memory_bytes;
        if (cg->begin.raised && usage->oom_kills == 0)
            usage->oom_kills = 1;
    }
}

int group_finish(struct cgroup *cg, const struct cgroup_ended *ended, struct cgroup_usage *usage,
                 struct cj_error *err)
{
    memset(usage, 0, sizeof(*usage));
    int64_t cpu_ns;
    struct group_stat stat = {0};
    struct cgroup_memory_readings readings;
    if (group_read_cpu_ns(cg, &cpu_ns, err) < 0 || finish_tasks(cg, usage, err) < 0 ||
        look_for_leavings(cg, usage, err) < 0 ||
        group_read_since_mark(cg, usage->process_peak, true, &readings, err) < 0 ||
        finish_kills(cg, !nobody_was_killed(cg, ended->unkilled, usage, &readings), usage, err) <
            0 ||
        (cg->mark.cache_bytes > 0 && group_read_stat(cg, &stat, err) < 0))
        return -1;
    uint64_t left = stat.cache_bytes + minus(readings.kernel_after, readings.kernel_before);
    if (!cg->mark.again)
        readings.faulted = ended->faults * cg->host->page_bytes;
    cg->seen.cpu_ns = cpu_ns;
    finish_memory(cg, &readings, left, usage);
    if (usage->has_memory)
        usage->memory_bytes += cg->begin.limits.forked_bytes;
    cg->seen.time_ns = monotonic_ns();
    cg->seen.valid = cg->seen.undisturbed = true;
    usage->cpu_ns = cpu_ns - cg->begin.cpu_ns;
    return 0;
}

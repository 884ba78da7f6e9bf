/* Protection levels: names, promises, and the decision from abilities to a level. */
#include "sandbox/protection.h"

#include <string.h>

static const char *const names[PROTECTION_LEVELS] = {
    [PROTECTION_FULL] = "full",
    [PROTECTION_NO_CGROUP] = "no-cgroup",
    [PROTECTION_NO_USERNS] = "no-userns",
    [PROTECTION_NONE] = "none",
};

static const char *const summaries[PROTECTION_LEVELS] = {
    [PROTECTION_FULL] = "namespaces, system-call filter and control groups",
    [PROTECTION_NO_CGROUP] =
        "namespaces and system-call filter; limits by rlimit, figures by rusage",
    [PROTECTION_NO_USERNS] =
        "Landlock, system-call filter and rlimits; one run at a time for each uid",
    [PROTECTION_NONE] = "rlimits and the uid only: run nothing here that you do not trust",
};

#define KEPT_BY_ALL                                                                                \
    {                                                                                              \
        true, true, true, true                                                                     \
    }
#define KEPT_BUT_BY_NONE                                                                           \
    {                                                                                              \
        true, true, true, false                                                                    \
    }
#define KEPT_BY_CONTAINERS                                                                         \
    {                                                                                              \
        true, true, false, false                                                                   \
    }
#define KEPT_BY_FULL                                                                               \
    {                                                                                              \
        true, false, false, false                                                                  \
    }

static const struct protection_promise promises[] = {
    {"wall-time", "a run ends at its wall-time limit", KEPT_BY_ALL},
    {"cpu-time", "a process ends at the CPU-time limit of the run", KEPT_BY_ALL},
    {"output", "collected output and single files stay below their limits", KEPT_BY_ALL},
    {"system-calls", "system calls that no program needs are refused", KEPT_BUT_BY_NONE},
    {"files", "the host's files are not writable; only what is meant to be seen is readable",
     KEPT_BUT_BY_NONE},
    {"no-escape-of-processes", "no process outlives the run, however it forks and daemonizes",
     KEPT_BUT_BY_NONE},
    {"processes-unseen", "other processes can be neither seen nor signalled", KEPT_BY_CONTAINERS},
    {"network", "no network: not the host's, not the loopback of the host", KEPT_BY_CONTAINERS},
    {"ipc", "shared memory, semaphores and message queues are the run's own", KEPT_BY_CONTAINERS},
    {"file-space", "files of the run live in a tmpfs with caps on bytes and inodes",
     KEPT_BY_CONTAINERS},
    {"fresh-state", "nothing a run leaves behind is found by the next one", KEPT_BY_CONTAINERS},
    {"parallel", "runs at the same time cannot disturb or see each other", KEPT_BY_CONTAINERS},
    {"cpu-time-of-tree", "the CPU limit counts all processes together, to the millisecond",
     KEPT_BY_FULL},
    {"memory", "memory of all processes together, with tmpfs, shared and kernel memory, is limited",
     KEPT_BY_FULL},
    {"processes", "the number of processes and threads of the run is limited exactly",
     KEPT_BY_FULL},
    {"memory-verdict", "an out-of-memory kill is told from every other end", KEPT_BY_FULL},
};

/* In the order of enum protection_lack. */
static const struct protection_reason reasons[PROTECTION_LACKS] = {
    {LACK_SECCOMP, PROTECTION_NONE, "seccomp", "no system-call filter can be installed",
     "programs reach the whole system-call surface of the kernel"},
    {LACK_USER_NAMESPACE, PROTECTION_NO_USERNS, "user-namespace", "user namespaces cannot be made",
     "no containers: files, processes and the network are not kept apart by the kernel"},
    {LACK_NAMESPACES, PROTECTION_NO_USERNS, "namespaces",
     "mount, pid, net, ipc or uts namespaces cannot be made",
     "no containers: files, processes and the network are not kept apart by the kernel"},
    {LACK_KERNEL_CALLS, PROTECTION_NO_USERNS, "kernel-calls",
     "system calls of Linux 5.12 are missing (openat2, close_range, open_tree, mount_setattr)",
     "no containers: files, processes and the network are not kept apart by the kernel"},
    {LACK_MOUNTS, PROTECTION_NO_USERNS, "mounts", "file systems cannot be mounted in a namespace",
     "no containers: a program would see the host's file system"},
    {LACK_PROC, PROTECTION_NO_USERNS, "proc", "a new /proc cannot be mounted",
     "no containers: init cannot see and count the processes of a run"},
    {LACK_LANDLOCK, PROTECTION_NONE, "landlock", "Landlock is not there",
     "without containers and Landlock nothing but permissions guards the host's files"},
    {LACK_CGROUP_MEMORY, PROTECTION_NO_CGROUP, "cgroup-memory", "no writable memory controller",
     "memory is limited for each process only, its peak is a guess from rusage, and running out of "
     "memory looks like a crash"},
    {LACK_CGROUP_PIDS, PROTECTION_NO_CGROUP, "cgroup-pids", "no writable pids controller",
     "processes are counted for each uid by rlimit, and the process peak is not known"},
    {LACK_CGROUP_CPU, PROTECTION_NO_CGROUP, "cgroup-cpu", "CPU time of a group cannot be read",
     "CPU time is limited for each process, not for the run as a whole"},
    {LACK_OWN_UID, PROTECTION_FULL, "own-uid", "containers cannot have uids of their own",
     "the kernel's quotas for a user are shared between runs and this service"},
    {LACK_CGROUP_NAMESPACE, PROTECTION_FULL, "cgroup-namespace", "no cgroup namespaces",
     "a program can read the name of its control group"},
    {LACK_SWAP_LIMIT, PROTECTION_FULL, "swap-limit", "swap cannot be limited",
     "a run may use swap beyond its memory limit"},
    {LACK_KERNEL_MEMORY, PROTECTION_FULL, "kernel-memory", "kernel memory is not charged to runs",
     "page tables, pipes and sockets of a run are not limited"},
    {LACK_MEMORY_PEAK, PROTECTION_FULL, "memory-peak", "the kernel keeps no memory peak of a group",
     "the memory peak is sampled: a short peak may be missed (the limit is exact)"},
    {LACK_PROCESS_PEAK, PROTECTION_FULL, "process-peak",
     "the kernel keeps no process peak of a group",
     "the process peak is not known (the limit is exact)"},
};

const char *protection_name(enum protection_level level)
{
    return (unsigned)level < PROTECTION_LEVELS ? names[level] : "unknown";
}

const char *protection_summary(enum protection_level level)
{
    return (unsigned)level < PROTECTION_LEVELS ? summaries[level] : "unknown";
}

int protection_parse(const char *text, enum protection_level *level, struct cj_error *err)
{
    for (unsigned i = 0; i < PROTECTION_LEVELS; i++) {
        if (strcmp(text, names[i]) == 0) {
            *level = (enum protection_level)i;
            return 0;
        }
    }
    return error_set(err, ERROR_CONFIG, 0,
                     "'%s' is no protection level: full, no-cgroup, no-userns, none", text);
}

bool protection_meets(enum protection_level level, enum protection_level required)
{
    return level <= required;
}

const struct protection_promise *protection_promises(size_t *count)
{
    *count = COUNT_OF(promises);
    return promises;
}

const char *figure_accuracy_name(enum figure_accuracy accuracy)
{
    static const char *const texts[] = {"exact", "close", "unknown"};
    return (unsigned)accuracy < COUNT_OF(texts) ? texts[accuracy] : "unknown";
}

static void add_reason(struct protection_decision *out, enum protection_lack lack)
{
    out->reasons[out->reason_count++] = &reasons[lack];
}

static bool can_contain(const struct protection_ability *ability)
{
    return ability->user_namespace && ability->namespaces && ability->kernel_calls &&
           ability->mounts && ability->proc;
}

static enum protection_level decide_level(const struct protection_ability *ability)
{
    if (!ability->seccomp)
        return PROTECTION_NONE;
    if (!can_contain(ability))
        return ability->landlock ? PROTECTION_NO_USERNS : PROTECTION_NONE;
    if (!ability->cgroup_memory || !ability->cgroup_pids || !ability->cgroup_cpu)
        return PROTECTION_NO_CGROUP;
    return PROTECTION_FULL;
}

/* Lacks that keep a better level away, in the order of enum protection_lack. */
static void explain_level(const struct protection_ability *ability, struct protection_decision *out)
{
    if (!ability->seccomp)
        add_reason(out, LACK_SECCOMP);
    if (!ability->user_namespace) /* what is made inside of one is then the same lack */
        add_reason(out, LACK_USER_NAMESPACE);
    else if (!ability->namespaces)
        add_reason(out, LACK_NAMESPACES);
    else if (!ability->kernel_calls)
        add_reason(out, LACK_KERNEL_CALLS);
    else if (!ability->mounts)
        add_reason(out, LACK_MOUNTS);
    else if (!ability->proc)
        add_reason(out, LACK_PROC);
    if (!can_contain(ability) && !ability->landlock)
        add_reason(out, LACK_LANDLOCK);
    if (!ability->cgroup_memory)
        add_reason(out, LACK_CGROUP_MEMORY);
    if (!ability->cgroup_pids)
        add_reason(out, LACK_CGROUP_PIDS);
    if (!ability->cgroup_cpu)
        add_reason(out, LACK_CGROUP_CPU);
}

/* Lacks that leave the level but cost something at it. */
static void explain_rest(const struct protection_ability *ability, struct protection_decision *out)
{
    bool container = protection_meets(out->level, PROTECTION_NO_CGROUP);
    bool group = out->level == PROTECTION_FULL;
    if (container && !ability->own_uid)
        add_reason(out, LACK_OWN_UID);
    if (group && !ability->cgroup_namespace)
        add_reason(out, LACK_CGROUP_NAMESPACE);
    if (group && !ability->swap_limited)
        add_reason(out, LACK_SWAP_LIMIT);
    if (group && !ability->kernel_memory)
        add_reason(out, LACK_KERNEL_MEMORY);
    if (group && !ability->memory_peak)
        add_reason(out, LACK_MEMORY_PEAK);
    if (group && !ability->process_peak)
        add_reason(out, LACK_PROCESS_PEAK);
}

static void decide_figures(const struct protection_ability *ability,
                           struct protection_decision *out)
{
    out->wall = (struct figure){FIGURE_EXACT, "monotonic clock"};
    if (out->level == PROTECTION_FULL) {
        out->cpu = (struct figure){FIGURE_EXACT, "all processes of the control group"};
        out->memory_peak =
            ability->memory_peak
                ? (struct figure){FIGURE_EXACT, "peak of the control group"}
                : (struct figure){FIGURE_CLOSE, "sampled usage of the control group"};
        out->process_peak = ability->process_peak
                                ? (struct figure){FIGURE_EXACT, "peak of the control group"}
                                : (struct figure){FIGURE_UNKNOWN, "the kernel has no pids.peak"};
        out->oom = (struct figure){FIGURE_EXACT, "out-of-memory kills of the control group"};
        return;
    }
    out->cpu =
        (struct figure){FIGURE_CLOSE, "rusage; misses children whose parent ignores SIGCHLD"};
    out->memory_peak =
        (struct figure){FIGURE_CLOSE, "largest resident set of one process (rusage)"};
    out->process_peak = (struct figure){FIGURE_UNKNOWN, "needs the pids controller"};
    out->oom = (struct figure){FIGURE_UNKNOWN, "needs the memory controller"};
}

void protection_decide(const struct protection_ability *ability, struct protection_decision *out)
{
    memset(out, 0, sizeof(*out));
    out->level = decide_level(ability);
    explain_level(ability, out);
    explain_rest(ability, out);
    decide_figures(ability, out);
}

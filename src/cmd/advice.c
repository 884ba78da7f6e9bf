/* For each lack: what it costs, and the command that mends it. */
#include "advice.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What the functions below add to. */
struct advisor {
    const struct host_facts *facts;
    const struct host_tries *tries;
    const struct protection_decision *decision;
    struct remedy *out;
    size_t count;
    bool privileged; /* CAP_SYS_ADMIN: most rules about user namespaces do not bind us */
};

static const struct protection_reason *find_reason(const struct advisor *a,
                                                   enum protection_lack lack)
{
    for (size_t i = 0; i < a->decision->reason_count; i++)
        if (a->decision->reasons[i]->lack == lack)
            return a->decision->reasons[i];
    return NULL;
}

/* The command is a format. problem and cost are plain text. */
static void add(struct advisor *a, const char *name, bool lowers_level, const char *problem,
                const char *cost, const char *command, ...) PRINTF(6, 7);

static void add(struct advisor *a, const char *name, bool lowers_level, const char *problem,
                const char *cost, const char *command, ...)
{
    if (a->count == REMEDIES_MAX)
        return;
    struct remedy *remedy = &a->out[a->count++];
    remedy->name = name;
    remedy->lowers_level = lowers_level;
    snprintf(remedy->problem, sizeof(remedy->problem), "%s", problem);
    snprintf(remedy->cost, sizeof(remedy->cost), "%s", cost);
    va_list args;
    va_start(args, command);
    vsnprintf(remedy->command, sizeof(remedy->command), command, args);
    va_end(args);
}

static bool is_container(const struct advisor *a, const char *kind)
{
    return strcmp(a->facts->identity.container, kind) == 0;
}

static bool in_container(const struct advisor *a)
{
    const char *kind = a->facts->identity.container;
    return kind[0] != '\0' && strcmp(kind, "wsl") != 0;
}

static bool is_confined(const struct advisor *a)
{
    const char *profile = a->facts->process.apparmor_profile;
    return profile[0] != '\0' && strncmp(profile, "unconfined", 10) != 0;
}

/* The rlimit-like counters that make unshare(2) fail with ENOSPC. */
static const char *zero_limit_of(enum host_namespace ns)
{
    static const char *const sysctls[HOST_NAMESPACES] = {
        "user.max_user_namespaces",   "user.max_mnt_namespaces", "user.max_pid_namespaces",
        "user.max_net_namespaces",    "user.max_ipc_namespaces", "user.max_uts_namespaces",
        "user.max_cgroup_namespaces", "user.max_time_namespaces"};
    return sysctls[ns];
}

/* ---- containers: docker, podman, Kubernetes ---- */

struct container_lacks {
    bool filter;  /* the runtime's system-call filter is in the way */
    bool profile; /* its AppArmor profile */
    bool proc;    /* masked parts of /proc */
    bool cgroup;  /* control groups that are read-only or not there */
};

/* One command for everything that the outer container takes away. */
static void advise_container(struct advisor *a, struct container_lacks lacks,
                             const struct protection_reason *reason)
{
    bool lowers = reason->best != PROTECTION_FULL;
    if (is_container(a, "kubernetes"))
        return add(a, "container", lowers, "the pod's defaults take away what a container needs",
                   reason->cost,
                   "in the pod: hostUsers: false; in the container's securityContext: "
                   "seccompProfile: {type: Unconfined}, appArmorProfile: {type: Unconfined}, "
                   "procMount: Unmasked%s",
                   lacks.cgroup ? "; for control groups: privileged: true" : "");
    bool podman = is_container(a, "podman");
    add(a, "container", lowers, "the outer container's defaults take away what a container needs",
        reason->cost, "%s run%s%s%s%s ...   (or, less safe: --privileged)",
        podman ? "podman" : "docker", lacks.filter ? " --security-opt seccomp=unconfined" : "",
        lacks.profile ? " --security-opt apparmor=unconfined" : "",
        lacks.proc
            ? (podman ? " --security-opt unmask=ALL" : " --security-opt systempaths=unconfined")
            : "",
        lacks.cgroup ? (podman ? " --security-opt unmask=/sys/fs/cgroup --cgroupns=private"
                               : " --security-opt writable-cgroups=true --cgroupns=private")
                     : "");
}

/* True when the outer container was found to be the cause, and named. */
static bool advise_if_container(struct advisor *a, const struct protection_reason *container,
                                const struct protection_reason *proc,
                                const struct protection_reason *group)
{
    const struct host_cgroups *cgroups = &a->facts->cgroups;
    struct container_lacks lacks = {
        .filter = container != NULL && a->facts->process.seccomp_mode == 2,
        .profile = container != NULL && is_confined(a),
        .proc = (container != NULL || proc != NULL) && a->facts->resources.proc_masks > 0,
        .cgroup = group != NULL && (cgroups->read_only || cgroups->kind == CGROUP_NONE),
    };
    if (!in_container(a) || !(lacks.filter || lacks.profile || lacks.proc || lacks.cgroup))
        return false;
    advise_container(a, lacks, container != NULL ? container : group != NULL ? group : proc);
    return true;
}

/* ---- user namespaces and what is made in them ---- */

static bool advise_kernel_namespaces(struct advisor *a, const struct protection_reason *reason)
{
    static const char *const options[HOST_NAMESPACES] = {
        "USER_NS", "NAMESPACES", "PID_NS", "NET_NS", "IPC_NS", "UTS_NS", "CGROUPS", "TIME_NS"};
    size_t before = a->count;
    for (unsigned i = HOST_NS_USER; i <= HOST_NS_UTS; i++) {
        char problem[128];
        if (a->facts->rules.namespaces[i] == FACT_NO) {
            snprintf(problem, sizeof(problem), "the kernel has no %s namespaces",
                     host_namespace_name((enum host_namespace)i));
            add(a, "kernel", true, problem, reason->cost, "boot a kernel with CONFIG_%s=y",
                options[i]);
        } else if (a->tries->steps[TRY_NAMESPACE + i].error == ENOSPC) {
            snprintf(problem, sizeof(problem), "no more %s namespaces are allowed",
                     host_namespace_name((enum host_namespace)i));
            add(a, zero_limit_of((enum host_namespace)i), true, problem, reason->cost,
                "sysctl -w %s=65536", zero_limit_of((enum host_namespace)i));
        }
    }
    return a->count > before;
}

static bool is_refused(const struct advisor *a)
{
    for (unsigned i = 0; i <= TRY_PIVOT_ROOT; i++)
        if (i != TRY_OWN_UID && i != TRY_MOUNT_PROC &&
            (a->tries->steps[i].error == EPERM || a->tries->steps[i].error == EACCES))
            return true;
    return false;
}

/* Rules that bind only processes without CAP_SYS_ADMIN. */
static void advise_unprivileged(struct advisor *a, const struct protection_reason *reason)
{
    const struct host_rules *rules = &a->facts->rules;
    if (rules->unprivileged_userns_clone == 0)
        add(a, "kernel.unprivileged_userns_clone", true,
            "only root may make user namespaces (Debian's rule)", reason->cost,
            "sysctl -w kernel.unprivileged_userns_clone=1   (or run as root)");
    if (rules->apparmor_restrict_userns == 1)
        add(a, "kernel.apparmor_restrict_unprivileged_userns", true,
            "AppArmor takes all capabilities from user namespaces of programs without a profile "
            "(Ubuntu's rule)",
            reason->cost,
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0   (or run as root, or give "
            "cjudge an AppArmor profile with the rule 'userns,')");
}

static void advise_namespaces(struct advisor *a, const struct protection_reason *reason,
                              bool container_named)
{
    size_t before = a->count;
    if (advise_kernel_namespaces(a, reason))
        return;
    if (reason->lack == LACK_KERNEL_CALLS && a->facts->process.seccomp_mode != 2)
        return add(a, reason->name, true, reason->what, reason->cost, "boot Linux 5.12 or newer");
    if (a->facts->rules.max_user_namespaces == 0)
        return add(a, "user.max_user_namespaces", true, "no user namespaces are allowed",
                   reason->cost, "sysctl -w user.max_user_namespaces=65536");
    if (!a->privileged)
        advise_unprivileged(a, reason);
    if (a->facts->process.chrooted == FACT_YES)
        add(a, "chroot", true,
            "this process is in a chroot(2), where the kernel refuses user namespaces",
            reason->cost,
            "start cjudge outside of the chroot, or enter it by pivot_root(2): systemd-nspawn -D "
            "DIR");
    if (!container_named && a->facts->process.seccomp_mode == 2)
        add(a, "seccomp", true, "a system-call filter that this process inherited is in the way",
            reason->cost,
            "in cjudge's systemd unit, remove RestrictNamespaces=, SystemCallFilter= and "
            "PrivateUsers=");
    if (!container_named && is_confined(a))
        add(a, "apparmor", true, "this process is confined by an AppArmor profile", reason->cost,
            "aa-exec -p unconfined -- cjudge ...");
    if (a->facts->rules.selinux == SELINUX_ENFORCING && is_refused(a))
        add(a, "selinux", true, "SELinux enforces a policy that may be in the way", reason->cost,
            "ausearch -m avc -ts recent | audit2allow -M cjudge && semodule -i cjudge.pp");
    if (a->count == before && !container_named)
        add(a, "privileges", true, reason->what, reason->cost,
            a->privileged ? "strace -f cjudge doctor   (the cause is not known)"
                          : "sudo cjudge ...   (the cause is not known; root may be allowed)");
}

static void advise_proc(struct advisor *a, const struct protection_reason *reason)
{
    const struct host_resources *resources = &a->facts->resources;
    if (resources->proc_masks > 0)
        add(a, reason->name, true, "parts of /proc are covered by other mounts", reason->cost,
            "umount -R %s   (and every other mount over a part of /proc)", resources->proc_mask);
    else
        add(a, reason->name, true, reason->what, reason->cost,
            "strace -f cjudge doctor   (the cause is not known)");
}

/* ---- control groups ---- */

static unsigned missing_controllers(const struct advisor *a)
{
    static const struct {
        enum protection_lack lack;
        unsigned bit;
    } lacks[] = {{LACK_CGROUP_MEMORY, CGROUP_MEMORY},
                 {LACK_CGROUP_PIDS, CGROUP_PIDS},
                 {LACK_CGROUP_CPU, CGROUP_CPUACCT}};
    unsigned missing = 0;
    for (size_t i = 0; i < COUNT_OF(lacks); i++)
        if (find_reason(a, lacks[i].lack) != NULL)
            missing |= lacks[i].bit;
    return missing;
}

/* Controllers that the kernel, or whoever manages the tree, keeps from us. */
static void advise_controllers(struct advisor *a, unsigned missing, const char *cost)
{
    char names[64], problem[192];
    host_controllers_text(missing, names, sizeof(names));
    snprintf(problem, sizeof(problem), "the controllers %s are not there", names);
    const char *command_line = a->facts->resources.kernel_command_line;
    if ((missing & CGROUP_MEMORY) != 0 && strstr(command_line, "cgroup_disable=") != NULL)
        add(a, "cgroup_disable", true, problem, cost,
            "kernel boot parameters: remove cgroup_disable=, add cgroup_enable=memory");
    else if (a->facts->cgroups.kind == CGROUP_V2 && a->facts->cgroups.at_root && !in_container(a))
        add(a, "cgroup-controllers", true, problem, cost,
            "boot a kernel with CONFIG_MEMCG=y and CONFIG_CGROUP_PIDS=y, and without v1 "
            "hierarchies: systemd.unified_cgroup_hierarchy=1");
    else if (a->facts->cgroups.kind == CGROUP_V2 && in_container(a) && a->privileged)
        add(a, "cgroup-controllers", true, problem, cost,
            "on the host, in the control group above the container's and in those above that: echo "
            "'+cpu +cpuset +memory +pids' > cgroup.subtree_control   (v1 hierarchies have to be "
            "gone: systemd.unified_cgroup_hierarchy=1)");
    else if (a->facts->cgroups.kind == CGROUP_V2)
        add(a, "cgroup-controllers", true, problem, cost,
            "systemctl edit user@.service: [Service] Delegate=cpu cpuset io memory pids");
    else
        add(a, "cgroup-controllers", true, problem, cost,
            "boot a kernel with CONFIG_MEMCG=y and CONFIG_CGROUP_PIDS=y, or mount them: "
            "mkdir -p /sys/fs/cgroup/%s && mount -t cgroup -o %s none /sys/fs/cgroup/%s",
            names, names, names);
}

/* v1: each controller has a mount of its own, and the memory controller's alone was tried. */
static void advise_v1_mounts(struct advisor *a, unsigned missing, const char *cost)
{
    char commands[512] = "";
    for (unsigned i = 0; i < COUNT_OF(a->facts->cgroups.v1_mounts); i++) {
        const char *mount = a->facts->cgroups.v1_mounts[i];
        size_t used = strlen(commands);
        if ((missing & 1U << i) != 0 && mount[0] != '\0')
            snprintf(commands + used, sizeof(commands) - used, "%smount -o remount,rw %s",
                     used > 0 ? " && " : "", mount);
    }
    add(a, "cgroup-read-only", true, "control groups of some controllers cannot be written", cost,
        "%s%s", commands,
        in_container(a) ? "   (or start the outer container with writable control groups: docker "
                          "run --privileged)"
                        : "");
}

static void advise_cgroups(struct advisor *a, bool container_named)
{
    const struct host_cgroups *seen = &a->facts->cgroups;
    const struct host_cgroup_try *tried = &a->tries->cgroup;
    unsigned missing = missing_controllers(a);
    if (missing == 0 || (container_named && (seen->read_only || seen->kind == CGROUP_NONE)))
        return;
    enum protection_lack lack = (missing & CGROUP_MEMORY) != 0 ? LACK_CGROUP_MEMORY
                                : (missing & CGROUP_PIDS) != 0 ? LACK_CGROUP_PIDS
                                                               : LACK_CGROUP_CPU;
    const char *cost = find_reason(a, lack)->cost;
    if (seen->kind == CGROUP_NONE)
        add(a, "cgroup-mount", true, "no control groups are mounted", cost,
            "mount -t cgroup2 none /sys/fs/cgroup");
    else if (seen->read_only)
        add(a, "cgroup-read-only", true, "control groups are mounted read-only", cost,
            "mount -o remount,rw %s",
            seen->kind == CGROUP_V2 ? seen->unified_mount : "/sys/fs/cgroup/memory");
    else if ((seen->available & missing) != missing)
        advise_controllers(a, missing & ~seen->available, cost);
    else if (tried->mkdir.works != FACT_YES && seen->kind == CGROUP_V2)
        add(a, "cgroup-delegation", true, "no control group may be made here", cost,
            "systemd-run --user --scope -p Delegate=yes -- cjudge ...   (service: Delegate=yes in "
            "its unit; or run as root)");
    else if (tried->mkdir.works != FACT_YES)
        add(a, "cgroup-delegation", true, "no control group may be made here", cost,
            "sudo cjudge ...   (cgroup v1 cannot be delegated safely)");
    else if (seen->kind == CGROUP_V1)
        advise_v1_mounts(a, missing, cost);
    else if (tried->other_processes > 0)
        add(a, "cgroup-processes", true,
            "other processes live in this control group, so it cannot give controllers to groups "
            "below it",
            cost,
            "mkdir -p %s/init && xargs -rn1 < %s/cgroup.procs > %s/init/cgroup.procs   (or start "
            "cjudge as the container's first process)",
            tried->path, tried->path, tried->path);
    else
        add(a, "cgroup-controllers", true, "controllers cannot be given to groups below this one",
            cost, "echo '+cpu +memory +pids' > %s/cgroup.subtree_control", tried->path);
}

/* ---- system calls, file-system rules ---- */

static void advise_filters(struct advisor *a)
{
    const struct protection_reason *seccomp = find_reason(a, LACK_SECCOMP);
    const struct protection_reason *landlock = find_reason(a, LACK_LANDLOCK);
    if (seccomp != NULL)
        add(a, "seccomp-filter", true, seccomp->what, seccomp->cost,
            "boot a kernel with CONFIG_SECCOMP_FILTER=y");
    if (landlock == NULL)
        return;
    if (a->tries->steps[TRY_LANDLOCK].error == EOPNOTSUPP)
        add(a, "landlock", true, "Landlock is built in but not switched on", landlock->cost,
            "kernel boot parameter: lsm=landlock%s%s", a->facts->rules.lsm[0] != '\0' ? "," : "",
            a->facts->rules.lsm);
    else
        add(a, "landlock", true, landlock->what, landlock->cost,
            "boot Linux 5.13 or newer with CONFIG_SECURITY_LANDLOCK=y");
}

/* ---- what leaves the level ---- */

static void advise_small_lacks(struct advisor *a)
{
    static const struct {
        enum protection_lack lack;
        const char *command;
    } fixed[] = {
        {LACK_OWN_UID, "sudo cjudge ...   (or give it CAP_SETUID and CAP_SETGID)"},
        {LACK_CGROUP_NAMESPACE, "boot Linux 4.6 or newer with CONFIG_CGROUPS=y"},
        {LACK_SWAP_LIMIT, "swapoff -a   (or the kernel boot parameter swapaccount=1)"},
        {LACK_KERNEL_MEMORY, "kernel boot parameters: remove cgroup.memory=nokmem"},
        {LACK_MEMORY_PEAK, "boot Linux 5.19 or newer"},
    };
    for (size_t i = 0; i < COUNT_OF(fixed); i++) {
        const struct protection_reason *reason = find_reason(a, fixed[i].lack);
        if (reason != NULL)
            add(a, reason->name, false, reason->what, reason->cost, "%s", fixed[i].command);
    }
    const struct protection_reason *peak = find_reason(a, LACK_PROCESS_PEAK);
    if (peak != NULL)
        add(a, peak->name, false, peak->what, peak->cost, "boot Linux %s or newer",
            a->facts->cgroups.kind == CGROUP_V1 ? "6.11 (or 6.1 with cgroup v2)" : "6.1");
}

/* What is no lack of protection but disturbs programs or measurements. */
static void advise_disturbances(struct advisor *a)
{
    const struct host_resources *resources = &a->facts->resources;
    if (a->tries->steps[TRY_MEMFD_EXEC].works == FACT_NO)
        add(a, "vm.memfd_noexec", false, "programs in memory cannot be executed",
            "the sandbox's init starts from a file that programs could find",
            a->facts->rules.memfd_noexec == 2
                ? "sysctl -w vm.memfd_noexec=1"
                : "strace -f cjudge doctor   (the cause is not known)");
    if (resources->overcommit_memory == 2)
        add(a, "vm.overcommit_memory", false, "the kernel never overcommits memory",
            "runtimes that reserve much address space (JVM, Go, node) fail to start",
            "sysctl -w vm.overcommit_memory=0");
    if (strcmp(resources->clocksource, "hpet") == 0 ||
        strcmp(resources->clocksource, "acpi_pm") == 0 ||
        strcmp(resources->clocksource, "jiffies") == 0)
        add(a, "clocksource", false, "reading the clock is a slow system call here",
            "programs that read the time often run slower than elsewhere",
            "kernel boot parameters: tsc=reliable clocksource=tsc");
}

size_t advise(const struct host_facts *facts, const struct host_tries *tries,
              const struct protection_decision *decision, struct remedy out[static REMEDIES_MAX])
{
    struct advisor a = {.facts = facts, .tries = tries, .decision = decision, .out = out};
    a.privileged = host_has_capability(facts, CAP_SYS_ADMIN);
    const struct protection_reason *namespaces = find_reason(&a, LACK_USER_NAMESPACE);
    if (namespaces == NULL)
        namespaces = find_reason(&a, LACK_NAMESPACES);
    if (namespaces == NULL)
        namespaces = find_reason(&a, LACK_MOUNTS);
    if (namespaces == NULL)
        namespaces = find_reason(&a, LACK_KERNEL_CALLS);
    const struct protection_reason *proc = find_reason(&a, LACK_PROC);
    const struct protection_reason *group = find_reason(&a, LACK_CGROUP_MEMORY);
    bool container_named = advise_if_container(&a, namespaces, proc, group);
    if (namespaces != NULL)
        advise_namespaces(&a, namespaces, container_named);
    if (proc != NULL && !container_named)
        advise_proc(&a, proc);
    advise_filters(&a);
    advise_cgroups(&a, container_named);
    advise_small_lacks(&a);
    advise_disturbances(&a);
    return a.count;
}

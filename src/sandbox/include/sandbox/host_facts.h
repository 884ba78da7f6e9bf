/* What the host is, read from its files: nothing here changes or tries anything.
 *
 * Every collector reads below a root directory (normally "/"), so that tests feed fixture trees.
 * What is missing or unreadable stays unknown: no collector fails. What must be tried to be known
 * (making namespaces, mounting, system calls) is in sandbox/host_try.h.
 *
 * Sources: proc(5), namespaces(7), user_namespaces(7), cgroups(7),
 * Documentation/admin-guide/sysctl/, Documentation/admin-guide/LSM/, systemd-detect-virt(1) for the
 * marks of containers and VMs. */
#ifndef CJ_SANDBOX_HOST_FACTS_H
#define CJ_SANDBOX_HOST_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "sandbox/cgroup.h"

/* A yes or no that may not be known. Zero is unknown. */
enum fact { FACT_UNKNOWN, FACT_NO, FACT_YES };

static inline enum fact fact_of(bool value)
{
    return value ? FACT_YES : FACT_NO;
}

/* A number that is not known, or a sysctl that this kernel does not have. */
enum { HOST_UNKNOWN = -1 };

/* Numbers are int64_t, HOST_UNKNOWN when not known; texts are "" when not known. */

enum host_namespace {
    HOST_NS_USER,
    HOST_NS_MOUNT,
    HOST_NS_PID,
    HOST_NS_NET,
    HOST_NS_IPC,
    HOST_NS_UTS,
    HOST_NS_CGROUP,
    HOST_NS_TIME,
    HOST_NAMESPACES,
};

/* "user", "mount", ... */
const char *host_namespace_name(enum host_namespace ns) PURE;
/* CLONE_NEW* */
int host_namespace_flag(enum host_namespace ns) PURE;

enum host_selinux { SELINUX_UNKNOWN, SELINUX_ABSENT, SELINUX_PERMISSIVE, SELINUX_ENFORCING };

struct host_identity {
    char release[128];   /* kernel */
    char arch[64];       /* of the kernel: "x86_64" */
    char system[128];    /* PRETTY_NAME of os-release */
    char system_id[32];  /* ID of os-release: "debian" */
    char hypervisor[64]; /* "kvm", "vmware", "microsoft", ...; "vm": one that has no name; "": none
                            seen */
    char container[32];  /* "docker", "podman", "kubernetes", "lxc", ..., "other"; "": none seen */
    char container_mark[64]; /* by which sign: "/.dockerenv" */
};

struct host_process {     /* this process */
    int64_t uid;          /* effective */
    int64_t capabilities; /* CapEff, a mask; HOST_UNKNOWN */
    int64_t seccomp_mode; /* 0 none, 1 strict, 2 filter (docker's default profile, ...) */
    int64_t no_new_privs;
    int64_t cpus_allowed; /* how many CPUs its mask has */
    char cpus_allowed_list[128];
    char apparmor_profile[128];       /* "unconfined", "docker-default (enforce)", ... */
    enum fact initial_user_namespace; /* its uid_map maps every id to itself */
    enum fact chrooted; /* the root is no mount point: the kernel refuses user namespaces then */
};

/* Rules that decide whether user namespaces can be made, and what they may do. */
struct host_rules {
    enum fact namespaces[HOST_NAMESPACES]; /* the kernel has it */
    int64_t max_user_namespaces;           /* user.max_user_namespaces; 0: none */
    int64_t unprivileged_userns_clone;     /* Debian and Arch kernels; 0: root only */
    int64_t
        apparmor_restrict_userns; /* Ubuntu 23.10: 1: without a profile, no capabilities inside */
    int64_t apparmor_restrict_unconfined; /* Ubuntu 23.10: 1: no way round it by changing profile */
    enum fact apparmor;                   /* the module is enabled */
    enum host_selinux selinux;
    char lsm[128];             /* active modules in order: "lockdown,capability,landlock" */
    int64_t ptrace_scope;      /* kernel.yama.ptrace_scope */
    int64_t memfd_noexec;      /* vm.memfd_noexec; 2: no executable memfd at all */
    int64_t io_uring_disabled; /* kernel.io_uring_disabled */
    char seccomp_actions[128]; /* kernel.seccomp.actions_avail */
};

struct host_mount {
    char type[32];      /* "tmpfs" */
    char options[256];  /* of the mount and of the file system, joined by ',' */
    int64_t size_bytes; /* size= of a tmpfs */
};

struct host_resources {
    int64_t memory_bytes, memory_available_bytes, swap_bytes;
    int64_t cpus_online;
    int64_t pid_max, threads_max, max_map_count;
    int64_t overcommit_memory;
    int64_t sched_rt_runtime_us;
    char core_pattern[160];
    char clocksource[32];
    char kernel_command_line[1024];
    struct host_mount root, tmp, shm; /* of "/", "/tmp" (or what holds it), "/dev/shm" */
    enum fact tmpfs, overlay;         /* /proc/filesystems */
    int64_t proc_masks;               /* mounts over parts of /proc: a new proc is then refused */
    char proc_mask[128];              /* one of them */
};

/* The hierarchies as they are mounted, and this process's place in them. */
struct host_cgroups {
    enum cgroup_kind kind;                 /* V1 when any v1 controller that matters is mounted */
    bool hybrid;                           /* V1, and a unified tree beside it */
    bool nsdelegate, memory_recursiveprot; /* options of the unified tree */
    bool read_only;     /* the unified tree (v1: the memory controller) is mounted read-only */
    bool at_root;       /* this process is in the root of what it sees */
    unsigned available; /* enum cgroup_controller bits: mounted (v1), in cgroup.controllers (v2) */
    unsigned enabled;   /* v2: in subtree_control of the root that is seen; v1: = available */
    char unified_mount[128];    /* where; "" */
    char v1_mounts[5][128];     /* by the bit number of enum cgroup_controller; "" */
    char path[256];             /* this process: v2 (or hybrid's unified) */
    char memory_path[256];      /* this process: v1's memory controller */
    int64_t memory_limit_bytes; /* of this process's own group; HOST_UNKNOWN: none, or not known */
    int64_t processes_limit;
    char cpu_limit[64]; /* "200000 100000" (quota and period, us); "": none */
};

struct host_facts {
    struct host_identity identity;
    struct host_process process;
    struct host_rules rules;
    struct host_resources resources;
    struct host_cgroups cgroups;
};

/* Reads everything below root_fd (a directory descriptor of "/", or of a fixture). */
void host_facts_read(int root_fd, struct host_facts *out) NONNULL(2);

/* The parts, for tests and for who needs only one. */
void host_identity_read(int root_fd, struct host_identity *out) NONNULL(2);
void host_process_read(int root_fd, struct host_process *out) NONNULL(2);
void host_rules_read(int root_fd, struct host_rules *out) NONNULL(2);
void host_resources_read(int root_fd, struct host_resources *out) NONNULL(2);
void host_cgroups_read(int root_fd, struct host_cgroups *out) NONNULL(2);

/* Whether facts hold capability (CAP_SYS_ADMIN, ...); false when not known. */
bool host_has_capability(const struct host_facts *facts, int capability) NONNULL(1);

/* "memory,pids": the names of enum cgroup_controller bits. Returns text. */
const char *host_controllers_text(unsigned controllers, char *text, size_t size) NONNULL(2);

/* ---- for the collectors ---- */

/* A number at the start of a small file, or HOST_UNKNOWN. */
int64_t host_read_number(int root_fd, const char *path);
/* The first line of a small file, cut to size; "" when it cannot be read. Returns its length. */
size_t host_read_line(int root_fd, const char *path, char *text, size_t size);

/* One line of mountinfo, octal escapes undone. */
struct host_mount_line {
    char *root, *target, *options, *type, *source, *super; /* into the text, which is changed */
};
/* Takes the next line off *text (proc(5), mountinfo). Lines it cannot read are skipped. False at
 * the end. */
bool host_mount_next(char **text, struct host_mount_line *line) NONNULL(1, 2);
/* Whether option (a whole word) is in a comma-separated list. */
bool host_has_option(const char *options, const char *option) NONNULL(1, 2);

#endif

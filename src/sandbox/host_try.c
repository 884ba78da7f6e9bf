/* What works on this host: tries in child processes.
 *
 *     this process ──fork── one child for each namespace alone: unshare(2), exit
 *                  ├─fork── "container": unshare user ──(parent writes the id maps)── unshare the
 * rest │            └─fork── pid 1 in it: mounts, pivot_root, exit ├─fork── "filter": no_new_privs,
 * seccomp, exit └─fork── "memfd": execute a copy of /bin/true
 *
 * Children report through a page of shared memory. Each has a deadline, after which it is killed;
 * the grandchild dies with its parent (PR_SET_PDEATHSIG). */
#include "sandbox/host_try.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/io.h"
#include "id_range.h"

enum { TRY_DEADLINE_MS = 5000 };

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* Linux 6.3 */
#endif
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#endif
enum { LANDLOCK_VERSION_FLAG = 1 }; /* LANDLOCK_CREATE_RULESET_VERSION */

static const char *const step_names[HOST_STEPS - HOST_NAMESPACES] = {
    "id-map",     "own-uid",    "all-namespaces", "kernel-calls", "mount-tmpfs", "mount-bind",
    "mount-proc", "pivot-root", "no-new-privs",   "seccomp",      "landlock",    "memfd-exec",
};

const char *host_step_name(unsigned step)
{
    if (step < HOST_NAMESPACES)
        return host_namespace_name((enum host_namespace)step);
    return step < HOST_STEPS ? step_names[step - HOST_NAMESPACES] : "unknown";
}

static void note(struct host_try *out, bool works)
{
    out->error = works ? 0 : errno;
    out->works = fact_of(works);
}

/* Notes a system call's outcome; true when it worked. */
static bool note_call(struct host_try *out, long result)
{
    note(out, result >= 0);
    return result >= 0;
}

/* ---- children ---- */

struct container_pipes {
    int ready_fd[2];  /* child: "I am in a new user namespace" */
    int mapped_fd[2]; /* parent: "your maps are written" */
};

struct stage {
    struct host_tries *tries; /* shared with the children */
    const struct host_facts *facts;
    unsigned ns;
    struct container_pipes pipes;
};

typedef void child_body(struct stage *stage);

static pid_t start(struct stage *stage, child_body *body)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(TRY_DEADLINE_MS / 1000 + 1); /* where there is no pidfd */
    body(stage);
    _exit(0);
}

/* Waits until pid ends, or kills it at the deadline. Returns 0, or -1 with errno set. */
static int finish(pid_t pid)
{
    auto_fd int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    bool late = false;
    if (pid_fd >= 0) {
        struct pollfd poll_fd = {.fd = pid_fd, .events = POLLIN};
        int64_t deadline = monotonic_ns() + TRY_DEADLINE_MS * NS_PER_MS;
        int ready = 0;
        do {
            int64_t left = (deadline - monotonic_ns()) / NS_PER_MS;
            ready = poll(&poll_fd, 1, left > 0 ? (int)left : 0);
        } while (ready < 0 && errno == EINTR);
        late = ready == 0;
        if (late)
            kill(pid, SIGKILL);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!late && WIFEXITED(status))
        return 0;
    errno = late ? ETIMEDOUT : ECHILD;
    return -1;
}

/* Runs body in a child; the step that it was to note is a NO when the child did not live to do so.
 */
static void run(struct stage *stage, child_body *body, unsigned step)
{
    struct host_try *out = &stage->tries->steps[step];
    pid_t pid = start(stage, body);
    if (pid < 0 || finish(pid) < 0) {
        if (out->works == FACT_UNKNOWN)
            note(out, false);
    }
}

/* ---- each namespace alone ---- */

static void try_namespace(struct stage *stage)
{
    /* Inside a user namespace, as a container makes it; where there is none, with our own rights.
     */
    if (stage->ns != HOST_NS_USER && unshare(CLONE_NEWUSER) < 0 && geteuid() != 0) {
        note(&stage->tries->steps[TRY_NAMESPACE + stage->ns], false);
        return;
    }
    note_call(&stage->tries->steps[TRY_NAMESPACE + stage->ns],
              unshare(host_namespace_flag((enum host_namespace)stage->ns)));
}

/* ---- a container ---- */

/* mount(2) flags that a bind mount has from its source and may not lose in a user namespace. */
static unsigned long kept_flags(const char *path)
{
    static const struct {
        unsigned long seen, kept;
    } flags[] = {{ST_NOSUID, MS_NOSUID},         {ST_NODEV, MS_NODEV},
                 {ST_NOEXEC, MS_NOEXEC},         {ST_NOATIME, MS_NOATIME},
                 {ST_NODIRATIME, MS_NODIRATIME}, {ST_RELATIME, MS_RELATIME}};
    struct statvfs file_system;
    unsigned long kept = 0;
    if (statvfs(path, &file_system) < 0)
        return 0;
    for (size_t i = 0; i < COUNT_OF(flags); i++)
        if ((file_system.f_flag & flags[i].seen) != 0)
            kept |= flags[i].kept;
    return kept;
}

static int bind_read_only(const char *source, const char *target)
{
    if (mkdir(target, 0755) < 0 || mount(source, target, NULL, MS_BIND | MS_REC, NULL) < 0)
        return -1;
    return mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | kept_flags(target), NULL);
}

static int pivot(const char *root)
{
    if (chdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        return -1;
    return umount2(".", MNT_DETACH);
}

static void try_mounts(struct stage *stage)
{
    struct host_try *steps = stage->tries->steps;
    const char *root = access("/tmp", F_OK) == 0 ? "/tmp" : "/mnt";
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755") < 0) {
        note(&steps[TRY_MOUNT_TMPFS], false);
        return;
    }
    note(&steps[TRY_MOUNT_TMPFS], true);
    char path[32];
    snprintf(path, sizeof(path), "%s/usr", root);
    note_call(&steps[TRY_MOUNT_BIND], bind_read_only("/usr", path));
    snprintf(path, sizeof(path), "%s/proc", root);
    note_call(&steps[TRY_MOUNT_PROC],
              mkdir(path, 0755) < 0
                  ? -1
                  : mount("proc", path, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
    note_call(&steps[TRY_PIVOT_ROOT], pivot(root));
}

static void try_container(struct stage *stage)
{
    struct host_try *steps = stage->tries->steps;
    char byte = 0;
    if (unshare(CLONE_NEWUSER) < 0) {
        note(&steps[TRY_ID_MAP], false);
        return;
    }
    close(stage->pipes.mapped_fd[1]); /* so that our read ends when the parent gives up */
    if (write(stage->pipes.ready_fd[1], &byte, 1) != 1 ||
        read(stage->pipes.mapped_fd[0], &byte, 1) != 1)
        return; /* the parent has noted why */
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) {
        note(&steps[TRY_ID_MAP], false);
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* forgotten at a change of credentials */
    if (!note_call(&steps[TRY_ALL_NAMESPACES], unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
                                                       CLONE_NEWIPC | CLONE_NEWUTS)))
        return;
    run(stage, try_mounts, TRY_MOUNT_TMPFS); /* a fork: pid 1 of the new pid namespace */
}

static int write_text(pid_t pid, const char *file, const char *text)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
    auto_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t length = strlen(text);
    return write(fd, text, length) == (ssize_t)length ? 0 : -1;
}

/* Maps id 0 inside to id outside. */
static int write_map(pid_t pid, const char *file, unsigned id)
{
    char line[64];
    snprintf(line, sizeof(line), "0 %u 1\n", id);
    return write_text(pid, file, line);
}

/* An id that the service would give to a container (id_range.c): out of its reserved range, or the
 * last that this user namespace maps. */
static unsigned own_id(void)
{
    char text[1024];
    unsigned long inside = 0, outside = 0, count = 0, end = 0;
    int used = 0;
    if (read_file_at(AT_FDCWD, "/proc/self/uid_map", text, sizeof(text)) < 0)
        return ID_BASE_DEFAULT;
    for (const char *at = text; sscanf(at, "%lu %lu %lu%n", &inside, &outside, &count, &used) == 3;
         at += used) {
        if (inside <= ID_BASE_DEFAULT && ID_BASE_DEFAULT - inside < count)
            return ID_BASE_DEFAULT;
        end = inside + count > end ? inside + count : end;
    }
    return end > 1 ? (unsigned)(end - 1) : ID_BASE_DEFAULT;
}

/* Maps to ids of its own, as the service does, or to ours where that is forbidden. */
static bool write_maps(pid_t pid, struct host_try *steps)
{
    unsigned id = own_id();
    bool own = write_map(pid, "uid_map", id) == 0;
    note(&steps[TRY_OWN_UID], own);
    if (!own && !note_call(&steps[TRY_ID_MAP], write_map(pid, "uid_map", geteuid())))
        return false;
    if (write_map(pid, "gid_map", id) == 0) {
        note(&steps[TRY_ID_MAP], true);
        return true;
    }
    note(&steps[TRY_OWN_UID], false);
    /* Without privileges: setgroups(2) is given up before gid_map (user_namespaces(7)). */
    int denied = write_text(pid, "setgroups", "deny");
    return note_call(&steps[TRY_ID_MAP], denied < 0 ? -1 : write_map(pid, "gid_map", getegid()));
}

static void run_container(struct stage *stage)
{
    struct host_try *steps = stage->tries->steps;
    struct container_pipes *pipes = &stage->pipes;
    if (pipe2(pipes->ready_fd, O_CLOEXEC) < 0)
        return;
    if (pipe2(pipes->mapped_fd, O_CLOEXEC) < 0) {
        close(pipes->ready_fd[0]);
        close(pipes->ready_fd[1]);
        return;
    }
    pid_t pid = start(stage, try_container);
    auto_fd int ready_fd = pipes->ready_fd[0];
    auto_fd int mapped_fd = pipes->mapped_fd[1];
    close(pipes->ready_fd[1]);
    close(pipes->mapped_fd[0]);
    if (pid < 0) {
        note(&steps[TRY_ID_MAP], false);
        return;
    }
    char byte = 0;
    if (read(ready_fd, &byte, 1) == 1 && write_maps(pid, steps)) {
        if (write(mapped_fd, &byte, 1) != 1)
            note(&steps[TRY_ID_MAP], false);
    }
    fd_close(&mapped_fd);
    if (finish(pid) < 0 && steps[TRY_ALL_NAMESPACES].works == FACT_UNKNOWN)
        note(&steps[TRY_ALL_NAMESPACES], false);
}

/* ---- filters ---- */

static void try_filters(struct stage *stage)
{
    struct host_try *steps = stage->tries->steps;
    struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {.len = COUNT_OF(allow), .filter = allow};
    note_call(&steps[TRY_NO_NEW_PRIVS], prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    note_call(&steps[TRY_SECCOMP], syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

/* With arguments that a kernel which knows the call refuses before it does anything. An outer
 * filter may refuse the whole call, so it looks as if it were missing. */
static void ask_kernel_calls(struct host_try *out)
{
    static const struct {
        long number, args[5];
    } calls[] = {{SYS_openat2, {-1, 0, 0, 0, 0}},
                 {SYS_close_range, {1, 0, 0, 0, 0}},
                 {SYS_open_tree, {-1, 0, ~0U, 0, 0}},
                 {SYS_mount_setattr, {-1, 0, 0, 0, 0}},
                 {SYS_pidfd_open, {-1, 0, 0, 0, 0}}};
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        const long *args = calls[i].args;
        if (syscall(calls[i].number, args[0], args[1], args[2], args[3], args[4]) < 0 &&
            (errno == ENOSYS || errno == EPERM)) {
            note(out, false);
            return;
        }
    }
    note(out, true);
}

static void ask_landlock(struct host_tries *out)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION_FLAG);
    out->landlock_abi = note_call(&out->steps[TRY_LANDLOCK], abi) ? abi : 0;
}

/* ---- a program in a memfd ---- */

static int copy_program(int from_fd, int to_fd)
{
    char block[16384];
    for (;;) {
        ssize_t got = read_full(from_fd, block, sizeof(block));
        if (got <= 0)
            return (int)got;
        if (write_full(to_fd, block, (size_t)got) < 0)
            return -1;
    }
}

static void try_memfd(struct stage *stage)
{
    struct host_try *out = &stage->tries->steps[TRY_MEMFD_EXEC];
    int program_fd = open("/bin/true", O_RDONLY | O_CLOEXEC);
    if (program_fd < 0)
        return; /* unknown: nothing to copy */
    int fd = memfd_create("cjudge-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
        fd = memfd_create("cjudge-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || copy_program(program_fd, fd) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0) {
        note(out, false);
        return;
    }
    char name[] = "true";
    char *args[] = {name, NULL};
    char *environment[] = {NULL};
    note(out, true);
    execveat(fd, "", args, environment, AT_EMPTY_PATH);
    note(out, false);
}

/* ---- all ---- */

static void ask_space(const char *path, int64_t *size, int64_t *available)
{
    struct statvfs file_system;
    *available = HOST_UNKNOWN;
    if (size != NULL)
        *size = HOST_UNKNOWN;
    if (statvfs(path, &file_system) < 0)
        return;
    *available = (int64_t)(file_system.f_bavail * file_system.f_frsize);
    if (size != NULL)
        *size = (int64_t)(file_system.f_blocks * file_system.f_frsize);
}

static void run_children(const struct host_facts *facts, struct host_tries *shared)
{
    struct stage stage = {.tries = shared, .facts = facts};
    for (unsigned i = 0; i < HOST_NAMESPACES; i++) {
        stage.ns = i;
        run(&stage, try_namespace, TRY_NAMESPACE + i);
    }
    run_container(&stage);
    run(&stage, try_filters, TRY_SECCOMP);
    run(&stage, try_memfd, TRY_MEMFD_EXEC);
}

void host_try_all(const struct host_facts *facts, struct host_tries *out)
{
    memset(out, 0, sizeof(*out));
    struct host_tries *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared != MAP_FAILED) {
        run_children(facts, shared);
        *out = *shared;
        munmap(shared, sizeof(*shared));
    }
    ask_kernel_calls(&out->steps[TRY_KERNEL_CALLS]);
    ask_landlock(out);
    struct timespec tick;
    out->tick_ns = clock_getres(CLOCK_MONOTONIC_COARSE, &tick) == 0
                       ? tick.tv_sec * NS_PER_S + tick.tv_nsec
                       : HOST_UNKNOWN;
    ask_space("/tmp", NULL, &out->tmp_free_bytes);
    ask_space("/dev/shm", &out->shm_size_bytes, &out->shm_free_bytes);
    auto_fd int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    host_cgroup_try(root_fd, facts, &out->cgroup);
}

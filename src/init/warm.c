/* Warm interpreters: started once, then forked for each run.
 *
 *     keeper ── clone, ptrace ──► interpreter: starts as `python3 main.py` would, and is stopped in front of the
 *       │                          first system call that names main.py. Its registers are kept, our code is put in
 *       │                          (stub.c), and it is let go: now it only waits for us, and forks
 *       │                              │ CLONE_PARENT
 *       └── (parent of both) ◄────── child: in the run's group, waits for its request
 *                                      ▲
 *                 launcher ────────────┘ descriptors, limits; then it is the run, and goes on with that system call
 *
 * Why so and not by a script of the interpreter's own language: up to its program the interpreter is the very one
 * that starts cold, for the same arguments, environment and kinds of streams, and nothing of ours is in its
 * heap, its modules or below its frames. What it starts with is trusted: the service names only interpreters of
 * its configuration, variables that no loader obeys, and has the writable file systems empty.
 *
 * Until a run begins these processes are container root, which on the host is nobody; they hold no capability but
 * those to become the run, cannot be traced, signalled or read by a program, and are filtered like one. The
 * keeper is a thread of its own since it traces, which the launcher's filter forbids, and since what it clones
 * must not have the janitor's priority. Who loses its parent becomes the launcher's child (it is the leader), so
 * what the launcher has for children at the end of a run are that run's leavings only: __WNOTHREAD.
 *
 * Everything here happens between runs, but warm_hand_over() and warm_ended(), which are the launcher's. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/ptrace.h>
#include <linux/seccomp.h>

#include "init.h"
#include "stub.h"

/* The service waits for 10 s, and then takes init for dead. */
enum {
    ANSWER_MS = 2000,
    READY_MS = 6000, /* with modules that are imported ahead */
    START_SECONDS = 7,
    PROGRAM_PATH_MAX = 512,
    PRELOAD_MAX = 128,
    STACK_SIZE = 64 * 1024,
};

/* Of share/warm. */
__asm__(".section .rodata\n"
        "warm_ahead: .incbin \"warm/ahead.py\"\n"
        "warm_ahead_end:\n"
        "warm_python: .incbin \"warm/python.py\"\n"
        "warm_python_end:\n"
        ".previous\n");
extern const char warm_ahead[], warm_ahead_end[], warm_python[], warm_python_end[];

struct warm {
    pid_t pid;   /* of the interpreter; 0: there is none */
    int control; /* to it */
    pid_t child; /* who waits to be the next run; 0: nobody */
    int child_socket;
    int child_score;             /* its oom_score_adj */
    char path[PROGRAM_PATH_MAX]; /* of its program */
    struct stat program;
};

static struct warm warms[INIT_WARM_MAX];
static unsigned sockets; /* that stand open for them, both ends */

/* One question of the janitor's to the keeper. */
static struct {
    sem_t asked, answered;
    const struct init_request *request;
    struct init_answer *answer;
    volatile pid_t pid; /* the interpreter that it is about; 0: none */
} job;

/* ---- whoever is there ---- */

static void close_socket(int *fd)
{
    if (*fd < 0)
        return;
    close(*fd);
    *fd = -1;
    sockets -= 2; /* the other end is gone, or goes with its process */
}

static void forget_child(struct warm *warm)
{
    warm->child = 0;
    close_socket(&warm->child_socket);
    if (warm->child_score >= 0)
        close(warm->child_score);
    warm->child_score = -1;
}

static void forget(struct warm *warm)
{
    forget_child(warm);
    close_socket(&warm->control);
    *warm = (struct warm){.control = -1, .child_socket = -1, .child_score = -1};
}

/* Of what the keeper has cloned, which has no children of its own. */
static void end_process(pid_t pid)
{
    if (pid <= 0)
        return;
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        continue;
}

static void stop(struct warm *warm)
{
    pid_t child = warm->child, pid = warm->pid;
    end_process(child);
    end_process(pid);
    forget(warm);
}

unsigned warm_sockets(void)
{
    return sockets;
}

bool warm_any(void)
{
    for (unsigned i = 0; i < INIT_WARM_MAX; i++)
        if (warms[i].pid != 0)
            return true;
    return false;
}

uint32_t warm_alive(void)
{
    uint32_t alive = 0;
    for (unsigned i = 0; i < INIT_WARM_MAX; i++)
        if (warms[i].pid != 0)
            alive |= 1U << i;
    return alive;
}

void warm_ended(pid_t pid)
{
    for (unsigned i = 0; i < INIT_WARM_MAX; i++) {
        if (warms[i].child == pid)
            forget_child(&warms[i]);
        if (warms[i].pid == pid)
            forget(&warms[i]); /* who waits in it sees the end of its socket, and ends */
    }
}

/* ---- messages ---- */

static bool send_message(int socket, const void *message, size_t size, const int *fds, int count)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(STUB_FDS_MAX * sizeof(int))];
    } control;
    struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = size};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        memset(&control.header, 0, sizeof(control.header));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
        memcpy(CMSG_DATA(&control.header), fds, (size_t)count * sizeof(int));
        header.msg_control = &control;
        header.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
    }
    ssize_t sent;
    do
        sent = sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)size;
}

/* The socket has a timeout: make_sockets(). */
static bool receive_message(int socket, void *message, size_t size, int flags)
{
    ssize_t got;
    do
        got = recv(socket, message, size, flags | MSG_TRUNC);
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)size;
}

static int be_patient(int socket, int milliseconds)
{
    const struct timeval patience = {.tv_sec = milliseconds / 1000};
    return setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

static int make_sockets(int ends[static 2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -1;
    sockets += 2;
    return be_patient(ends[0], ANSWER_MS);
}

/* ---- the interpreter's process, up to its execve ---- */

static struct {
    char **args, **environment;
    const char *preload; /* modules, with commas; NULL */
    int streams[3];
    int control;
    bool has_stack;
    uint64_t stack_bytes;
    volatile int error;
} start;

/* Capabilities pass an execve(2) of a plain file as ambient ones only; after it nothing can be raised. */
static int keep_capabilities(void)
{
    for (unsigned capability = 0; capability < 32; capability++)
        if ((WARM_INHERITABLE & 1U << capability) != 0 &&
            syscall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0)
            return -1;
    return (int)syscall(SYS_prctl, PR_SET_SECUREBITS,
                        SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                            SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
                        0, 0, 0);
}

static int place_streams(void)
{
    int from[4] = {start.streams[0], start.streams[1], start.streams[2], start.control};
    for (int i = 0; i < 4; i++)
        if ((from[i] = fcntl(from[i], F_DUPFD, 10)) < 0)
            return -1;
    for (int i = 0; i < 4; i++)
        if (dup2(from[i], i < 3 ? i : STUB_CONTROL_FD) < 0)
            return -1;
    return (int)syscall(SYS_close_range, STUB_CONTROL_FD + 1, ~0U, 0);
}

static int interpreter_main(void *nothing)
{
    (void)nothing;
    struct rlimit stack = {start.stack_bytes, start.stack_bytes};
    if (place_streams() == 0 && chdir(self.work_dir) == 0 &&
        (!start.has_stack || syscall(SYS_prlimit64, 0, RLIMIT_STACK, &stack, NULL) == 0) &&
        syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) == 0 && keep_capabilities() == 0 &&
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &self.filter) == 0)
        execve(start.args[0], start.args, start.environment);
    start.error = errno;
    _exit(127);
}

/* ---- to the program's name ---- */

/* Which argument of a system call is a path that it follows; -1: none. */
static int path_argument(uint64_t number)
{
    switch (number) {
#ifdef SYS_open
    case SYS_open:
    case SYS_stat:
    case SYS_lstat:
    case SYS_readlink:
    case SYS_access:
        return 0;
#endif
    case SYS_openat:
    case SYS_openat2:
    case SYS_newfstatat:
    case SYS_readlinkat:
    case SYS_faccessat:
    case SYS_faccessat2:
    case SYS_statx:
        return 1;
    default:
        return -1;
    }
}

static bool reads(pid_t pid, uint64_t address, const char *text)
{
    char seen[INIT_PATH_MAX];
    size_t size = strlen(text) + 1;
    if (size > sizeof(seen))
        return false;
    struct iovec here = {seen, size}, there = {(void *)(uintptr_t)address, size};
    return process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)size &&
           memcmp(seen, text, size) == 0;
}

static bool names_program(pid_t pid, const struct ptrace_syscall_info *info)
{
    char absolute[2 * INIT_PATH_MAX];
    int which = path_argument(info->entry.nr);
    if (which < 0)
        return false;
    snprintf(absolute, sizeof(absolute), "%s/%s", self.work_dir, start.args[1]);
    return reads(pid, info->entry.args[which], start.args[1]) ||
           reads(pid, info->entry.args[which], absolute);
}

/* Goes on to the next entry or exit of a system call. Returns false when the process has ended. */
static bool next_stop(pid_t pid)
{
    int status, signal_number = 0;
    for (;;) {
        if (ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(intptr_t)signal_number) < 0)
            return false;
        while (waitpid(pid, &status, __WALL) < 0)
            if (errno != EINTR)
                return false;
        if (!WIFSTOPPED(status))
            return false;
        if (WSTOPSIG(status) == (SIGTRAP | 0x80))
            return true;
        signal_number = WSTOPSIG(status);
    }
}

/* Returns 0 when it is stopped at the entry of that system call; -1 when it has ended. */
static int go_to_program(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, __WALL) < 0)
        if (errno != EINTR)
            return -1;
    if (!WIFSTOPPED(status) || ptrace(PTRACE_SETOPTIONS, pid, NULL,
                                      (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)) < 0)
        return -1;
    for (;;) {
        struct ptrace_syscall_info info;
        if (!next_stop(pid) ||
            ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info) <= 0)
            return -1;
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY && names_program(pid, &info))
            return 0;
    }
}

/* ---- whether it can be forked ---- */

static int open_proc(pid_t pid, const char *file, int flags)
{
    char path[96];
    snprintf(path, sizeof(path), "%d/%s", pid, file);
    return openat(self.proc_fd, path, flags | O_CLOEXEC);
}

static bool is_alone(pid_t pid)
{
    char path[64], children[16];
    struct stat tasks;
    snprintf(path, sizeof(path), "%d/task", pid);
    if (fstatat(self.proc_fd, path, &tasks, 0) < 0 || tasks.st_nlink != 3)
        return false;
    snprintf(path, sizeof(path), "task/%d/children", pid);
    int fd = open_proc(pid, path, O_RDONLY);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, children, sizeof(children));
    close(fd);
    return got == 0;
}

/* A file that it has open would be shared by all that are forked. */
static bool has_only_given(pid_t pid)
{
    int fd = open_proc(pid, "fd", O_RDONLY | O_DIRECTORY);
    DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
    bool only = list != NULL;
    for (const struct dirent *entry; only && (entry = readdir(list)) != NULL;)
        only = entry->d_name[0] == '.' ||
               (strlen(entry->d_name) == 1 && entry->d_name[0] <= '0' + STUB_CONTROL_FD);
    if (list != NULL)
        closedir(list);
    else if (fd >= 0)
        close(fd);
    return only;
}

/* Memory of its own, in bytes: what a run that starts cold is charged for when it comes to its program, and one
 * that is forked shares. proc_pid_smaps(5) */
static uint64_t own_memory(pid_t pid)
{
    char text[2048];
    int fd = open_proc(pid, "smaps_rollup", O_RDONLY);
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    const char *line = strstr(text, "Anonymous:");
    return line != NULL ? strtoull(line + strlen("Anonymous:"), NULL, 10) * 1024 : 0;
}

/* ---- our code in it ---- */

#if defined(__x86_64__)

/* It is stopped at an entry; the call is replaced by another. Leaves it stopped at that one's exit. */
static long instead(pid_t pid, const struct user_regs_struct *at, long number, uint64_t a,
                    uint64_t b, uint64_t c, uint64_t d)
{
    struct user_regs_struct registers = *at;
    registers.orig_rax = registers.rax = (unsigned long)number;
    registers.rdi = a;
    registers.rsi = b;
    registers.rdx = c;
    registers.r10 = d;
    registers.r8 = ~0UL;
    registers.r9 = 0;
    if (ptrace(PTRACE_SETREGS, pid, NULL, &registers) < 0 || !next_stop(pid) ||
        ptrace(PTRACE_GETREGS, pid, NULL, &registers) < 0)
        return -1;
    return (long)registers.rax;
}

/* Stopped at an exit: has it make another call. */
static long once_more(pid_t pid, const struct user_regs_struct *at, long number, uint64_t a,
                      uint64_t b, uint64_t c)
{
    struct user_regs_struct registers = *at;
    registers.rip -= 2; /* the system call instruction */
    registers.rax = (unsigned long)number;
    registers.orig_rax = ~0UL;
    if (ptrace(PTRACE_SETREGS, pid, NULL, &registers) < 0 || !next_stop(pid))
        return -1;
    return instead(pid, at, number, a, b, c, 0);
}

static bool write_into(pid_t pid, uint64_t address, const void *bytes, size_t size)
{
    struct iovec here = {(void *)(uintptr_t)bytes, size},
                 there = {(void *)(uintptr_t)address, size};
    return process_vm_writev(pid, &here, 1, &there, 1, 0) == (ssize_t)size;
}

/* What an interpreter runs once, in pieces. Its size with the NUL. */
struct text {
    char first_line[PRELOAD_MAX + 64];
    struct iovec parts[4];
    size_t size;
};

static void put_text_together(struct text *text)
{
    static char nul;
    bool ahead = start.preload != NULL;
    int length = ahead ? snprintf(text->first_line, sizeof(text->first_line),
                                  "preload = '%s'.split(',')\n", start.preload)
                       : snprintf(text->first_line, sizeof(text->first_line),
                                  "came_ahead, filters_ahead, leave_out = set(), set(), None\n");
    text->parts[0] = (struct iovec){text->first_line, (size_t)length};
    text->parts[1] = (struct iovec){(void *)(uintptr_t)warm_ahead,
                                    ahead ? (size_t)(warm_ahead_end - warm_ahead) : 0};
    text->parts[2] =
        (struct iovec){(void *)(uintptr_t)warm_python, (size_t)(warm_python_end - warm_python)};
    text->parts[3] = (struct iovec){&nul, 1};
    text->size = 0;
    for (int i = 0; i < 4; i++)
        text->size += text->parts[i].iov_len;
}

static bool write_text(pid_t pid, uint64_t address, const struct text *text)
{
    struct iovec there = {(void *)(uintptr_t)address, text->size};
    return process_vm_writev(pid, text->parts, 4, &there, 1, 0) == (ssize_t)text->size;
}

/* Memory of ours, its code in front; then it runs that. */
static int put_stub(pid_t pid)
{
    static struct stub_page page;
    const struct stub_code code = stub_code();
    uint64_t code_size = (code.size + 4095) & ~UINT64_C(4095);
    struct text text;
    put_text_together(&text);
    memset(&page, 0, sizeof(page));
    if (ptrace(PTRACE_GETREGS, pid, NULL, &page.registers) < 0)
        return -1;
    page.clone3_args_address =
        (self.setup->flags & SETUP_RUN_CGROUP_NS) != 0 ? self.setup->clone3_args_address : 0;
    page.uid = self.setup->uid;
    page.gid = self.setup->gid;
    page.capabilities = (uint32_t)WARM_INHERITABLE;
    _Static_assert(sizeof(no_siblings) <= sizeof(page.filter), "room for it");
    memcpy(page.filter, no_siblings, sizeof(no_siblings));
    page.filter_count = NO_SIBLINGS_COUNT;
    snprintf(page.work_dir, sizeof(page.work_dir), "%s", self.work_dir);
    long base = instead(pid, &page.registers, SYS_mmap, 0, code_size + sizeof(page) + text.size,
                        PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
    if (base <= 0)
        return -1;
    uint64_t begin = (uint64_t)base, data = begin + code_size;
    if (symbols_find_python(pid, &page.python))
        page.python.text = data + sizeof(page);
    if (!write_into(pid, begin, code.begin, code.size) ||
        !write_into(pid, data, &page, sizeof(page)) ||
        !write_text(pid, data + sizeof(page), &text) ||
        once_more(pid, &page.registers, SYS_mprotect, begin, code_size, PROT_READ | PROT_EXEC) != 0)
        return -1;
    struct user_regs_struct registers = page.registers;
    registers.rip = begin + code.entry;
    registers.rdi = data;
    registers.rsi = begin + code.finalize;
    /* Below what the interpreter has on its stack, and the 128 bytes that it may use beyond that; as behind a
     * call. */
    registers.rsp = ((registers.rsp - 1024) & ~UINT64_C(15)) - 8;
    registers.orig_rax = ~0UL;
    registers.rax = 0;
    if (ptrace(PTRACE_SETREGS, pid, NULL, &registers) < 0)
        return -1;
    return (int)ptrace(PTRACE_DETACH, pid, NULL, NULL);
}

#else

static int put_stub(pid_t pid)
{
    (void)pid;
    errno = ENOSYS;
    return -1;
}

#endif

/* ---- starting one ---- */

/* Of the kind that a run's will be, and nobody else's. */
static int make_stream(enum init_warm_stream kind)
{
    int ends[2];
    if (kind == WARM_STREAM_FILE)
        return memfd_create("stream", MFD_CLOEXEC);
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    close(ends[0]);
    return ends[1];
}

static pid_t clone_interpreter(void)
{
    char *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return -1;
    start.error = 0;
    pid_t pid = clone(interpreter_main, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
    int saved_errno = errno;
    munmap(stack, STACK_SIZE);
    errno = saved_errno;
    return pid;
}

static enum init_warm_obstacle bring_up(struct warm *warm)
{
    struct stub_forked ready;
    if (go_to_program(warm->pid) < 0) {
        errno = start.error != 0 ? start.error : ECHILD;
        return start.error != 0 ? WARM_SYSTEM : WARM_ENDED;
    }
    if (put_stub(warm->pid) < 0 || be_patient(warm->control, READY_MS) < 0)
        return WARM_SYSTEM;
    if (!receive_message(warm->control, &ready, sizeof(ready), 0) || ready.magic != STUB_MAGIC)
        return WARM_SILENT;
    if (be_patient(warm->control, ANSWER_MS) < 0)
        return WARM_SYSTEM;
    errno = -ready.pid;
    if (ready.pid < 0)
        return WARM_SYSTEM;
    if (!is_alone(warm->pid))
        return WARM_THREADS;
    return has_only_given(warm->pid) ? WARM_NONE : WARM_DESCRIPTORS;
}

/* Only the interpreter has them from here on: its end is seen at once. */
static void close_given(int control)
{
    if (control >= 0)
        close(control);
    for (int i = 0; i < 3; i++)
        if (start.streams[i] >= 0)
            close(start.streams[i]);
}

static enum init_warm_obstacle start_one(struct warm *warm, const struct init_request *request)
{
    int ends[2] = {-1, -1};
    enum init_warm_obstacle obstacle = WARM_SYSTEM;
    start.has_stack = request->has_stack != 0;
    start.stack_bytes = request->stack_bytes;
    for (int i = 0; i < 3; i++)
        start.streams[i] = make_stream((enum init_warm_stream)request->streams[i]);
    if (make_sockets(ends) == 0 && start.streams[0] >= 0 && start.streams[1] >= 0 &&
        start.streams[2] >= 0) {
        warm->control = ends[0];
        start.control = ends[1];
        warm->pid = job.pid = clone_interpreter();
    } else if (ends[0] >= 0) {
        warm->control = ends[0];
    }
    int saved_errno = errno;
    close_given(ends[1]);
    errno = saved_errno;
    if (warm->pid > 0)
        obstacle = bring_up(warm);
    saved_errno = errno;
    job.pid = 0;
    if (obstacle != WARM_NONE)
        stop(warm);
    errno = saved_errno;
    return obstacle;
}

/* ---- the next run's process ---- */

static enum init_warm_obstacle prepare(struct warm *warm, uint32_t flags)
{
    struct stub_fork command = {.magic = STUB_MAGIC, .flags = flags};
    struct stub_forked failed = {.pid = -EPROTO};
    struct stub_started waits;
    int ends[2];
    if (warm->child != 0)
        return WARM_NONE;
    forget_child(warm);
    if (make_sockets(ends) < 0)
        return WARM_SYSTEM;
    warm->child_socket = ends[0];
    const int passed[] = {ends[1], self.cgroup_fd};
    bool sent = send_message(warm->control, &command, sizeof(command), passed,
                             (flags & STUB_INTO_CGROUP) != 0 ? 2 : 1);
    close(ends[1]);
    if (sent && receive_message(warm->child_socket, &waits, sizeof(waits), 0)) {
        warm->child = waits.magic == STUB_MAGIC ? (pid_t)waits.pid : 0;
        if (warm->child <= 0 || waits.step != STEP_NONE)
            return WARM_SILENT;
    } else if (sent && receive_message(warm->control, &failed, sizeof(failed), 0)) {
        errno = -failed.pid; /* nobody has the other end any more */
        return WARM_SYSTEM;
    } else {
        return WARM_SILENT;
    }
    warm->child_score = open_proc(warm->child, "oom_score_adj", O_WRONLY);
    return warm->child_score >= 0 ? WARM_NONE : WARM_SYSTEM;
}

/* ---- the keeper ---- */

static bool remember_program(struct warm *warm, const char *path)
{
    return snprintf(warm->path, sizeof(warm->path), "%s", path) < (int)sizeof(warm->path) &&
           stat(path, &warm->program) == 0;
}

/* An upgrade brings another file, and with it other ones that only a new start reads. */
static bool program_changed(const struct warm *warm)
{
    struct stat now;
    return stat(warm->path, &now) < 0 || now.st_dev != warm->program.st_dev ||
           now.st_ino != warm->program.st_ino || now.st_size != warm->program.st_size ||
           now.st_ctim.tv_sec != warm->program.st_ctim.tv_sec ||
           now.st_ctim.tv_nsec != warm->program.st_ctim.tv_nsec;
}

static enum init_warm_obstacle serve(const struct init_request *request)
{
    struct warm *warm = &warms[request->index];
    enum init_warm_obstacle obstacle = WARM_NONE;
    switch (request->warm_action) {
    case WARM_STOP:
        stop(warm);
        break;
    case WARM_START:
        stop(warm);
        obstacle = start_one(warm, request);
        if (obstacle == WARM_NONE && !remember_program(warm, start.args[0])) {
            obstacle = WARM_SYSTEM;
            stop(warm);
        }
        break;
    default:
        errno = EINVAL;
        return WARM_SYSTEM;
    }
    return obstacle;
}

/* By whoever asks: it is the interpreter that clones, and nobody traces it any more. */
static enum init_warm_obstacle serve_prepare(const struct init_request *request)
{
    struct warm *warm = &warms[request->index];
    if (warm->pid == 0)
        return WARM_ENDED;
    enum init_warm_obstacle obstacle =
        program_changed(warm) ? WARM_CHANGED : prepare(warm, request->dirt);
    int saved_errno = errno;
    if (obstacle != WARM_NONE)
        stop(warm);
    errno = saved_errno;
    return obstacle;
}

static void *keeper_thread(void *nothing)
{
    (void)nothing;
    for (;;) {
        while (sem_wait(&job.asked) < 0)
            continue;
        enum init_warm_obstacle obstacle = serve(job.request);
        job.answer->detail = obstacle;
        job.answer->error = obstacle == WARM_SYSTEM ? errno : 0;
        if (obstacle == WARM_NONE && job.request->warm_action == WARM_START)
            job.answer->memory_bytes = own_memory(warms[job.request->index].pid);
        sem_post(&job.answered);
    }
    return NULL;
}

void warm_start_keeper(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    for (unsigned i = 0; i < INIT_WARM_MAX; i++)
        forget(&warms[i]);
    sockets = 0;
    if ((self.setup->flags & SETUP_WARM) == 0)
        return;
    if (sem_init(&job.asked, 0, 0) < 0 || sem_init(&job.answered, 0, 0) < 0 ||
        pthread_attr_init(&attributes) != 0 ||
        pthread_attr_setstacksize(&attributes, 128 * 1024) != 0 ||
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) != 0)
        give_up("the keeper's attributes");
    errno = pthread_create(&thread, &attributes, keeper_thread, NULL);
    if (errno != 0)
        give_up("start the keeper");
}

/* It becomes a part of a text that is run. */
static bool is_list_of_names(const char *text)
{
    size_t length = strlen(text);
    return length < PRELOAD_MAX &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789_.,") == length;
}

/* Arguments and environment as request.c has them, but nothing of them is looked up. */
static bool take_strings(const struct init_request *request)
{
    uint64_t table = ((uint64_t)request->arg_count + request->env_count + 2) * sizeof(uint64_t);
    if (request->arg_count < 2 || request->arena_used > INIT_MADE_OFFSET ||
        table >= request->arena_used || self.arena[request->arena_used - 1] != '\0')
        return false;
    uint64_t *offsets = (uint64_t *)(void *)self.arena;
    start.args = launch_pointers(offsets, request->arg_count, table, request->arena_used);
    start.environment = launch_pointers(offsets + request->arg_count + 1, request->env_count, table,
                                        request->arena_used);
    if (start.args == NULL || start.environment == NULL)
        return false;
    start.preload = NULL;
    if (request->has_preload == 0)
        return true;
    start.preload = start.args[request->arg_count - 1];
    start.args[request->arg_count - 1] = NULL;
    return request->arg_count >= 3 && is_list_of_names(start.preload);
}

void warm_ask(const struct init_request *request, struct init_answer *answer)
{
    if ((self.setup->flags & SETUP_WARM) == 0 || request->index >= INIT_WARM_MAX ||
        (request->warm_action == WARM_START && !take_strings(request))) {
        answer->error = EINVAL;
        answer->detail = WARM_SYSTEM;
        return;
    }
    if (request->warm_action == WARM_PREPARE) {
        enum init_warm_obstacle obstacle = serve_prepare(request);
        answer->detail = obstacle;
        answer->error = obstacle == WARM_SYSTEM ? errno : 0;
        return;
    }
    job.request = request;
    job.answer = answer;
    sem_post(&job.asked);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += START_SECONDS;
    while (sem_timedwait(&job.answered, &until) < 0) {
        if (errno != ETIMEDOUT)
            continue;
        pid_t pid = job.pid; /* one that never comes to its program */
        if (pid > 0)
            kill(pid, SIGKILL);
        until.tv_sec++;
    }
}

/* ---- the launcher ---- */

/* Programs are offered to the OOM killer, init and interpreters are not (child.c), and who waits is one of those until
 * it is the run: another one's memory would be its end. */
static bool offer(const struct warm *warm)
{
    return pwrite(warm->child_score, "1000", 4, 0) == 4;
}

uint32_t warm_waiting(void)
{
    uint32_t waiting = 0;
    for (unsigned i = 0; i < INIT_WARM_MAX; i++) {
        pid_t pid = warms[i].child;
        if (pid != 0 && waitpid(pid, NULL, __WALL | WNOHANG) != 0)
            warm_ended(pid);
        if (warms[i].child != 0)
            waiting |= 1U << i;
    }
    return waiting;
}

pid_t warm_hand_over(unsigned number, const struct init_exec *request, const int *sources,
                     int *socket)
{
    static struct stub_request message;
    int fds[STUB_FDS_MAX];
    if (number >= INIT_WARM_MAX || warms[number].child == 0)
        return 0;
    message.magic = STUB_MAGIC;
    message.flags = request->flags & RUN_CPU_SET;
    message.descriptor_count = request->descriptor_count;
    message.fd_count = 0;
    message.rlimit_mask = request->rlimit_mask;
    memcpy(message.rlimits, request->rlimits, sizeof(message.rlimits));
    memcpy(message.cpu_mask, request->cpu_mask, sizeof(message.cpu_mask));
    for (uint32_t i = 0; i < request->descriptor_count; i++) {
        message.places[i] = STUB_CLOSED;
        if (sources[i] < 0)
            continue;
        uint32_t known = 0;
        while (known < message.fd_count && fds[known] != sources[i])
            known++;
        if (known == STUB_FDS_MAX)
            return 0;
        if (known == message.fd_count)
            fds[message.fd_count++] = sources[i];
        message.places[i] = (uint16_t)known;
    }
    if (!offer(&warms[number]) || !send_message(warms[number].child_socket, &message,
                                                sizeof(message), fds, (int)message.fd_count))
        return 0;
    pid_t pid = warms[number].child;
    *socket = warms[number].child_socket;
    warms[number].child = 0;
    warms[number].child_socket = -1;
    return pid;
}

bool warm_has_begun(int socket)
{
    struct stub_started started;
    bool begun = receive_message(socket, &started, sizeof(started), MSG_DONTWAIT) &&
                 started.magic == STUB_MAGIC && started.step == STEP_NONE;
    close_socket(&socket);
    return begun;
}

void warm_give_up(unsigned number)
{
    pid_t pid = warms[number].pid;
    end_process(pid); /* and counts for nobody */
    if (pid > 0)
        warm_ended(pid);
}

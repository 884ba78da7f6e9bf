/* Starting an interpreter that is to be kept warm (warm.c): up to the system call that names its program, and our code
 * into it. All of this is the keeper's, which is its tracer. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/ptrace.h>
#include <linux/seccomp.h>

#include "init.h"
#include "stub.h"
#include "warm.h"

enum {
    READY_MS = 6000, /* with modules that are imported ahead */
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

/* ---- the interpreter's process, up to its execve ---- */

static struct {
    char **args, **environment;
    const char *preload; /* modules, with commas; NULL */
    int streams[3];
    int control;
    bool has_text;   /* the script is a plain text in the work directory */
    bool has_looked; /* at one that stood in for it: it is about to open its own */
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
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &self.warm_filter) == 0)
        execve(start.args[0], start.args, start.environment);
    start.error = errno;
    _exit(127);
}

/* ---- a script for it to look at ---- */

/* CPython looks first whether its script is an archive, with an importer of its own language: half of what a short run
 * takes. That is the same for every plain text, so it is done on this one, which goes before the script itself is opened. The
 * importer reads all of it: where classes lie hangs on its length, mostly on whether that is a few hundred bytes or more. */
#define LINE  "# the program comes later .....\n"
#define LINES LINE LINE LINE LINE LINE LINE LINE LINE
static const char stand_in[] = LINES LINES LINES LINES LINES LINES LINES LINES;

static bool stand_in_path(char path[static 2 * INIT_PATH_MAX])
{
    const char *script = start.args[1];
    size_t length = strlen(self.work_dir);
    if (strncmp(script, self.work_dir, length) == 0 && script[length] == '/')
        script += length + 1;
    return strchr(script, '/') == NULL &&
           snprintf(path, 2 * INIT_PATH_MAX, "%s/%s", self.work_dir, script) < 2 * INIT_PATH_MAX;
}

/* Without it an interpreter stops where it would look. */
static bool put_stand_in(void)
{
    char path[2 * INIT_PATH_MAX];
    if (!stand_in_path(path))
        return false;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return false;
    bool written = write(fd, stand_in, strlen(stand_in)) == (ssize_t)strlen(stand_in);
    close(fd);
    if (!written)
        unlink(path);
    return written;
}

/* The work directory is as fresh as it was. */
static void take_stand_in(bool was_touched)
{
    char path[2 * INIT_PATH_MAX];
    struct tmpfs *place = mounts_work();
    if (stand_in_path(path) && unlink(path) == 0 && place != NULL && !was_touched)
        mounts_remember_fresh(place);
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

/* The C library's fopen(3) does not say O_CLOEXEC; io.open(), with which the importer reads, always does. */
static bool opens_to_run(const struct ptrace_syscall_info *info)
{
#ifdef SYS_open
    if (info->entry.nr == SYS_open)
        return (info->entry.args[1] & (O_ACCMODE | O_CLOEXEC)) == O_RDONLY;
#endif
    return info->entry.nr == SYS_openat &&
           (info->entry.args[2] & (O_ACCMODE | O_CLOEXEC)) == O_RDONLY;
}

/* Returns 0 when it is stopped at the entry of the first system call that names its program, or where there is something to
 * look at, of the one that opens it to be run; -1 when it has ended. */
static int go_to_program(pid_t pid, bool looks)
{
    struct stub_python python;
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
        if (info.op != PTRACE_SYSCALL_INFO_ENTRY || !names_program(pid, &info))
            continue;
        start.has_looked = looks && symbols_find_python(pid, &python);
        if (!start.has_looked || opens_to_run(&info))
            return 0;
    }
}

/* ---- whether it can be forked ---- */

int warm_open_proc(pid_t pid, const char *file, int flags)
{
    char path[96];
    snprintf(path, sizeof(path), "%d/%s", pid, file);
    return openat(self.proc_fd, path, flags | O_CLOEXEC);
}

bool warm_read_proc(pid_t pid, const char *file, char *text, size_t size)
{
    int fd = warm_open_proc(pid, file, O_RDONLY);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, text, size - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    return true;
}

static bool is_alone(pid_t pid)
{
    char path[64], children[16];
    struct stat tasks;
    snprintf(path, sizeof(path), "%d/task", pid);
    if (fstatat(self.proc_fd, path, &tasks, 0) < 0 || tasks.st_nlink != 3)
        return false;
    snprintf(path, sizeof(path), "task/%d/children", pid);
    int fd = warm_open_proc(pid, path, O_RDONLY);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, children, sizeof(children));
    close(fd);
    return got == 0;
}

/* A file that it has open would be shared by all that are forked. */
static bool has_only_given(pid_t pid)
{
    int fd = warm_open_proc(pid, "fd", O_RDONLY | O_DIRECTORY);
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
uint64_t warm_own_memory(pid_t pid)
{
    char text[2048];
    if (!warm_read_proc(pid, "smaps_rollup", text, sizeof(text)))
        return 0;
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
                                  "preload, has_looked = '%s'.split(','), %d\n", start.preload,
                                  start.has_looked)
                       : snprintf(text->first_line, sizeof(text->first_line),
                                  "came_ahead, filters_ahead, calls = set(), set(), None\n");
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

/* Goes on to a function with the page, which its caller does not know. */
static void make_entry(uint8_t entry[static STUB_ENTRY_SIZE], uint64_t page, uint64_t function)
{
    static const uint8_t code[STUB_ENTRY_SIZE] = {0x48, 0xbf, 0, 0, 0, 0, 0, 0, 0, 0,    0x48,
                                                  0xb8, 0,    0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0};
    memcpy(entry, code, STUB_ENTRY_SIZE);
    memcpy(entry + 2, &page, sizeof(page));
    memcpy(entry + 12, &function, sizeof(function));
}

/* Memory of ours, its code in front; then it runs that. */
static int put_stub(pid_t pid)
{
    static struct stub_page page;
    const struct stub_code code = stub_code();
    uint8_t entries[2][STUB_ENTRY_SIZE];
    uint64_t code_size = (code.size + sizeof(entries) + 4095) & ~UINT64_C(4095);
    struct text text;
    put_text_together(&text);
    memset(&page, 0, sizeof(page));
    if (ptrace(PTRACE_GETREGS, pid, NULL, &page.registers) < 0)
        return -1;
    page.clone3_args_address = self.setup->warm_clone3_args_address;
    page.uid = self.setup->uid;
    page.gid = self.setup->gid;
    page.capabilities = (uint32_t)WARM_INHERITABLE;
    _Static_assert(sizeof(no_clone3) <= sizeof(page.filter), "room for it");
    memcpy(page.filter, no_clone3, sizeof(no_clone3));
    page.filter_count = NO_CLONE3_COUNT;
    snprintf(page.work_dir, sizeof(page.work_dir), "%s", self.work_dir);
    long base = instead(pid, &page.registers, SYS_mmap, 0, code_size + sizeof(page) + text.size,
                        PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
    if (base <= 0)
        return -1;
    uint64_t begin = (uint64_t)base, data = begin + code_size;
    warm_tell_ids(pid, self.setup->uid, self.setup->gid);
    if (symbols_find_python(pid, &page.python))
        page.python.text = data + sizeof(page);
    if (start.preload != NULL)
        page.python.apart = 0;
    page.hung.visit = begin + code.visit;
    make_entry(entries[0], data, begin + code.finalize);
    make_entry(entries[1], data, begin + code.type_changed);
    page.on_type_change = begin + code.size + STUB_ENTRY_SIZE;
    if (!write_into(pid, begin, code.begin, code.size) ||
        !write_into(pid, begin + code.size, entries, sizeof(entries)) ||
        !write_into(pid, data, &page, sizeof(page)) ||
        !write_text(pid, data + sizeof(page), &text) ||
        once_more(pid, &page.registers, SYS_mprotect, begin, code_size, PROT_READ | PROT_EXEC) != 0)
        return -1;
    struct user_regs_struct registers = page.registers;
    registers.rip = begin + code.entry;
    registers.rdi = data;
    registers.rsi = begin + code.size;
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

/* Only the interpreter has them from here on: its end is seen at once. */
static void close_given(void)
{
    close(start.control);
    for (int i = 0; i < 3; i++)
        if (start.streams[i] >= 0)
            close(start.streams[i]);
}

/* ---- what the keeper calls ---- */

/* It becomes a part of a text that is run. */
static bool is_list_of_names(const char *text)
{
    size_t length = strlen(text);
    return length < PRELOAD_MAX &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789_.,") == length;
}

/* Arguments and environment as request.c has them, but nothing of them is looked up. */
bool warm_take_strings(const struct init_request *request)
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

pid_t warm_begin(const struct init_request *request, int control)
{
    pid_t pid = -1;
    start.has_text = request->has_text != 0;
    start.has_stack = request->has_stack != 0;
    start.stack_bytes = request->stack_bytes;
    start.control = control;
    for (int i = 0; i < 3; i++)
        start.streams[i] = make_stream((enum init_warm_stream)request->streams[i]);
    if (start.streams[0] >= 0 && start.streams[1] >= 0 && start.streams[2] >= 0)
        pid = clone_interpreter();
    int saved_errno = errno;
    close_given();
    errno = saved_errno;
    return pid;
}

enum init_warm_obstacle warm_bring_up(pid_t pid, int control)
{
    struct stub_forked ready;
    struct tmpfs *place = mounts_work();
    bool was_touched = place == NULL || files_touched(place);
    bool looks = start.has_text && put_stand_in();
    int came = go_to_program(pid, looks);
    if (looks)
        take_stand_in(was_touched);
    if (came < 0) {
        errno = start.error != 0 ? start.error : ECHILD;
        return start.error != 0 ? WARM_SYSTEM : WARM_ENDED;
    }
    if (put_stub(pid) < 0 || warm_be_patient(control, READY_MS) < 0)
        return WARM_SYSTEM;
    if (!warm_receive(control, &ready, sizeof(ready), 0) || ready.magic != STUB_MAGIC)
        return WARM_SILENT;
    if (warm_be_patient(control, ANSWER_MS) < 0)
        return WARM_SYSTEM;
    errno = -ready.pid;
    if (ready.pid < 0)
        return WARM_SYSTEM;
    if (!is_alone(pid))
        return WARM_THREADS;
    return has_only_given(pid) ? WARM_NONE : WARM_DESCRIPTORS;
}

const char *warm_program(void)
{
    return start.args[0];
}

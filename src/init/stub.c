/* The code that init puts into an interpreter that is to be kept warm.
 *
 * The interpreter has started, and stopped in front of the first system call that names its program. From
 * there on it is this code's: it waits for commands, forks, and never goes on. Its children wait, become the run
 * as init's own child would (child.c, child_main()), and only then go on with that system call: so what the
 * program finds is an interpreter that has started in the ordinary way. Nothing of a run is ever read here
 * but by the child that is the run.
 *
 * One function without calls, tables, strings or writable data, since it runs at another address, in a process whose
 * C library must not notice: no stack protector, no vector registers (a system call keeps them), everything
 * inlined. tests/ looks at the object for that. */
#include "stub.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#if defined(__x86_64__)

#define INLINE static inline __attribute__((always_inline, target("general-regs-only")))
#define AGAIN  (-EINTR)

INLINE long call6(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

INLINE long call3(long number, long a, long b, long c)
{
    return call6(number, a, b, c, 0, 0, 0);
}

INLINE long call4(long number, long a, long b, long c, long d)
{
    return call6(number, a, b, c, d, 0, 0);
}

#define PTR(pointer) ((long)(uintptr_t)(pointer))

__attribute__((noreturn)) INLINE void end(void)
{
    for (;;)
        call3(SYS_exit_group, 127, 0, 0);
}

INLINE long send_whole(int fd, const void *message, size_t size)
{
    long sent;
    do
        sent = call6(SYS_sendto, fd, PTR(message), (long)size, MSG_NOSIGNAL, 0, 0);
    while (sent == AGAIN);
    return sent == (long)size ? 0 : -1;
}

/* Exactly size bytes, and at most STUB_FDS_MAX descriptors. Returns their number, -1 for anything else. */
INLINE long receive_whole(int fd, void *message, size_t size, volatile int *fds)
{
    struct {
        struct cmsghdr header;
        int fds[STUB_FDS_MAX + 2];
    } control;
    struct iovec part = {.iov_base = message, .iov_len = size};
    struct msghdr header;
    long got;
    control.header.cmsg_len = 0; /* the kernel fills it in */
    control.header.cmsg_level = control.header.cmsg_type = 0;
    do {
        header.msg_name = NULL;
        header.msg_namelen = 0;
        header.msg_iov = &part;
        header.msg_iovlen = 1;
        header.msg_control = &control;
        header.msg_controllen = sizeof(control);
        header.msg_flags = 0;
        got = call3(SYS_recvmsg, fd, PTR(&header), 0);
    } while (got == AGAIN);
    if (got != (long)size || (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
        return -1;
    if (header.msg_controllen < sizeof(struct cmsghdr))
        return 0;
    if (control.header.cmsg_level != SOL_SOCKET || control.header.cmsg_type != SCM_RIGHTS)
        return -1;
    long count = (long)((control.header.cmsg_len - sizeof(struct cmsghdr)) / sizeof(int));
    for (long i = 0; i < count && i < STUB_FDS_MAX; i++)
        fds[i] = control.fds[i];
    return count <= STUB_FDS_MAX ? count : -1;
}

__attribute__((noreturn)) INLINE void fail(int fd, enum init_step step, unsigned detail, long error)
{
    struct stub_started started;
    started.magic = STUB_MAGIC;
    started.step = (int32_t)step;
    started.error = (int32_t)-error;
    started.detail = detail;
    started.pid = 0;
    send_whole(fd, &started, sizeof(started));
    end();
}

/* Goes on where the interpreter stopped: the system call is made again. It leaves only rcx, which it destroys
 * itself, free to jump with. */
__attribute__((noreturn)) INLINE void go_on(const struct user_regs_struct *registers)
{
    __asm__ volatile("mov %c[rip](%%rdi), %%rcx\n\t"
                     "sub $2, %%rcx\n\t" /* the length of the instruction */
                     "mov %c[orig_rax](%%rdi), %%rax\n\t"
                     "mov %c[rbx](%%rdi), %%rbx\n\t"
                     "mov %c[rdx](%%rdi), %%rdx\n\t"
                     "mov %c[rsi](%%rdi), %%rsi\n\t"
                     "mov %c[rbp](%%rdi), %%rbp\n\t"
                     "mov %c[r8](%%rdi), %%r8\n\t"
                     "mov %c[r9](%%rdi), %%r9\n\t"
                     "mov %c[r10](%%rdi), %%r10\n\t"
                     "mov %c[r12](%%rdi), %%r12\n\t"
                     "mov %c[r13](%%rdi), %%r13\n\t"
                     "mov %c[r14](%%rdi), %%r14\n\t"
                     "mov %c[r15](%%rdi), %%r15\n\t"
                     "mov %c[rsp](%%rdi), %%rsp\n\t"
                     "mov %c[self](%%rdi), %%rdi\n\t"
                     "jmp *%%rcx\n\t"
                     :
                     : "D"(registers), [rip] "i"(offsetof(struct user_regs_struct, rip)),
                       [orig_rax] "i"(offsetof(struct user_regs_struct, orig_rax)),
                       [rbx] "i"(offsetof(struct user_regs_struct, rbx)),
                       [rdx] "i"(offsetof(struct user_regs_struct, rdx)),
                       [rsi] "i"(offsetof(struct user_regs_struct, rsi)),
                       [rbp] "i"(offsetof(struct user_regs_struct, rbp)),
                       [r8] "i"(offsetof(struct user_regs_struct, r8)),
                       [r9] "i"(offsetof(struct user_regs_struct, r9)),
                       [r10] "i"(offsetof(struct user_regs_struct, r10)),
                       [r12] "i"(offsetof(struct user_regs_struct, r12)),
                       [r13] "i"(offsetof(struct user_regs_struct, r13)),
                       [r14] "i"(offsetof(struct user_regs_struct, r14)),
                       [r15] "i"(offsetof(struct user_regs_struct, r15)),
                       [rsp] "i"(offsetof(struct user_regs_struct, rsp)),
                       [self] "i"(offsetof(struct user_regs_struct, rdi))
                     : "memory");
    __builtin_unreachable();
}

/* The kernel's number for an enum init_rlimit, one in each hexadecimal digit: a table would lie elsewhere. */
INLINE int resource_of(unsigned limit)
{
    _Static_assert(RLIMIT_CPU == 0 && RLIMIT_FSIZE == 1 && RLIMIT_DATA == 2 && RLIMIT_STACK == 3 &&
                       RLIMIT_AS == 9 && RLIMIT_NOFILE == 7 && RLIMIT_NPROC == 6 &&
                       INIT_RLIMIT_AS == 4 && INIT_RLIMIT_NOFILE == 5 && INIT_RLIMIT_NPROC == 6,
                   "the digits below");
    return 0x6793210 >> 4 * limit & 0xf;
}

/* A limit above the one there is fails, and the run is then a cold one, which cuts it. */
INLINE void limit(int fd, const struct stub_request *request, unsigned mask)
{
    for (unsigned i = 0; i < INIT_RLIMIT_COUNT; i++) {
        if ((request->rlimit_mask & mask & 1U << i) == 0)
            continue;
        uint64_t values[2];
        values[0] = request->rlimits[i].soft;
        values[1] = request->rlimits[i].hard;
        long done = call4(SYS_prlimit64, 0, resource_of(i), PTR(values), 0);
        if (done < 0)
            fail(fd, STEP_RLIMIT, i, done);
    }
}

/* Returns the new number of the socket: the first beyond the run's own descriptors. */
INLINE int place(int fd, const struct stub_request *request, volatile int *fds)
{
    long first = (long)request->descriptor_count;
    long high = call3(SYS_fcntl, fd, F_DUPFD, first + 1);
    if (high < 0)
        fail(fd, STEP_DESCRIPTOR, 0, high);
    for (unsigned i = 0; i < request->fd_count; i++) {
        long moved = call3(SYS_fcntl, fds[i], F_DUPFD, first + 1);
        if (moved < 0)
            fail((int)high, STEP_DESCRIPTOR, i, moved);
        fds[i] = (int)moved;
    }
    for (unsigned i = 0; i < request->descriptor_count; i++) {
        unsigned from = request->places[i];
        if (from >= request->fd_count) {
            call3(SYS_close, i, 0, 0);
            continue;
        }
        long done = call3(SYS_dup2, fds[from], i, 0);
        if (done < 0)
            fail((int)high, STEP_DESCRIPTOR, i, done);
    }
    call3(SYS_dup2, high, first, 0);
    call3(SYS_close_range, first + 1, UINT32_MAX, 0);
    return (int)first;
}

/* Its group is the top of what the run sees of groups. */
INLINE void unshare_cgroups(int fd)
{
    long done = call3(SYS_unshare, CLONE_NEWCGROUP, 0, 0);
    if (done < 0)
        fail(fd, STEP_CGROUP_NS, 0, done);
}

/* As child_main() of child.c, in its order. */
INLINE void become_run(const struct stub_page *page, int fd, uint32_t fork_flags)
{
    struct stub_request request;
    volatile int fds[STUB_FDS_MAX];
    struct stub_started started;
    started.magic = STUB_MAGIC;
    started.step = STEP_NONE;
    started.error = 0;
    started.detail = 0;
    started.pid = (int32_t)call3(SYS_getpid, 0, 0, 0);
    struct sock_fprog filter;
    filter.len = (unsigned short)page->filter_count;
    filter.filter = (struct sock_filter *)(uintptr_t)page->filter;
    long done = call3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, PTR(&filter));
    if (done < 0)
        fail(fd, STEP_FILTER, 0, done);
    const bool own_group = (fork_flags & STUB_INTO_CGROUP) != 0; /* nobody moves it meanwhile */
    if ((fork_flags & STUB_NEW_CGROUP_NS) != 0 && own_group)
        unshare_cgroups(fd);
    if (send_whole(fd, &started, sizeof(started)) < 0)
        end();
    long count = receive_whole(fd, &request, sizeof(request), fds);
    if (count < 0 || request.magic != STUB_MAGIC || count != (long)request.fd_count)
        end();
    done = call3(SYS_setsid, 0, 0, 0);
    if (done < 0)
        fail(fd, STEP_SESSION, 0, done);
    if ((fork_flags & STUB_NEW_CGROUP_NS) != 0 && !own_group)
        unshare_cgroups(fd);
    if ((request.flags & RUN_CPU_SET) != 0) {
        done = call3(SYS_sched_setaffinity, 0, sizeof(request.cpu_mask), PTR(request.cpu_mask));
        if (done < 0)
            fail(fd, STEP_AFFINITY, 0, done);
    }
    done = call3(SYS_chdir, PTR(page->work_dir), 0,
                 0); /* the one of this run: it may have been made anew */
    if (done < 0)
        fail(fd, STEP_DESCRIPTOR, 0, done);
    limit(fd, &request, ~(1U << INIT_RLIMIT_NOFILE));
    done = call3(SYS_setresgid, page->gid, page->gid, page->gid);
    if (done == 0)
        done = call3(SYS_setresuid, page->uid, page->uid,
                     page->uid); /* and with it all capabilities */
    if (done < 0)
        fail(fd, STEP_CREDENTIALS, 0, done);
    fd = place(fd, &request, fds);
    limit(fd, &request, 1U << INIT_RLIMIT_NOFILE);
    done = call3(SYS_prctl, PR_SET_DUMPABLE, 1, 0); /* as after an execve(2) */
    if (done < 0)
        fail(fd, STEP_CREDENTIALS, 1, done);
    if (send_whole(fd, &started, sizeof(started)) < 0)
        end();
    call3(SYS_close, fd, 0, 0);
}

/* In the run's group as init's child is: inherited, or by clone3 (child.c, clone_child()). CLONE_PARENT: init is
 * to be its parent, and reaps it. What the C library's fork(2) would have the kernel do is done. */
INLINE long fork_child(const struct stub_page *page, uint32_t flags, int group_fd)
{
    if ((flags & STUB_INTO_CGROUP) == 0)
        return call6(SYS_clone, CLONE_PARENT | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD,
                     0, 0, (long)page->tid_address, 0, 0);
    volatile uint64_t *args = (volatile uint64_t *)(uintptr_t)page->clone3_args_address;
    for (unsigned i = 0; i < 11; i++)
        args[i] = 0;
    args[0] = CLONE_INTO_CGROUP | CLONE_PARENT | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
    args[2] = page->tid_address;
    args[10] = (uint64_t)(unsigned)group_fd;
    return call3(SYS_clone3, PTR(args), 11 * sizeof(uint64_t), 0);
}

INLINE void forget_secrets(struct stub_page *page)
{
    if (page->clone3_args_address == 0)
        return;
    call3(SYS_munmap, (long)(page->clone3_args_address & ~UINT64_C(4095)), 4096, 0);
    *(volatile uint64_t *)&page->clone3_args_address = 0;
}

/* ---- CPython ---- */

#define FUNCTION(address, type) ((type)(uintptr_t)(address))
typedef void *(*call_object)(void *, void *);
typedef void *(*get_item)(void *, const volatile char *);

#include "stub_apart.h"
#include "stub_collector.h"
#include "stub_end.h"
#include "stub_hung.h"
#include "stub_types.h"

/* Gives the interpreter's Py_FinalizeEx() other first bytes. */
INLINE long patch(const struct stub_page *page, const volatile uint8_t *bytes)
{
    uint64_t at = page->python.finalize, begin = at & ~UINT64_C(4095);
    uint64_t size = ((at + STUB_PATCH_SIZE + 4095) & ~UINT64_C(4095)) - begin;
    long done = call3(SYS_mprotect, (long)begin, (long)size, PROT_READ | PROT_WRITE | PROT_EXEC);
    if (done < 0)
        return done;
    volatile uint8_t *to = FUNCTION(at, volatile uint8_t *);
    for (unsigned i = 0; i < STUB_PATCH_SIZE; i++)
        to[i] = bytes[i];
    return call3(SYS_mprotect, (long)begin, (long)size, PROT_READ | PROT_EXEC);
}

INLINE void put_address(volatile uint8_t *to, uint64_t address)
{
    for (unsigned i = 0; i < 8; i++)
        to[i] = (uint8_t)(address >> 8 * i);
}

INLINE bool gives_none(const struct stub_page *page, uint64_t function)
{
    return FUNCTION(page->python.call, call_object)(FUNCTION(function, void *), NULL) ==
           FUNCTION(page->python.none, void *);
}

/* An audit hook is called for what finish() does. To make an event of this is an error, which only who has one finds. */
INLINE bool is_audited(const struct stub_python *python)
{
    volatile char event[1], format[2];
    event[0] = '\0';
    format[0] = '!';
    format[1] = '\0';
    if (FUNCTION(python->audit,
                 int (*)(const volatile char *, const volatile char *, ...))(event, format) == 0)
        return false;
    FUNCTION(python->clear, void (*)(void))();
    return true;
}

/* What finish() says: with the collector as it was, unless the end is left out. */
INLINE long ask_finish(const struct stub_page *page)
{
    const struct stub_python *python = &page->python;
    volatile struct collector *collector = FUNCTION(page->collector, volatile struct collector *);
    int32_t on = 0, counted = 0;
    long answer = 2;
    void *looked = end_is_unseen(page) ? FUNCTION(page->looked, void *) : NULL;
    if (collector != NULL) {
        counted = collector->generations[0].count;
        on = collector_switch(collector, 0);
    }
    void *said = FUNCTION(python->call, call_object)(FUNCTION(page->finish, void *), looked);
    if (said != NULL)
        answer = FUNCTION(python->as_long, long (*)(void *))(said);
    if (answer == 1)
        return answer;
    FUNCTION(python->clear, void (*)(void))();
    if (collector != NULL) {
        collector->generations[0].count = counted;
        collector_switch(collector, on);
    }
    return answer;
}

/* Whether memory is shared with a process that it has forked, or that has forked it: the end makes its own of this, and is
 * charged for that. */
INLINE bool is_alone(void)
{
    return call3(SYS_getpgid, 0, 0, 0) == call3(SYS_getpid, 0, 0, 0) &&
           call6(SYS_waitid, P_ALL, 0, 0, WEXITED | WNOHANG | WNOWAIT, 0, 0) == -ECHILD;
}

/* Whether there are as many references to the name __del__ as in the beginning. An object begins with their number; where it
 * never changes (CPython 3.12) the classes are watched. */
INLINE bool has_no_new_end(const struct stub_page *page)
{
    return page->type_has_changed == 0 &&
           (page->end_name == 0 || word_at(page->end_name) == page->end_names);
}

/* In a program's process, in place of Py_FinalizeEx(): leaves out an end that nobody can see. A program that
 * watches calls would see ours. */
__attribute__((section("cj_stub"), used, noinline, no_stack_protector,
               target("general-regs-only"))) static int
stub_finalize(struct stub_page *page)
{
    const struct stub_python *python = &page->python;
    long answer = 2;
    bool watched = !gives_none(page, page->gettrace) || !gives_none(page, page->getprofile) ||
                   is_audited(python);
    if (!watched && is_alone() && has_no_new_end(page))
        answer = ask_finish(page);
    else if (page->held == 0)
        FUNCTION(python->dict_clear, void (*)(void *))(FUNCTION(page->outside, void *));
    if (answer == 1)
        return 0;
    end_let_last_go(page);
    if (page->held != 0)
        apart_hold(python, page->held, python->drop);
    if (page->calls != 0 && !watched)
        answer = leave_ahead_out(page);
    if (answer != 0 && page->unfreeze != 0)
        FUNCTION(python->call, call_object)(FUNCTION(page->unfreeze, void *), NULL);
    if (patch(page, page->patched) < 0)
        return -1;
    return FUNCTION(python->finalize, int (*)(void))();
}

/* What has that name, which is given as it lies in memory: of at most 15 bytes, in two halves. 0: nothing has. */
INLINE uint64_t named(get_item item, void *space, uint64_t begin, uint64_t rest)
{
    volatile uint64_t name[2];
    name[0] = begin;
    name[1] = rest;
    return (uint64_t)(uintptr_t)item(space, (const volatile char *)name);
}

/* Runs the text in the interpreter itself: where something comes ahead, which has to be there, or it is an old one. Returns its
 * namespace. */
INLINE uint64_t prepare_in_place(const struct stub_page *page)
{
    const struct stub_python *python = &page->python;
    volatile struct collector *collector = FUNCTION(page->collector, volatile struct collector *);
    struct collector_before before;
    collector_begin(python, collector, &before);
    void *space = FUNCTION(python->dict_new, void *(*)(void))();
    void *done = FUNCTION(python->run, void *(*)(const char *, int, void *, void *, void *))(
        FUNCTION(python->text, const char *), 257 /* Py_file_input */, space, space, NULL);
    if (done == NULL)
        FUNCTION(python->clear, void (*)(void))();
    else
        FUNCTION(python->drop, void (*)(void *))(done);
    collector_end(python, collector, &before);
    return done != NULL ? (uint64_t)(uintptr_t)space : 0;
}

/* What is needed of the text's namespace. Returns whether it is all there. */
INLINE bool take_names(struct stub_page *page, uint64_t space_at)
{
    const struct stub_python *python = &page->python;
    get_item item = FUNCTION(python->get_item, get_item);
    void *space = FUNCTION(space_at, void *);
    page->finish = named(item, space, 0x6873696e6966, 0);              /* "finish" */
    page->looked = named(item, space, 0x64656b6f6f6c, 0);              /* "looked" */
    page->ends = named(item, space, 0x73646e65, 0);                    /* "ends" */
    page->gettrace = named(item, space, 0x6563617274746567, 0);        /* "gettrace" */
    page->getprofile = named(item, space, 0x69666f7270746567, 0x656c); /* "getprofile" */
    page->outside = named(item, space, 0x6564697374756f, 0);           /* "outside" */
    page->unfreeze = named(item, space, 0x657a656572666e75, 0);        /* "unfreeze" */
    page->calls = named(item, space, 0x736c6c6163, 0);                 /* "calls" */
    if (page->calls == python->none)
        page->calls = 0;
    if (page->unfreeze == python->none)
        page->unfreeze = 0;
    else if (page->unfreeze != 0) /* finish() empties the namespace before it is called */
        FUNCTION(python->take, void (*)(void *))(FUNCTION(page->unfreeze, void *));
    if (python->apart != 0) {
        page->held = named(item, space, 0x646c6568, 0);             /* "held" */
        page->end_name = named(item, space, 0x656d616e5f646e65, 0); /* "end_name" */
        if (page->held == 0 || page->end_name == 0)
            return false;
        apart_hold(python, page->held, python->take);
        page->end_names = word_at(page->end_name);
    }
    if (watch_types(page, named(item, space, 0x6465646e656e75, 0)) < 0) /* "unended" */
        return false;
    return page->finish != 0 && page->gettrace != 0 && page->getprofile != 0 && page->looked != 0 &&
           page->outside != 0;
}

/* Runs the text in a namespace of its own. Returns 0 or -errno. */
INLINE long prepare_python(struct stub_page *page, uint64_t finalize)
{
    const struct stub_python *python = &page->python;
    if (python->finalize == 0)
        return 0;
    if (FUNCTION(python->is_initialized, int (*)(void))() == 0)
        return -EPROTO; /* it has named its program while it starts */
    int state = FUNCTION(python->ensure, int (*)(void))();
    uint64_t space = 0;
    long done = 0;
    page->collector = (uint64_t)(uintptr_t)collector_find(python);
    if (python->apart != 0)
        done = apart_prepare(python, &space);
    else
        space = prepare_in_place(page);
    if (python->apart != 0 && done < 0) { /* a version that is not known: it ends as usual */
        FUNCTION(python->release, void (*)(int))(state);
        return 0;
    }
    bool complete = space != 0 && done == 0 && take_names(page, space);
    if (page->collector == 0 || page->ends == python->none || !end_knows_types(python))
        page->ends = 0;
    if (complete && page->ends != 0)
        end_remember(page);
    if (complete && page->calls != 0)
        done = prepare_hung(page, call_of(page, CALL_AHEAD), call_of(page, CALL_BEFORE));
    FUNCTION(python->release, void (*)(int))(state);
    if (!complete || done < 0)
        return done < 0 ? done : -EPROTO;
    const volatile uint8_t *from = FUNCTION(python->finalize, const volatile uint8_t *);
    for (unsigned i = 0; i < STUB_PATCH_SIZE; i++)
        page->patched[i] = from[i];
    volatile uint8_t jump[STUB_PATCH_SIZE];
    jump[0] = 0x48;
    jump[1] = 0xb8;
    put_address(jump + 2, finalize);
    jump[10] = 0xff;
    jump[11] = 0xe0;
    return patch(page, jump);
}

/* Before any program lives in the container. Returns 0 or -errno. */
INLINE long settle(struct stub_page *page)
{
    struct {
        uint32_t version;
        int pid;
    } header;
    volatile uint32_t sets[6]; /* effective, permitted, inheritable; then their high halves */
    header.version = _LINUX_CAPABILITY_VERSION_3;
    header.pid = 0;
    sets[0] = sets[1] = page->capabilities;
    sets[2] = sets[3] = sets[4] = sets[5] = 0;
    long done = call3(SYS_capset, PTR(&header), PTR(sets), 0);
    if (done == 0)
        done = call3(SYS_prctl, PR_SET_DUMPABLE, 0, 0);
    if (done == 0)
        done = call3(SYS_prctl, PR_GET_TID_ADDRESS, PTR(&page->tid_address), 0);
    if (done == 0)
        done = call3(SYS_get_robust_list, 0, PTR(&page->robust_list), PTR(&page->robust_size));
    volatile char root[2];
    root[0] = '/';
    root[1] = '\0';
    if (done == 0)
        done = call3(SYS_chdir, PTR(root), 0, 0); /* the work directory goes between runs */
    if (done == 0)
        done = call3(SYS_close_range, 0, STUB_CONTROL_FD - 1, 0);
    if (done == 0 && page->clone3_args_address != 0) {
        long place_at = (long)(page->clone3_args_address & ~UINT64_C(4095));
        long mapped = call6(SYS_mmap, place_at, 4096, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        done = mapped == place_at ? 0 : -ENOMEM;
    }
    return done;
}

__attribute__((section("cj_stub"), used, noinline, noreturn, no_stack_protector,
               target("general-regs-only"))) static void
stub_main(struct stub_page *page, uint64_t finalize)
{
    struct stub_forked forked;
    forked.magic = STUB_MAGIC;
    forked.pid = (int32_t)prepare_python(page, finalize);
    if (forked.pid == 0)
        forked.pid = (int32_t)settle(page);
    if (send_whole(STUB_CONTROL_FD, &forked, sizeof(forked)) < 0 || forked.pid < 0)
        end();
    for (;;) {
        struct stub_fork command;
        command.magic = command.flags = 0;
        volatile int fds[STUB_FDS_MAX];
        long count = receive_whole(STUB_CONTROL_FD, &command, sizeof(command), fds);
        bool into = (command.flags & STUB_INTO_CGROUP) != 0;
        if (count != (into ? 2 : 1) || command.magic != STUB_MAGIC)
            end(); /* or init is gone */
        long pid = fork_child(page, command.flags, into ? fds[1] : -1);
        if (pid == 0) {
            call3(SYS_close, STUB_CONTROL_FD, 0, 0);
            if (into)
                call3(SYS_close, fds[1], 0, 0);
            call3(SYS_set_robust_list, (long)page->robust_list, (long)page->robust_size, 0);
            become_run(page, fds[0], command.flags);
            forget_secrets(page);
            go_on(&page->registers);
        }
        call3(SYS_close, fds[0], 0, 0);
        if (into)
            call3(SYS_close, fds[1], 0, 0);
        forked.pid = (int32_t)pid;
        if (pid < 0 && send_whole(STUB_CONTROL_FD, &forked, sizeof(forked)) < 0)
            end();
    }
}

extern const char __start_cj_stub[], __stop_cj_stub[];

struct stub_code stub_code(void)
{
    return (struct stub_code){
        .begin = __start_cj_stub,
        .size = (uint64_t)(__stop_cj_stub - __start_cj_stub),
        .entry = (uint64_t)((const char *)(uintptr_t)stub_main - __start_cj_stub),
        .finalize = (uint64_t)((const char *)(uintptr_t)stub_finalize - __start_cj_stub),
        .visit = (uint64_t)((const char *)(uintptr_t)stub_visit - __start_cj_stub),
        .type_changed = (uint64_t)((const char *)(uintptr_t)stub_type_changed - __start_cj_stub),
    };
}

#else

struct stub_code stub_code(void)
{
    return (struct stub_code){0}; /* not written for this architecture: interpreters start cold */
}

#endif

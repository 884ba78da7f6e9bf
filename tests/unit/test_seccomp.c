/* The filter as a program: what the kernel's BPF machine would answer, without a kernel. The
 * machine here knows the few instructions that seccomp(2) allows and refuses all else, so it checks
 * the form of the program as well. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <seccomp.h>

#include "base/fd.h"
#include "base/io.h"
#include "seccomp_rule.h"

#define ALLOW       SECCOMP_RET_ALLOW
#define DENY(error) (SECCOMP_RET_ERRNO | (error))
#define NO_PERM     DENY(EPERM)
#define NO_CALL     DENY(ENOSYS)

#define X64 AUDIT_ARCH_X86_64

static const uint64_t launcher_args = 0x5a5a12345678a0;

/* ---- The machine ---- */

static uint32_t load(const struct seccomp_data *data, uint32_t offset)
{
    uint32_t word;
    assert_true(offset % 4 == 0 && offset < sizeof(*data));
    memcpy(&word, (const char *)data + offset, sizeof(word));
    return word;
}

static uint32_t run(const struct seccomp_filter *filter, const struct seccomp_data *data)
{
    uint32_t accumulator = 0;
    for (size_t pc = 0; pc < filter->count; pc++) {
        const struct sock_filter *code = &filter->code[pc];
        bool yes = false;
        switch (code->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            accumulator = load(data, code->k);
            continue;
        case BPF_ALU | BPF_AND | BPF_K:
            accumulator &= code->k;
            continue;
        case BPF_RET | BPF_K:
            return code->k;
        case BPF_JMP | BPF_JA:
            pc += code->k;
            continue;
        case BPF_JMP | BPF_JEQ | BPF_K:
            yes = accumulator == code->k;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            yes = accumulator > code->k;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            yes = accumulator >= code->k;
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            yes = (accumulator & code->k) != 0;
            break;
        default:
            fail_msg("instruction %zu: code %#x", pc, code->code);
        }
        pc += yes ? code->jt : code->jf;
    }
    fail_msg("the program runs past its end");
    return 0;
}

/* As the kernel's checker: each jump lands inside, the last instruction returns. */
static void check_form(const struct seccomp_filter *filter)
{
    assert_in_range(filter->count, 1, BPF_MAXINSNS);
    for (size_t pc = 0; pc < filter->count; pc++) {
        const struct sock_filter *code = &filter->code[pc];
        if (BPF_CLASS(code->code) != BPF_JMP)
            continue;
        if (BPF_OP(code->code) == BPF_JA)
            assert_true(code->k < filter->count - pc - 1);
        else
            assert_true(code->jt < filter->count - pc - 1 && code->jf < filter->count - pc - 1);
    }
    assert_int_equal(BPF_CLASS(filter->code[filter->count - 1].code), BPF_RET);
}

static uint32_t ask(const struct seccomp_filter *filter, uint32_t arch, uint32_t number,
                    const uint64_t args[6])
{
    struct seccomp_data data = {.nr = (int)number, .arch = arch, .instruction_pointer = 0x1000};
    for (size_t i = 0; i < 6; i++)
        data.args[i] = args[i];
    return run(filter, &data);
}

static uint32_t ask_plain(const struct seccomp_filter *filter, uint32_t arch, uint32_t number)
{
    return ask(filter, arch, number, (const uint64_t[6]){0});
}

static uint32_t number_of(uint32_t arch, const char *name)
{
    int number = seccomp_syscall_number(arch, name);
    if (number < 0)
        fail_msg("no number for %s", name);
    return (uint32_t)number;
}

/* ---- The default filter ---- */

static struct seccomp_filter default_filter(uint32_t arch, uint64_t address)
{
    struct seccomp_filter filter = {0};
    struct cj_error err = {0};
    if (seccomp_default_compile(arch, address, &filter, &err) < 0)
        fail_msg("%s", err.message);
    check_form(&filter);
    assert_true(filter.inherited);
    return filter;
}

struct call {
    const char *name;
    uint32_t expected;
    uint64_t args[6];
};

#define HIGH UINT64_C(0xdeadbeef00000000) /* what the kernel does not look at in an int */

static const struct call default_calls[] = {
    /* everyday */
    {"read", ALLOW, {0}},
    {"write", ALLOW, {0}},
    {"open", ALLOW, {0}},
    {"openat", ALLOW, {0}},
    {"openat2", ALLOW, {0}},
    {"close_range", ALLOW, {3, ~0U, 0}},
    {"statx", ALLOW, {0}},
    {"faccessat2", ALLOW, {0}},
    {"fchmodat2", ALLOW, {0}},
    {"copy_file_range", ALLOW, {0}},
    {"fsync", ALLOW, {0}},
    {"brk", ALLOW, {0}},
    {"mprotect", ALLOW, {0}},
    {"mlock", ALLOW, {0}},
    {"mseal", ALLOW, {0}},
    {"map_shadow_stack", ALLOW, {0}},
    {"get_mempolicy", ALLOW, {0}},
    {"futex", ALLOW, {0}},
    {"futex_waitv", ALLOW, {0}},
    {"futex_requeue", ALLOW, {0}},
    {"rseq", ALLOW, {0}},
    {"membarrier", ALLOW, {0}},
    {"arch_prctl", ALLOW, {0}},
    {"epoll_pwait2", ALLOW, {0}},
    {"eventfd2", ALLOW, {0}},
    {"timerfd_create", ALLOW, {0}},
    {"clock_gettime", ALLOW, {0}},
    {"clock_nanosleep", ALLOW, {0}},
    {"fork", ALLOW, {0}},
    {"vfork", ALLOW, {0}},
    {"pidfd_open", ALLOW, {0}},
    {"pidfd_send_signal", ALLOW, {0}},
    {"restart_syscall", ALLOW, {0}},
    {"rt_sigreturn", ALLOW, {0}},
    {"tgkill", ALLOW, {0}},
    {"inotify_init1", NO_CALL, {0}},
    {"flock", ALLOW, {0}},
    {"fcntl", ALLOW, {0, F_SETLK}},
    {"fcntl", NO_PERM, {0, F_NOTIFY}},
    {"fcntl", NO_PERM, {0, F_SETLEASE}},
    {"getrandom", ALLOW, {0}},
    {"seccomp", ALLOW, {0}},
    {"landlock_restrict_self", ALLOW, {0}},
    {"msgget", ALLOW, {0}},
    {"mq_open", ALLOW, {0}},
    {"sched_setscheduler", ALLOW, {0}},
    /* what init's launcher and the run's process need before execve */
    {"recvmsg", ALLOW, {0}},
    {"sendmsg", ALLOW, {0}},
    {"ppoll", ALLOW, {0}},
    {"waitid", ALLOW, {0}},
    {"wait4", ALLOW, {0}},
    {"kill", ALLOW, {(uint64_t)-1, 9}},
    {"setsid", ALLOW, {0}},
    {"prlimit64", ALLOW, {0}},
    {"prlimit64", ALLOW, {0, 7, 0x7000}},
    {"prlimit64", ALLOW, {1, 7, 0}},
    {"prlimit64", NO_PERM, {1, 7, 0x7000}},
    {"setgroups", ALLOW, {0}},
    {"setresuid", ALLOW, {0}},
    {"setresgid", ALLOW, {0}},
    {"fchdir", ALLOW, {0}},
    {"dup3", ALLOW, {0}},
    {"execve", ALLOW, {0}},
    {"execveat", ALLOW, {0}},
    {"prctl", ALLOW, {0}},
    {"capset", ALLOW, {0}},
    {"sched_setaffinity", ALLOW, {0}},
    {"umask", ALLOW, {0}},
    {"exit_group", ALLOW, {0}},
    {"unshare", ALLOW, {CLONE_NEWCGROUP}},
    {"ioctl", ALLOW, {0, TIOCSCTTY}},
    /* namespaces */
    {"unshare", NO_PERM, {0}},
    {"unshare", NO_PERM, {CLONE_NEWUSER}},
    {"unshare", NO_PERM, {CLONE_NEWCGROUP | CLONE_NEWUSER}},
    {"unshare", NO_PERM, {CLONE_NEWCGROUP | HIGH}},
    {"clone", ALLOW, {17}},       /* SIGCHLD: fork */
    {"clone", ALLOW, {0x3d0f00}}, /* a POSIX thread */
    {"clone", ALLOW, {CLONE_VM | CLONE_VFORK | CLONE_PIDFD | 17}},
    {"clone", ALLOW, {17 | HIGH}},
    {"clone", NO_PERM, {CLONE_NEWNS | 17}},
    {"clone", NO_PERM, {CLONE_NEWCGROUP | 17}},
    {"clone", NO_PERM, {CLONE_NEWUTS | 17}},
    {"clone", NO_PERM, {CLONE_NEWIPC | 17}},
    {"clone", NO_PERM, {CLONE_NEWUSER | 17}},
    {"clone", NO_PERM, {CLONE_NEWPID | 17}},
    {"clone", NO_PERM, {CLONE_NEWNET | 17}},
    {"clone", NO_PERM, {CLONE_NEWUSER | CLONE_NEWNS | CLONE_VM | HIGH}},
    {"clone3", NO_CALL, {0}},
    {"clone3", NO_CALL, {0x7ffc00001000}},
    {"clone3", ALLOW, {0x5a5a12345678a0, 88}},
    {"clone3", NO_CALL, {0x5a5a12345678a8, 88}},
    {"clone3", NO_CALL, {0x5a5b12345678a0, 88}},
    {"clone3", NO_CALL, {0x12345678a0, 88}},
    {"setns", NO_PERM, {0}},
    {"mount", NO_PERM, {0}},
    {"umount2", NO_PERM, {0}},
    {"pivot_root", NO_PERM, {0}},
    {"chroot", NO_PERM, {0}},
    {"fsopen", NO_PERM, {0}},
    {"fsmount", NO_PERM, {0}},
    {"move_mount", NO_PERM, {0}},
    {"open_tree", NO_PERM, {0}},
    {"open_tree_attr", NO_PERM, {0}},
    {"mount_setattr", NO_PERM, {0}},
    {"listmount", NO_PERM, {0}},
    {"statmount", NO_PERM, {0}},
    /* other processes, the kernel, the machine */
    {"ptrace", NO_PERM, {0}},
    {"process_vm_readv", NO_PERM, {0}},
    {"process_vm_writev", NO_PERM, {0}},
    {"kcmp", NO_PERM, {0}},
    {"pidfd_getfd", NO_PERM, {0}},
    {"process_madvise", NO_PERM, {0}},
    {"migrate_pages", NO_PERM, {0}},
    {"open_by_handle_at", NO_PERM, {0}},
    {"name_to_handle_at", NO_PERM, {0}},
    {"keyctl", NO_PERM, {0}},
    {"add_key", NO_PERM, {0}},
    {"request_key", NO_PERM, {0}},
    {"bpf", NO_PERM, {0}},
    {"perf_event_open", NO_PERM, {0}},
    {"userfaultfd", NO_PERM, {0}},
    {"io_uring_setup", NO_PERM, {0}},
    {"io_uring_enter", NO_PERM, {0}},
    {"io_uring_register", NO_PERM, {0}},
    {"lookup_dcookie", NO_PERM, {0}},
    {"fanotify_init", NO_PERM, {0}},
    {"init_module", NO_PERM, {0}},
    {"finit_module", NO_PERM, {0}},
    {"delete_module", NO_PERM, {0}},
    {"kexec_load", NO_PERM, {0}},
    {"kexec_file_load", NO_PERM, {0}},
    {"reboot", NO_PERM, {0}},
    {"swapon", NO_PERM, {0}},
    {"acct", NO_PERM, {0}},
    {"quotactl", NO_PERM, {0}},
    {"quotactl_fd", NO_PERM, {0}},
    {"sethostname", NO_PERM, {0}},
    {"setdomainname", NO_PERM, {0}},
    {"syslog", NO_PERM, {0}},
    {"vhangup", NO_PERM, {0}},
    {"settimeofday", NO_PERM, {0}},
    {"clock_settime", NO_PERM, {0}},
    {"adjtimex", NO_PERM, {0}},
    {"clock_adjtime", NO_PERM, {0}},
    {"sync", NO_PERM, {0}},
    {"syncfs", NO_PERM, {0}},
    {"ioprio_set", NO_PERM, {0}},
    {"ioperm", NO_PERM, {0}},
    {"iopl", NO_PERM, {0}},
    {"modify_ldt", NO_PERM, {0}},
    {"uselib", NO_PERM, {0}},
    {"ustat", NO_PERM, {0}},
    {"sysfs", NO_PERM, {0}},
    {"_sysctl", NO_PERM, {0}},
    {"nfsservctl", NO_PERM, {0}},
    {"memfd_secret", NO_PERM, {0}},
    {"io_setup", NO_CALL, {0}},
    {"cachestat", NO_CALL, {0}},
    {"lsm_list_modules", NO_CALL, {0}},
    /* sockets */
    {"socket", ALLOW, {AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0}},
    {"socket", ALLOW, {AF_UNIX | HIGH, SOCK_STREAM, 0}},
    {"socket", ALLOW, {AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0}},
    {"socket", ALLOW, {AF_INET, SOCK_STREAM, 6}},
    {"socket", ALLOW, {AF_INET | HIGH, SOCK_DGRAM | HIGH, 17 | HIGH}},
    {"socket", ALLOW, {AF_INET6, SOCK_DGRAM, 0}},
    {"socket", DENY(EPROTONOSUPPORT), {AF_INET, SOCK_STREAM, 262}},    /* MPTCP */
    {"socket", DENY(EPROTONOSUPPORT), {AF_INET, SOCK_SEQPACKET, 132}}, /* SCTP */
    {"socket", DENY(EPROTONOSUPPORT), {AF_INET6, SOCK_RAW, 58}},
    {"socket", DENY(EPROTONOSUPPORT), {AF_INET, SOCK_PACKET, 0x300}},
    {"socket", DENY(EAFNOSUPPORT), {0}},
    {"socket", DENY(EAFNOSUPPORT), {AF_NETLINK, SOCK_RAW, 0}},
    {"socket", DENY(EAFNOSUPPORT), {AF_PACKET, SOCK_RAW, 0}},
    {"socket", DENY(EAFNOSUPPORT), {AF_ALG, SOCK_SEQPACKET, 0}},
    {"socket", DENY(EAFNOSUPPORT), {AF_VSOCK, SOCK_STREAM, 0}},
    {"socket", DENY(EAFNOSUPPORT), {AF_VSOCK | HIGH, SOCK_STREAM, 0}},
    {"socket", DENY(EAFNOSUPPORT), {31, SOCK_RAW, 0}}, /* AF_BLUETOOTH */
    {"socket", DENY(EAFNOSUPPORT), {44, SOCK_RAW, 0}}, /* AF_XDP */
    {"socket", DENY(EAFNOSUPPORT), {~UINT64_C(0), SOCK_RAW, 0}},
    {"socketpair", ALLOW, {AF_UNIX, SOCK_STREAM, 0}},
    {"socketpair", DENY(EAFNOSUPPORT), {AF_INET, SOCK_STREAM, 0}},
    {"socketpair", DENY(EAFNOSUPPORT), {30, SOCK_STREAM, 0}}, /* AF_TIPC */
    /* terminals: the command is an unsigned int, a dirty high half changes nothing */
    {"ioctl", ALLOW, {0, TIOCGWINSZ}},
    {"ioctl", ALLOW, {0, TCGETS | HIGH}},
    {"ioctl", NO_PERM, {0, TIOCSTI}},
    {"ioctl", NO_PERM, {0, TIOCSTI | HIGH}},
    {"ioctl", NO_PERM, {0, TIOCLINUX}},
    {"ioctl", NO_PERM, {0, TIOCLINUX | UINT64_C(1) << 63}},
    {"ioctl", NO_PERM, {0, TIOCSETD}},
    /* huge pages */
    {"mmap", ALLOW, {0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS}},
    {"mmap", DENY(ENOMEM), {0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB}},
    {"shmget", ALLOW, {0, 4096, 0600}},
    {"shmget", DENY(ENOMEM), {0, 4096, 0600 | 04000}},
    {"memfd_create", ALLOW, {0, 3}},
    {"memfd_create", DENY(ENOMEM), {0, 4}},
    /* personalities */
    {"personality", ALLOW, {0xffffffff}},
    {"personality", ALLOW, {~UINT64_C(0)}},
    {"personality", ALLOW, {0}},
    {"personality", ALLOW, {0x40000}},
    {"personality", NO_PERM, {0x40001}},
    {"personality", NO_PERM, {0x400000}}, /* READ_IMPLIES_EXEC */
    {"personality", NO_PERM, {8}},
    /* device nodes */
    {"mknod", ALLOW, {0, S_IFIFO | 0600}},
    {"mknod", ALLOW, {0, 0600}},
    {"mknod", NO_PERM, {0, S_IFCHR | 0666}},
    {"mknod", NO_PERM, {0, S_IFBLK | 0666}},
    {"mknodat", ALLOW, {0, 0, S_IFSOCK | 0600}},
    {"mknodat", NO_PERM, {0, 0, S_IFCHR}},
    {"mknodat", NO_PERM, {0, 0, S_IFBLK | HIGH}},
    {"renameat2", ALLOW, {0, 0, 0, 0, 1}},
    {"renameat2", NO_PERM, {0, 0, 0, 0, 4}},
};

_Static_assert(COUNT_OF(default_calls) >= 120, "the table covers the policy");

static void default_filter_answers_every_case(void **state)
{
    (void)state;
    struct seccomp_filter filter = default_filter(X64, launcher_args);
    for (size_t i = 0; i < COUNT_OF(default_calls); i++) {
        const struct call *call = &default_calls[i];
        uint32_t answer = ask(&filter, X64, number_of(X64, call->name), call->args);
        if (answer != call->expected)
            fail_msg("case %zu, %s: %#x instead of %#x", i, call->name, answer, call->expected);
    }
    seccomp_filter_free(&filter);
}

static void other_conventions_know_no_call(void **state)
{
    (void)state;
    static const uint32_t foreign[] = {AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, AUDIT_ARCH_ARM, 0, ~0U};
    struct seccomp_filter filter = default_filter(X64, launcher_args);
    const uint64_t launcher[6] = {launcher_args};
    for (uint32_t number = 0; number < 600; number++) {
        for (size_t i = 0; i < COUNT_OF(foreign); i++) {
            assert_int_equal(ask_plain(&filter, foreign[i], number), NO_CALL);
            assert_int_equal(ask(&filter, foreign[i], number, launcher), NO_CALL);
        }
        assert_int_equal(ask_plain(&filter, X64, 0x40000000U | number), NO_CALL);
        assert_int_equal(ask(&filter, X64, 0x40000000U | number, launcher), NO_CALL);
        assert_int_equal(ask_plain(&filter, X64, 0x80000000U | number), NO_CALL);
        assert_int_equal(ask_plain(&filter, X64, 0xc0000000U | number), NO_CALL);
    }
    seccomp_filter_free(&filter);
}

static void unknown_numbers_are_absent_calls(void **state)
{
    (void)state;
    static const uint32_t numbers[] = {335,        423,        471,        500,
                                       548,        1000,       0x3fffffff, 0x40000000,
                                       0x7fffffff, 0x80000000, ~0U - 1,    ~0U};
    struct seccomp_filter filter = default_filter(X64, 0);
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        assert_int_equal(ask_plain(&filter, X64, numbers[i]), NO_CALL);
    seccomp_filter_free(&filter);
}

static void without_a_launcher_clone3_is_always_absent(void **state)
{
    (void)state;
    struct seccomp_filter filter = default_filter(X64, 0);
    uint32_t clone3 = number_of(X64, "clone3");
    assert_int_equal(ask_plain(&filter, X64, clone3), NO_CALL);
    assert_int_equal(ask(&filter, X64, clone3, (const uint64_t[6]){launcher_args}), NO_CALL);
    seccomp_filter_free(&filter);
}

static void aarch64_has_the_same_policy(void **state)
{
    (void)state;
    const uint32_t arch = AUDIT_ARCH_AARCH64;
    struct seccomp_filter filter = default_filter(arch, launcher_args);
    assert_int_equal(seccomp_syscall_number(arch, "fork"), SYSCALL_ABSENT);
    size_t compared = 0;
    for (size_t i = 0; i < COUNT_OF(default_calls); i++) {
        const struct call *call = &default_calls[i];
        int number = seccomp_syscall_number(arch, call->name);
        if (number < 0)
            continue;
        assert_int_equal(ask(&filter, arch, (uint32_t)number, call->args), call->expected);
        compared++;
    }
    assert_true(compared > 120);
    assert_int_equal(ask_plain(&filter, X64, 0), NO_CALL);
    assert_int_equal(ask_plain(&filter, AUDIT_ARCH_ARM, 1), NO_CALL);
    seccomp_filter_free(&filter);
}

/* ---- The compiler, against a model and against libseccomp ---- */

static uint64_t random_state = 88172645463325252U;

static uint64_t random_bits(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static uint32_t random_below(uint32_t bound)
{
    return (uint32_t)(random_bits() >> 16) % bound;
}

/* Few distinct values in each half, so that comparisons hit their edges. */
static uint64_t random_value(void)
{
    static const uint32_t halves[] = {0, 1, 2, 3, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
    uint64_t high = halves[random_below(COUNT_OF(halves))];
    return high << 32 | halves[random_below(COUNT_OF(halves))];
}

static bool condition_holds(const struct seccomp_condition *condition, const uint64_t args[6])
{
    uint64_t argument = args[condition->argument];
    switch ((enum seccomp_operation)condition->operation) {
    case SECCOMP_EQUAL:
        return argument == condition->value;
    case SECCOMP_NOT_EQUAL:
        return argument != condition->value;
    case SECCOMP_GREATER:
        return argument > condition->value;
    case SECCOMP_LESS:
        return argument < condition->value;
    case SECCOMP_GREATER_OR_EQUAL:
        return argument >= condition->value;
    case SECCOMP_LESS_OR_EQUAL:
        return argument <= condition->value;
    case SECCOMP_BITS_SET:
        return (argument & condition->value) != 0;
    case SECCOMP_BITS_NOT_SET:
        return (argument & condition->value) == 0;
    case SECCOMP_MASKED_EQUAL:
        return (argument & condition->mask) == condition->value;
    }
    return false;
}

static uint32_t model(const struct seccomp_policy *policy, uint32_t arch, uint32_t number,
                      const uint64_t args[6])
{
    if (arch != policy->arch)
        return policy->foreign_action;
    if (arch == X64 && number >= 0x40000000)
        return policy->x32_action;
    for (size_t i = 0; i < policy->rule_count; i++) {
        const struct seccomp_rule *rule = &policy->rules[i];
        bool holds = rule->number == number;
        for (size_t c = 0; holds && c < rule->condition_count; c++)
            holds = condition_holds(&rule->conditions[c], args);
        if (holds)
            return rule->action;
    }
    return policy->default_action;
}

static struct seccomp_condition random_condition(void)
{
    return (struct seccomp_condition){
        .argument = (uint8_t)random_below(6),
        .operation = (uint8_t)random_below(SECCOMP_MASKED_EQUAL + 1),
        .value = random_value(),
        .mask = random_value(),
    };
}

static struct seccomp_rule random_rule(uint32_t numbers, uint32_t conditions)
{
    struct seccomp_rule rule = {
        .number = random_below(numbers),
        .action = random_below(3) == 0 ? ALLOW : DENY(1 + random_below(5)),
        .condition_count = random_below(conditions + 1),
    };
    for (size_t i = 0; i < rule.condition_count; i++)
        rule.conditions[i] = random_condition();
    return rule;
}

static void compiled_rules_equal_the_model(void **state)
{
    (void)state;
    static struct seccomp_rule rules[400];
    for (uint32_t round = 0; round < 300; round++) {
        const struct seccomp_policy policy = {
            .arch = round % 3 == 0 ? AUDIT_ARCH_AARCH64 : X64,
            .default_action = NO_CALL,
            .foreign_action = NO_PERM,
            .x32_action = SECCOMP_RET_KILL_PROCESS,
            .rules = rules,
            .rule_count = round % 5 == 0 ? round % 3 : random_below(COUNT_OF(rules)),
        };
        uint32_t numbers = 1 + random_below(80);
        for (size_t i = 0; i < policy.rule_count; i++)
            rules[i] = random_rule(numbers, round % 4 == 0 ? 0 : 2);
        struct seccomp_filter filter = {0};
        struct cj_error err = {0};
        if (seccomp_filter_compile(&policy, &filter, &err) < 0) {
            assert_int_equal(err.code, E2BIG);
            continue;
        }
        check_form(&filter);
        for (size_t i = 0; i < 3000; i++) {
            uint64_t args[6];
            for (size_t a = 0; a < 6; a++)
                args[a] = random_value();
            uint32_t number = random_below(numbers + 2) | (i % 50 == 0 ? 0x40000000U : 0);
            uint32_t arch = i % 60 == 0 ? AUDIT_ARCH_I386 : policy.arch;
            assert_int_equal(ask(&filter, arch, number, args), model(&policy, arch, number, args));
        }
        seccomp_filter_free(&filter);
    }
}

/* Halves of the tree around 255 instructions, where a conditional jump's eight bits end. */
static void far_jumps_reach_their_aim(void **state)
{
    (void)state;
    static struct seccomp_rule rules[320];
    for (uint32_t count = 200; count < COUNT_OF(rules); count++) {
        for (uint32_t i = 0; i < count; i++)
            rules[i] = (struct seccomp_rule){.number = i, .action = DENY(1 + i % 3)};
        rules[5].condition_count = count % 2; /* longer, so that both parities occur */
        rules[5].conditions[0] = (struct seccomp_condition){.argument = 1, .value = 7};
        const struct seccomp_policy policy = {
            .arch = X64, .default_action = ALLOW, .rules = rules, .rule_count = count};
        struct seccomp_filter filter = {0};
        assert_int_equal(seccomp_filter_compile(&policy, &filter, NULL), 0);
        check_form(&filter);
        for (uint64_t second = 7; second < 9; second++) {
            const uint64_t args[6] = {0, second};
            for (uint32_t number = 0; number < count + 3; number++)
                assert_int_equal(ask(&filter, X64, number, args),
                                 model(&policy, X64, number, args));
        }
        seccomp_filter_free(&filter);
    }
}

/* libseccomp can say one condition for one call; there both must agree. */
static void compiled_rules_equal_libseccomp(void **state)
{
    (void)state;
    static const enum scmp_compare operations[] = {
        [SECCOMP_EQUAL] = SCMP_CMP_EQ,
        [SECCOMP_NOT_EQUAL] = SCMP_CMP_NE,
        [SECCOMP_GREATER] = SCMP_CMP_GT,
        [SECCOMP_LESS] = SCMP_CMP_LT,
        [SECCOMP_GREATER_OR_EQUAL] = SCMP_CMP_GE,
        [SECCOMP_LESS_OR_EQUAL] = SCMP_CMP_LE,
        [SECCOMP_MASKED_EQUAL] = SCMP_CMP_MASKED_EQ,
    };
    enum { NUMBERS = 60 };
    static struct seccomp_rule rules[NUMBERS];
    for (int round = 0; round < 50; round++) {
        scmp_filter_ctx theirs = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
        assert_non_null(theirs);
        seccomp_attr_set(theirs, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));
        if (seccomp_arch_native() != X64) {
            assert_int_equal(seccomp_arch_remove(theirs, SCMP_ARCH_NATIVE), 0);
            assert_int_equal(seccomp_arch_add(theirs, X64), 0);
        }
        for (uint32_t number = 0; number < NUMBERS; number++) {
            struct seccomp_rule *rule = &rules[number];
            do
                *rule = random_rule(1, 1);
            while (rule->action == NO_CALL || rule->conditions[0].operation == SECCOMP_BITS_SET ||
                   rule->conditions[0].operation == SECCOMP_BITS_NOT_SET);
            rule->number = number;
            struct seccomp_condition *condition = &rule->conditions[0];
            bool masked = condition->operation == SECCOMP_MASKED_EQUAL;
            if (masked) /* libseccomp drops the bits of value that the mask hides */
                condition->value &= condition->mask;
            struct scmp_arg_cmp compare = {
                .arg = condition->argument,
                .op = operations[condition->operation],
                .datum_a = masked ? condition->mask : condition->value,
                .datum_b = condition->value,
            };
            assert_int_equal(seccomp_rule_add_array(theirs, rule->action, (int)number,
                                                    (unsigned)rule->condition_count, &compare),
                             0);
        }
        auto_fd int fd = memfd_create("bpf", MFD_CLOEXEC);
        assert_int_equal(seccomp_export_bpf(theirs, fd), 0);
        seccomp_release(theirs);
        struct sock_filter code[BPF_MAXINSNS];
        ssize_t size = pread(fd, code, sizeof(code), 0);
        assert_true(size > 0);
        const struct seccomp_filter reference = {.code = code,
                                                 .count = (size_t)size / sizeof(code[0])};

        const struct seccomp_policy policy = {
            .arch = X64,
            .default_action = NO_CALL,
            .foreign_action = NO_PERM,
            .x32_action = NO_PERM,
            .rules = rules,
            .rule_count = NUMBERS,
        };
        struct seccomp_filter ours = {0};
        assert_int_equal(seccomp_filter_compile(&policy, &ours, NULL), 0);
        for (int i = 0; i < 5000; i++) {
            uint64_t args[6];
            for (size_t a = 0; a < 6; a++)
                args[a] = random_value();
            uint32_t number = random_below(NUMBERS + 4) | (i % 50 == 0 ? 0x40000000U : 0);
            uint32_t arch = i % 60 == 0 ? AUDIT_ARCH_I386 : X64;
            assert_int_equal(ask(&ours, arch, number, args), ask(&reference, arch, number, args));
        }
        seccomp_filter_free(&ours);
    }
}

static void too_many_rules_are_refused(void **state)
{
    (void)state;
    static struct seccomp_rule rules[4000];
    for (uint32_t i = 0; i < COUNT_OF(rules); i++)
        rules[i] =
            (struct seccomp_rule){.number = i, .action = DENY(1 + i % 4), .condition_count = 1};
    const struct seccomp_policy policy = {
        .arch = X64, .rules = rules, .rule_count = COUNT_OF(rules)};
    struct seccomp_filter filter = {0};
    struct cj_error err = {0};
    assert_int_equal(seccomp_filter_compile(&policy, &filter, &err), -1);
    assert_int_equal(err.domain, ERROR_CONFIG);
    assert_int_equal(err.code, E2BIG);
    assert_null(filter.code);
}

/* ---- seccomp.yaml ---- */

static struct seccomp_filter parse(const char *text)
{
    struct seccomp_filter filter = {0};
    struct cj_error err = {0};
    if (seccomp_config_parse("seccomp.yaml", text, strlen(text), &filter, &err) < 0)
        fail_msg("%s", err.message);
    check_form(&filter);
    assert_false(filter.inherited);
    return filter;
}

static uint32_t native(const char *name)
{
    return number_of(seccomp_arch_native(), name);
}

static uint32_t ask_native(const struct seccomp_filter *filter, const char *name, uint64_t first,
                           uint64_t second)
{
    const uint64_t args[6] = {first, second};
    return ask(filter, seccomp_arch_native(), native(name), args);
}

static void actions_are_read_in_any_case(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t action;
    } cases[] = {
        {"kill_thread", SECCOMP_RET_KILL_THREAD},
        {"KILL_PROCESS", SECCOMP_RET_KILL_PROCESS},
        {"Trap", SECCOMP_RET_TRAP},
        {"errno", NO_PERM},
        {"tRaCe", SECCOMP_RET_TRACE},
        {"log", SECCOMP_RET_LOG},
        {"\"allow\"", ALLOW},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[256];
        snprintf(text, sizeof(text), "syscalls:\n- action: %s\n  names: [read]\n", cases[i].text);
        struct seccomp_filter filter = parse(text);
        assert_int_equal(ask_native(&filter, "read", 0, 0), cases[i].action);
        assert_int_equal(ask_native(&filter, "write", 0, 0), SECCOMP_RET_KILL_THREAD);
        assert_int_equal(ask_plain(&filter, AUDIT_ARCH_I386, 3), SECCOMP_RET_KILL_THREAD);
        seccomp_filter_free(&filter);
    }
}

static void operations_compare_64_bits(void **state)
{
    (void)state;
    const uint64_t value = UINT64_C(0x200000005);
    static const struct {
        const char *name;
        bool below, same, above, low_half_only;
    } cases[] = {
        {"Equal", false, true, false, false},         {"notequal", true, false, true, true},
        {"GREATERTHAN", false, false, true, false},   {"LessThan", true, false, false, true},
        {"GreaterOrEqual", false, true, true, false}, {"LessOrEqual", true, true, false, true},
        {"BitsSet", true, true, true, true},          {"BitsNotSet", false, false, false, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[512];
        snprintf(text, sizeof(text),
                 "default_action: errno\n"
                 "syscalls:\n"
                 "- action: allow\n"
                 "  names_with_args:\n"
                 "  - name: lseek\n"
                 "    arguments: [{argument: 1, operation: %s, value: 0x200000005}]\n",
                 cases[i].name);
        struct seccomp_filter filter = parse(text);
        const bool answers[] = {
            ask_native(&filter, "lseek", 0, value - 1) == ALLOW,
            ask_native(&filter, "lseek", 0, value) == ALLOW,
            ask_native(&filter, "lseek", 0, value + 1) == ALLOW,
            ask_native(&filter, "lseek", 0, 5) == ALLOW,
        };
        assert_int_equal(answers[0], cases[i].below);
        assert_int_equal(answers[1], cases[i].same);
        assert_int_equal(answers[2], cases[i].above);
        assert_int_equal(answers[3], cases[i].low_half_only);
        /* BitsSet is any bit, BitsNotSet none */
        bool no_common_bit = ask_native(&filter, "lseek", 0, 0x100000002) == ALLOW;
        if (strncmp(cases[i].name, "Bits", 4) == 0)
            assert_int_equal(no_common_bit, strcmp(cases[i].name, "BitsNotSet") == 0);
        seccomp_filter_free(&filter);
    }
}

static void the_first_matching_group_decides(void **state)
{
    (void)state;
    struct seccomp_filter filter =
        parse("default_action: kill_process\n"
              "syscalls:\n"
              "- action: errno\n"
              "  names_with_args:\n"
              "  - name: write\n"
              "    arguments: [{argument: 0, operation: Equal, value: 2}]\n"
              "- action: allow\n"
              "  names: [read]\n"
              "  names_with_args:\n"
              "  - name: write\n"
              "    arguments:\n"
              "    - {argument: 0, operation: LessOrEqual, value: 5}\n"
              "    - {argument: 1, operation: NotEqual, value: 0}\n"
              "  - name: write\n"
              "    arguments: [{argument: 0, operation: Equal, value: 9}]\n"
              "- action: trap\n"
              "  names: [write, read]\n"
              "- action: log\n"
              "  names: [write]\n");
    assert_int_equal(ask_native(&filter, "write", 2, 7), NO_PERM);
    assert_int_equal(ask_native(&filter, "write", 3, 7), ALLOW);
    assert_int_equal(ask_native(&filter, "write", 3, 0), SECCOMP_RET_TRAP);
    assert_int_equal(ask_native(&filter, "write", 9, 0), ALLOW);
    assert_int_equal(ask_native(&filter, "write", 8, 1), SECCOMP_RET_TRAP);
    assert_int_equal(ask_native(&filter, "read", 0, 0), ALLOW);
    assert_int_equal(ask_native(&filter, "close", 0, 0), SECCOMP_RET_KILL_PROCESS);
    seccomp_filter_free(&filter);
}

static void other_conventions_get_the_default_but_never_pass(void **state)
{
    (void)state;
    static const struct {
        const char *action;
        uint32_t foreign;
    } cases[] = {
        {"allow", NO_CALL},
        {"log", NO_CALL},
        {"errno", NO_PERM},
        {"kill_process", SECCOMP_RET_KILL_PROCESS},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[256];
        snprintf(text, sizeof(text),
                 "default_action: %s\nsyscalls: [{action: errno, names: [ptrace]}]",
                 cases[i].action);
        struct seccomp_filter filter = parse(text);
        assert_int_equal(ask_plain(&filter, AUDIT_ARCH_I386, 26), cases[i].foreign);
        if (seccomp_arch_native() == X64) {
            assert_int_equal(ask_plain(&filter, X64, 0x40000000 + 521), NO_CALL);
            assert_int_equal(ask_plain(&filter, X64, 101), NO_PERM);
        }
        seccomp_filter_free(&filter);
    }
}

static void numbers_are_read_in_every_base(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t value;
    } cases[] = {
        {"0", 0},
        {"18446744073709551615", UINT64_MAX},
        {"0xFFFFffffffffffff", UINT64_MAX},
        {"0o17", 15},
        {"017", 15},
        {"0b101", 5},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[256];
        snprintf(
            text, sizeof(text),
            "syscalls: [{action: allow, names_with_args: [{name: read, arguments: [{operation: "
            "Equal, value: %s}]}]}]",
            cases[i].text);
        struct seccomp_filter filter = parse(text);
        assert_int_equal(ask_native(&filter, "read", cases[i].value, 0), ALLOW);
        assert_int_equal(ask_native(&filter, "read", cases[i].value ^ 1, 0),
                         SECCOMP_RET_KILL_THREAD);
        seccomp_filter_free(&filter);
    }
}

#define ONE_CONDITION(condition)                                                                   \
    "syscalls:\n- action: allow\n  names_with_args:\n  - name: read\n    arguments:\n    "         \
    "- " condition

static void mistakes_are_named_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *message; /* after "seccomp.yaml:" */
    } cases[] = {
        {"", " no content"},
        {"# nothing\n", " no content"},
        {"[]", "1: the filter must be a mapping"},
        {"default_action: allow\n", "1: no syscalls"},
        {"syscalls: []\n", "1: syscalls is empty"},
        {"syscalls: {}\n", "1: syscalls must be a list"},
        {"\nsyscalls:\n- names: [read]\n", "3: a group of syscalls needs an action"},
        {"syscalls:\n- action: permit\n", "2: unknown action 'permit', not one of kill_thread, "
                                          "kill_process, trap, errno, trace, log, allow"},
        {"default_action: [allow]\nsyscalls: []\n", "1: expected a word, not a list or mapping"},
        {"default_actoin: allow\nsyscalls: []\n", "1: unknown key 'default_actoin' in the filter"},
        {"syscalls: []\nsyscalls: []\n", "2: key 'syscalls' twice in the filter"},
        {"syscalls:\n- action: allow\n  names:\n  - read\n  - raed\n",
         "5: unknown system call 'raed'"},
        {"syscalls:\n- action: allow\n  names: ['']\n", "3: unknown system call ''"},
        {"syscalls:\n- action: allow\n  names: [READ]\n", "3: unknown system call 'READ'"},
        {"syscalls:\n- action: allow\n  names: [\"re\\0ad\"]\n", "3: NUL in a word"},
        {"syscalls:\n- action: allow\n  names: [socketcall]\n",
         "3: system call 'socketcall' does not exist on this architecture"},
        {"syscalls:\n- action: allow\n  names:\n  - read\n  - write\n  - read\n",
         "6: duplicate system call 'read'"},
        {"syscalls:\n- action: allow\n  names: [read]\n  names_with_args:\n  - name: read\n"
         "    arguments: [{operation: Equal}]\n",
         "5: duplicate system call 'read': also without arguments"},
        {"syscalls:\n- action: allow\n  names_with_args:\n  - name: read\n",
         "4: names_with_args needs a name and arguments"},
        {"syscalls:\n- action: allow\n  names_with_args:\n  - name: read\n    arguments: []\n",
         "5: no arguments; list 'read' under names instead"},
        {ONE_CONDITION("{argument: 6, operation: Equal}"),
         "6: a system call has the arguments 0 to 5"},
        {ONE_CONDITION("{argument: -1, operation: Equal}"),
         "6: '-1' is not a number from 0 to 2^64-1"},
        {ONE_CONDITION("{operation: Equal, value: 18446744073709551616}"),
         "6: '18446744073709551616' is not a number from 0 to 2^64-1"},
        {ONE_CONDITION("{operation: Equal, value: 0x}"),
         "6: '0x' is not a number from 0 to 2^64-1"},
        {ONE_CONDITION("{operation: Equal, value: 0b2}"),
         "6: '0b2' is not a number from 0 to 2^64-1"},
        {ONE_CONDITION("{operation: Equal, value: ''}"), "6: '' is not a number from 0 to 2^64-1"},
        {ONE_CONDITION("{operation: Eq}"),
         "6: unknown operation 'Eq', not one of Equal, NotEqual, GreaterThan, LessThan, "
         "GreaterOrEqual, LessOrEqual, BitsSet, BitsNotSet"},
        {ONE_CONDITION("{value: 1}"), "6: an argument needs an operation"},
        {ONE_CONDITION("{position: 1, operation: Equal}"),
         "6: unknown key 'position' in an argument"},
        {"syscalls: [{action: allow}]\n--- 5\n", "2: a second document"},
        {"syscalls: [{action: allow}\n", "2: did not find expected ',' or ']'"},
        {"syscalls: &a [*a]\n", "1: a group of syscalls must be a mapping"},
        {"syscalls: *a\n", "1: found undefined alias"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct seccomp_filter filter = {0};
        struct cj_error err = {0};
        char wanted[256];
        snprintf(wanted, sizeof(wanted), "seccomp.yaml:%s", cases[i].message);
        assert_int_equal(seccomp_config_parse("seccomp.yaml", cases[i].text, strlen(cases[i].text),
                                              &filter, &err),
                         -1);
        assert_string_equal(err.message, wanted);
        assert_int_equal(err.domain, ERROR_CONFIG);
        assert_null(filter.code);
    }
}

/* A short text that stands for millions of rules, and one that is deep. */
static void bombs_are_refused(void **state)
{
    (void)state;
    static char text[200 * 1024];
    size_t used = (size_t)snprintf(
        text, sizeof(text), "syscalls:\n- &g\n  action: allow\n  names: [read,write,close]\n");
    for (int i = 0; i < 2000; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "- *g\n");
    struct seccomp_filter filter = {0};
    struct cj_error err = {0};
    assert_int_equal(seccomp_config_parse("bomb", text, used, &filter, &err), -1);
    assert_non_null(strstr(err.message, "more than 4096 rules"));
    memset(text, '[', sizeof(text));
    assert_int_equal(seccomp_config_parse("deep", text, sizeof(text), &filter, &err), -1);
    assert_string_equal(err.message, "deep:1: nested deeper than 16");
    assert_null(filter.code);
}

static void a_missing_file_is_enoent(void **state)
{
    (void)state;
    struct seccomp_filter filter = {0};
    struct cj_error err = {0};
    assert_int_equal(seccomp_filter_load("/nonexistent/seccomp.yaml", &filter, &err), -1);
    assert_int_equal(err.domain, ERROR_SYSTEM);
    assert_int_equal(err.code, ENOENT);
}

/* The shipped example says the same as the default filter: it allows what that allows, and denies
 * what that denies, with the errors that the schema knows. */
static void the_example_equals_the_default(void **state)
{
    (void)state;
    if (seccomp_arch_native() != X64)
        skip(); /* the schema wants every name to exist, so a file is for one architecture */
    struct seccomp_filter example = {0};
    struct cj_error err = {0};
    if (seccomp_filter_load(SHARE_DIR "/seccomp.yaml", &example, &err) < 0)
        fail_msg("%s", err.message);
    struct seccomp_filter built_in = default_filter(X64, 0);
    for (uint32_t number = 0; number < 600; number++) {
        uint32_t ours = ask_plain(&built_in, X64, number);
        uint32_t theirs = ask_plain(&example, X64, number);
        if (theirs != (ours == NO_CALL ? SECCOMP_RET_TRACE : ours == ALLOW ? ALLOW : NO_PERM))
            fail_msg("call %u: default %#x, example %#x", number, ours, theirs);
    }
    for (size_t i = 0; i < COUNT_OF(default_calls); i++) {
        const struct call *call = &default_calls[i];
        uint32_t number = number_of(X64, call->name);
        bool dirty =
            false; /* the schema compares whole registers: there it denies what is unclear */
        for (size_t a = 0; a < 6; a++)
            dirty |= call->args[a] > UINT32_MAX;
        bool ours = ask(&built_in, X64, number, call->args) == ALLOW;
        bool theirs = ask(&example, X64, number, call->args) == ALLOW;
        if (dirty ? theirs && !ours : theirs != ours)
            fail_msg("case %zu, %s: default %d, example %d", i, call->name, ours, theirs);
    }
    seccomp_filter_free(&example);
    seccomp_filter_free(&built_in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_filter_answers_every_case),
        cmocka_unit_test(other_conventions_know_no_call),
        cmocka_unit_test(unknown_numbers_are_absent_calls),
        cmocka_unit_test(without_a_launcher_clone3_is_always_absent),
        cmocka_unit_test(aarch64_has_the_same_policy),
        cmocka_unit_test(compiled_rules_equal_the_model),
        cmocka_unit_test(far_jumps_reach_their_aim),
        cmocka_unit_test(compiled_rules_equal_libseccomp),
        cmocka_unit_test(too_many_rules_are_refused),
        cmocka_unit_test(actions_are_read_in_any_case),
        cmocka_unit_test(operations_compare_64_bits),
        cmocka_unit_test(the_first_matching_group_decides),
        cmocka_unit_test(other_conventions_get_the_default_but_never_pass),
        cmocka_unit_test(numbers_are_read_in_every_base),
        cmocka_unit_test(mistakes_are_named_with_their_line),
        cmocka_unit_test(bombs_are_refused),
        cmocka_unit_test(a_missing_file_is_enoent),
        cmocka_unit_test(the_example_equals_the_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

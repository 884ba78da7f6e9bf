/* Which status a run gets. Every case states what was measured and the one verdict that follows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <limits.h>
#include <signal.h>
#include <stdio.h>

#include "base/attr.h"
#include "status.h"

enum { MIB = 1024 * 1024, CORE_DUMPED = 0x80 };

/* wait(2): the exit code is in the second byte, a signal in the low seven bits. */
static int exited(int code)
{
    return code << 8;
}
static int killed_by(int number)
{
    return number;
}

/* A run far below every limit that exits with 0. */
static struct exec_outcome quiet(void)
{
    return (struct exec_outcome){
        .started = true,
        .wait_status = exited(0),
        .cpu_ns = 1,
        .cpu_limit_ns = 1000000000,
        .wall_ns = 1,
        .wall_limit_ns = 3000000000,
        .memory_bytes = MIB,
        .memory_limit_bytes = 64 * MIB,
    };
}

static void expect(const char *what, const struct exec_outcome *outcome, enum exec_status status,
                   int exit_status)
{
    struct exec_verdict verdict = exec_decide(outcome);
    if (verdict.status != status || verdict.exit_status != exit_status)
        fail_msg("%s: %s, %d instead of %s, %d", what, exec_status_name(verdict.status),
                 verdict.exit_status, exec_status_name(status), exit_status);
}

/* ---- precedence ---- */

static void not_started(struct exec_outcome *o)
{
    o->started = false;
}
static void oom(struct exec_outcome *o)
{
    o->oom_kills = 1;
}
static void cpu_over(struct exec_outcome *o)
{
    o->cpu_ns = o->cpu_limit_ns + 1;
}
static void wall_over(struct exec_outcome *o)
{
    o->wall_ns = o->wall_limit_ns + 1;
}
static void cpu_killed(struct exec_outcome *o)
{
    o->killed = KILL_CPU;
    o->wait_status = killed_by(SIGKILL);
}
static void wall_killed(struct exec_outcome *o)
{
    o->killed = KILL_WALL;
    o->wait_status = killed_by(SIGKILL);
}
static void cancelled(struct exec_outcome *o)
{
    o->killed = KILL_CANCEL;
    o->wait_status = killed_by(SIGKILL);
}
static void output_killed(struct exec_outcome *o)
{
    o->killed = KILL_OUTPUT;
    o->wait_status = killed_by(SIGKILL);
    o->output_over = true;
}
static void dangerous(struct exec_outcome *o)
{
    o->wait_status = killed_by(SIGSYS);
}
static void file_size(struct exec_outcome *o)
{
    o->wait_status = killed_by(SIGXFSZ);
}
static void crashed(struct exec_outcome *o)
{
    o->wait_status = killed_by(SIGSEGV);
}
static void nonzero(struct exec_outcome *o)
{
    o->wait_status = exited(3);
}
static void output_over(struct exec_outcome *o)
{
    o->output_over = true;
}
static void file_problem(struct exec_outcome *o)
{
    o->file_problem = true;
}
static void nothing(struct exec_outcome *o)
{
    (void)o;
}

/* Strongest first. Those that write wait_status exclude each other and share a rank. */
static const struct {
    const char *name;
    void (*apply)(struct exec_outcome *outcome);
    enum exec_status status;
    int rank;
    bool ends; /* says how the main process ended */
} causes[] = {
    {"not started", not_started, EXEC_INTERNAL_ERROR, 0, false},
    {"out of memory", oom, EXEC_MEMORY_LIMIT, 1, false},
    {"killed for CPU", cpu_killed, EXEC_TIME_LIMIT, 2, true},
    {"killed for wall", wall_killed, EXEC_TIME_LIMIT, 2, true},
    {"CPU above limit", cpu_over, EXEC_TIME_LIMIT, 2, false},
    {"wall above limit", wall_over, EXEC_TIME_LIMIT, 2, false},
    {"killed for output", output_killed, EXEC_OUTPUT_LIMIT, 3, true},
    {"SIGSYS", dangerous, EXEC_DANGEROUS_SYSCALL, 3, true},
    {"SIGXFSZ", file_size, EXEC_OUTPUT_LIMIT, 3, true},
    {"SIGSEGV", crashed, EXEC_SIGNALLED, 3, true},
    {"exit 3", nonzero, EXEC_NONZERO_EXIT, 3, true},
    {"output over", output_over, EXEC_OUTPUT_LIMIT, 4, false},
    {"file problem", file_problem, EXEC_FILE_ERROR, 5, false},
    {"nothing", nothing, EXEC_ACCEPTED, 6, false},
};

static void the_stronger_of_two_causes_decides(void **state)
{
    (void)state;
    for (size_t a = 0; a < COUNT_OF(causes); a++) {
        for (size_t b = 0; b < COUNT_OF(causes); b++) {
            if (a != b && causes[a].ends && causes[b].ends)
                continue; /* a process ends in one way */
            struct exec_outcome outcome = quiet();
            causes[a].apply(&outcome);
            causes[b].apply(&outcome);
            size_t winner = causes[a].rank <= causes[b].rank ? a : b;
            char what[128];
            snprintf(what, sizeof(what), "%s and %s", causes[a].name, causes[b].name);
            if (exec_decide(&outcome).status != causes[winner].status)
                fail_msg("%s: %s", what, exec_status_name(exec_decide(&outcome).status));
        }
    }
}

static void all_causes_at_once_give_the_strongest(void **state)
{
    (void)state;
    for (size_t first = 0; first < COUNT_OF(causes); first++) {
        struct exec_outcome outcome = quiet();
        for (size_t i = COUNT_OF(causes); i > first; i--)
            if (!causes[i - 1].ends || causes[i - 1].rank == causes[first].rank)
                causes[i - 1].apply(&outcome);
        if (!causes[first].ends) /* the loop above may have changed how it ended */
            causes[first].apply(&outcome);
        assert_int_equal(exec_decide(&outcome).status, causes[first].status);
    }
}

/* ---- how the main process ended ---- */

static void every_exit_code_is_reported(void **state)
{
    (void)state;
    for (int code = 0; code < 256; code++) {
        struct exec_outcome outcome = quiet();
        outcome.wait_status = exited(code);
        expect("exit code", &outcome, code == 0 ? EXEC_ACCEPTED : EXEC_NONZERO_EXIT, code);
    }
}

static void every_signal_is_reported(void **state)
{
    (void)state;
    for (int number = 1; number <= SIGRTMAX; number++) {
        enum exec_status status = number == SIGSYS    ? EXEC_DANGEROUS_SYSCALL
                                  : number == SIGXFSZ ? EXEC_OUTPUT_LIMIT
                                                      : EXEC_SIGNALLED;
        struct exec_outcome outcome = quiet();
        outcome.wait_status = killed_by(number);
        expect(strsignal(number), &outcome, status, number);
        outcome.wait_status |= CORE_DUMPED;
        expect("with a core", &outcome, status, number);
    }
}

static void a_signal_of_its_own_is_no_limit_of_ours(void **state)
{
    (void)state;
    static const int numbers[] = {SIGKILL, SIGXCPU, SIGALRM, SIGTERM};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        struct exec_outcome outcome = quiet();
        outcome.wait_status = killed_by(numbers[i]);
        outcome.cpu_ns = outcome.cpu_limit_ns;
        outcome.wall_ns = outcome.wall_limit_ns;
        expect("at the limits", &outcome, EXEC_SIGNALLED, numbers[i]);
    }
}

/* ---- limits ---- */

static void time_equal_to_its_limit_is_not_over_it(void **state)
{
    (void)state;
    static const struct {
        int64_t cpu_ns, wall_ns;
        enum exec_status status;
    } cases[] = {
        {0, 0, EXEC_ACCEPTED},
        {999999999, 2999999999, EXEC_ACCEPTED},
        {1000000000, 3000000000, EXEC_ACCEPTED},
        {1000000001, 3000000000, EXEC_TIME_LIMIT},
        {1000000000, 3000000001, EXEC_TIME_LIMIT},
        {INT64_MAX, 0, EXEC_TIME_LIMIT},
        {0, INT64_MAX, EXEC_TIME_LIMIT},
        {-1, -1, EXEC_ACCEPTED},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct exec_outcome outcome = quiet();
        outcome.cpu_ns = cases[i].cpu_ns;
        outcome.wall_ns = cases[i].wall_ns;
        expect("time", &outcome, cases[i].status, 0);
    }
}

static void the_largest_time_limits_are_never_passed(void **state)
{
    (void)state;
    struct exec_outcome outcome = quiet();
    outcome.cpu_limit_ns = outcome.wall_limit_ns = INT64_MAX;
    outcome.cpu_ns = outcome.wall_ns = INT64_MAX;
    expect("all of time", &outcome, EXEC_ACCEPTED, 0);
}

static void exit_status_stays_beside_a_time_limit(void **state)
{
    (void)state;
    struct exec_outcome outcome = quiet();
    cpu_over(&outcome);
    expect("exit 0", &outcome, EXEC_TIME_LIMIT, 0);
    outcome.wait_status = exited(7);
    expect("exit 7", &outcome, EXEC_TIME_LIMIT, 7);
    outcome.wait_status = killed_by(SIGXCPU);
    expect("SIGXCPU", &outcome, EXEC_TIME_LIMIT, SIGXCPU);
    cpu_killed(&outcome);
    expect("our kill", &outcome, EXEC_TIME_LIMIT, SIGKILL);
}

static void a_kill_of_ours_is_a_time_limit_whatever_the_figures_say(void **state)
{
    (void)state;
    struct exec_outcome outcome = quiet();
    cpu_killed(&outcome);
    expect("CPU", &outcome, EXEC_TIME_LIMIT, SIGKILL);
    outcome = quiet();
    wall_killed(&outcome);
    expect("wall", &outcome, EXEC_TIME_LIMIT, SIGKILL);
}

static void a_cancelled_run_is_what_it_was_until_then(void **state)
{
    (void)state;
    struct exec_outcome outcome = quiet();
    outcome.killed = KILL_CANCEL;
    outcome.wait_status = killed_by(SIGKILL);
    expect("cancelled", &outcome, EXEC_SIGNALLED, SIGKILL);
    outcome.wait_status = exited(0);
    expect("ended before the kill came", &outcome, EXEC_ACCEPTED, 0);
    cpu_over(&outcome);
    expect("over its limit", &outcome, EXEC_TIME_LIMIT, 0);
}

/* ---- memory ---- */

static void only_a_kill_by_the_kernel_or_an_allocation_limit_is_a_memory_limit(void **state)
{
    (void)state;
    struct exec_outcome outcome = quiet();
    outcome.memory_bytes = outcome.memory_limit_bytes;
    expect("full of page cache", &outcome, EXEC_ACCEPTED, 0);
    outcome.memory_bytes = UINT64_MAX / 2;
    expect("peak above the limit", &outcome, EXEC_ACCEPTED, 0);
    outcome.wait_status = killed_by(SIGKILL);
    expect("killed by itself at the limit", &outcome, EXEC_SIGNALLED, SIGKILL);
    outcome = quiet();
    outcome.oom_kills = 1;
    expect("a child was killed, main exited 0", &outcome, EXEC_MEMORY_LIMIT, 0);
    outcome.oom_kills = UINT64_MAX;
    outcome.wait_status = killed_by(SIGKILL);
    expect("main was killed", &outcome, EXEC_MEMORY_LIMIT, SIGKILL);
}

static void an_allocation_limit_counts_near_the_peak_of_a_failed_program(void **state)
{
    (void)state;
    static const struct {
        uint64_t limit, margin;
    } cases[] = {
        {64 * MIB, 4 * MIB},          /* 1/16 */
        {16 * MIB, MIB},              /* 1/16 */
        {UINT64_C(1) << 33, 4 * MIB}, /* at most 4 MiB */
        {15, 0},                      /* too small for a margin */
        {16, 1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct exec_outcome outcome = quiet();
        outcome.memory_limit_bytes = cases[i].limit;
        outcome.allocation_limited = true;
        outcome.wait_status = exited(1);
        outcome.memory_bytes = cases[i].limit - cases[i].margin;
        expect("at the margin", &outcome, EXEC_MEMORY_LIMIT, 1);
        outcome.memory_bytes--;
        expect("below the margin", &outcome, EXEC_NONZERO_EXIT, 1);
        outcome.memory_bytes = cases[i].limit + 1;
        expect("above the limit", &outcome, EXEC_MEMORY_LIMIT, 1);
        outcome.wait_status = killed_by(SIGABRT);
        expect("aborted", &outcome, EXEC_MEMORY_LIMIT, SIGABRT);
        outcome.wait_status = exited(0);
        expect("coped with it", &outcome, EXEC_ACCEPTED, 0);
        outcome.allocation_limited = false;
        outcome.wait_status = exited(1);
        expect("no such limit", &outcome, EXEC_NONZERO_EXIT, 1);
    }
}

static void a_stack_that_took_all_memory_is_a_memory_limit(void **state)
{
    (void)state;
    struct exec_outcome outcome = quiet();
    outcome.memory_limit_bytes = 64 * MIB;
    outcome.memory_bytes = 63 * MIB;
    outcome.wait_status = killed_by(SIGSEGV);
    expect("a smaller stack", &outcome, EXEC_SIGNALLED, SIGSEGV);
    outcome.stack_limited = true;
    expect("all of it", &outcome, EXEC_MEMORY_LIMIT, SIGSEGV);
    outcome.memory_bytes--;
    expect("less", &outcome, EXEC_SIGNALLED, SIGSEGV);
    outcome.memory_limit_bytes = MIB;
    outcome.memory_bytes = 768 * 1024;
    expect("all of little", &outcome, EXEC_MEMORY_LIMIT, SIGSEGV);
    outcome.wait_status = killed_by(SIGABRT);
    expect("another end", &outcome, EXEC_SIGNALLED, SIGABRT);
    outcome.wait_status = exited(1);
    expect("its own end", &outcome, EXEC_NONZERO_EXIT, 1);
    outcome.wait_status = killed_by(SIGSEGV);
    outcome.killed = KILL_WALL;
    expect("our kill", &outcome, EXEC_TIME_LIMIT, SIGSEGV);
}

static void
a_time_limit_at_the_memory_limit_is_a_memory_limit_only_with_an_allocation_limit(void **state)
{
    (void)state;
    struct exec_outcome outcome = quiet();
    cpu_killed(&outcome);
    outcome.memory_bytes = outcome.memory_limit_bytes;
    expect("no allocation limit", &outcome, EXEC_TIME_LIMIT, SIGKILL);
}

/* A program that fills its memory and then runs out of time has not failed to allocate. */
static void our_own_kill_is_no_failed_allocation(void **state)
{
    (void)state;
    static void (*const kills[])(struct exec_outcome *) = {cpu_killed, wall_killed, output_killed,
                                                           cancelled};
    static const enum exec_status want[] = {EXEC_TIME_LIMIT, EXEC_TIME_LIMIT, EXEC_OUTPUT_LIMIT,
                                            EXEC_SIGNALLED};
    for (size_t i = 0; i < COUNT_OF(kills); i++) {
        struct exec_outcome outcome = quiet();
        kills[i](&outcome);
        outcome.allocation_limited = true;
        outcome.memory_bytes = outcome.memory_limit_bytes;
        expect("killed at the memory limit", &outcome, want[i], SIGKILL);
    }
}

/* It may end by itself between our decision and the kill. */
static void a_flood_is_an_output_limit_however_it_ended(void **state)
{
    (void)state;
    static const int endings[] = {0, 3 << 8, SIGKILL, SIGSYS, SIGSEGV};
    static const int codes[] = {0, 3, SIGKILL, SIGSYS, SIGSEGV};
    for (size_t i = 0; i < COUNT_OF(endings); i++) {
        struct exec_outcome outcome = quiet();
        output_killed(&outcome);
        outcome.wait_status = endings[i];
        expect("flood", &outcome, EXEC_OUTPUT_LIMIT, codes[i]);
    }
}

/* ---- figures ---- */

static void who_is_killed_for_memory_had_more_than_its_limit(void **state)
{
    (void)state;
    const uint64_t extra = 16 * 1024;
    struct exec_outcome outcome = quiet();
    const uint64_t limit = outcome.memory_limit_bytes = UINT64_C(64) << 20;
    outcome.memory_bytes = limit - 20 * 1024;
    assert_int_equal(exec_memory_figure(&outcome, extra), limit - 20 * 1024); /* it was not */
    outcome.oom_kills = 1;
    assert_int_equal(exec_memory_figure(&outcome, extra), limit + extra);
    assert_int_equal(exec_memory_figure(&outcome, 0), limit);
    outcome.memory_bytes = limit;
    assert_int_equal(exec_memory_figure(&outcome, extra), limit + extra);
    outcome.memory_bytes = limit + 4096; /* known exactly */
    assert_int_equal(exec_memory_figure(&outcome, extra), limit + 4096);
    outcome.memory_bytes = limit / 2; /* the machine had no more */
    assert_int_equal(exec_memory_figure(&outcome, extra), limit / 2);
    outcome.memory_bytes = limit - 1;
    outcome.oom_kills = 0;
    outcome.killed = KILL_MEMORY;
    assert_int_equal(exec_memory_figure(&outcome, extra), limit + extra);
}

/* ---- names ---- */

static void names_are_those_of_the_reference(void **state)
{
    (void)state;
    static const char *const names[] = {
        "Invalid",
        "Accepted",
        "Wrong Answer",
        "Partially Correct",
        "Memory Limit Exceeded",
        "Time Limit Exceeded",
        "Output Limit Exceeded",
        "File Error",
        "Nonzero Exit Status",
        "Signalled",
        "Dangerous Syscall",
        "Judgement Failed",
        "Invalid Interaction",
        "Internal Error",
    };
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_string_equal(exec_status_name((enum exec_status)i), names[i]);
    assert_string_equal(exec_status_name((enum exec_status)COUNT_OF(names)), "Invalid");
    assert_string_equal(exec_status_name((enum exec_status) - 1), "Invalid");
    static const char *const kinds[] = {
        "CopyInOpenFile",    "CopyInCreateFile",      "CopyInCopyContent",
        "CopyOutOpen",       "CopyOutNotRegularFile", "CopyOutSizeExceeded",
        "CopyOutCreateFile", "CopyOutCopyContent",    "CollectSizeExceeded",
        "Symlink",
    };
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        assert_string_equal(exec_file_error_name((enum exec_file_error_kind)i), kinds[i]);
    assert_string_equal(exec_file_error_name((enum exec_file_error_kind)COUNT_OF(kinds)), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_stronger_of_two_causes_decides),
        cmocka_unit_test(all_causes_at_once_give_the_strongest),
        cmocka_unit_test(every_exit_code_is_reported),
        cmocka_unit_test(every_signal_is_reported),
        cmocka_unit_test(a_signal_of_its_own_is_no_limit_of_ours),
        cmocka_unit_test(time_equal_to_its_limit_is_not_over_it),
        cmocka_unit_test(the_largest_time_limits_are_never_passed),
        cmocka_unit_test(exit_status_stays_beside_a_time_limit),
        cmocka_unit_test(a_kill_of_ours_is_a_time_limit_whatever_the_figures_say),
        cmocka_unit_test(a_cancelled_run_is_what_it_was_until_then),
        cmocka_unit_test(only_a_kill_by_the_kernel_or_an_allocation_limit_is_a_memory_limit),
        cmocka_unit_test(an_allocation_limit_counts_near_the_peak_of_a_failed_program),
        cmocka_unit_test(a_stack_that_took_all_memory_is_a_memory_limit),
        cmocka_unit_test(
            a_time_limit_at_the_memory_limit_is_a_memory_limit_only_with_an_allocation_limit),
        cmocka_unit_test(our_own_kill_is_no_failed_allocation),
        cmocka_unit_test(a_flood_is_an_output_limit_however_it_ended),
        cmocka_unit_test(who_is_killed_for_memory_had_more_than_its_limit),
        cmocka_unit_test(names_are_those_of_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sandbox/protection.h"

static const struct protection_ability everything = {
    .user_namespace = true,
    .namespaces = true,
    .cgroup_namespace = true,
    .mounts = true,
    .proc = true,
    .kernel_calls = true,
    .own_uid = true,
    .seccomp = true,
    .landlock = true,
    .cgroup_memory = true,
    .cgroup_pids = true,
    .cgroup_cpu = true,
    .memory_peak = true,
    .process_peak = true,
    .swap_limited = true,
    .kernel_memory = true,
};

static void names_and_parsing_are_one(void **state)
{
    (void)state;
    static const char *const expected[] = {"full", "no-cgroup", "no-userns", "none"};
    for (unsigned i = 0; i < PROTECTION_LEVELS; i++) {
        enum protection_level level = PROTECTION_LEVELS;
        struct cj_error err;
        assert_string_equal(protection_name((enum protection_level)i), expected[i]);
        assert_int_equal(protection_parse(expected[i], &level, &err), 0);
        assert_int_equal(level, i);
    }
    assert_string_equal(protection_name(PROTECTION_LEVELS), "unknown");
}

static void other_names_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "Full", "full ", "nocgroup", "0"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        enum protection_level level = PROTECTION_NONE;
        struct cj_error err;
        assert_int_equal(protection_parse(wrong[i], &level, &err), -1);
        assert_int_equal(err.domain, ERROR_CONFIG);
        assert_non_null(strstr(err.message, "full, no-cgroup, no-userns, none"));
        assert_int_equal(level, PROTECTION_NONE);
    }
}

static void better_levels_meet_lesser_demands(void **state)
{
    (void)state;
    for (unsigned have = 0; have < PROTECTION_LEVELS; have++)
        for (unsigned want = 0; want < PROTECTION_LEVELS; want++)
            assert_int_equal(
                protection_meets((enum protection_level)have, (enum protection_level)want),
                have <= want);
}

static void a_lesser_level_promises_no_more(void **state)
{
    (void)state;
    size_t count = 0;
    const struct protection_promise *promises = protection_promises(&count);
    assert_true(count > 10);
    for (size_t i = 0; i < count; i++) {
        assert_true(promises[i].kept[PROTECTION_FULL]);
        for (unsigned level = 1; level < PROTECTION_LEVELS; level++)
            assert_true(promises[i].kept[level - 1] || !promises[i].kept[level]);
    }
}

/* One case: what is taken away from everything, and what must follow. */
struct lacking {
    const char *name;
    size_t missing[8]; /* offsets into struct protection_ability, 0-terminated after the first */
    size_t missing_count;
    enum protection_level level;
    enum protection_lack reasons[8];
    size_t reason_count;
};

#define OFF(field) offsetof(struct protection_ability, field)

static const struct lacking cases[] = {
    {"nothing", {0}, 0, PROTECTION_FULL, {0}, 0},
    {"landlock is not used by containers", {OFF(landlock)}, 1, PROTECTION_FULL, {0}, 0},
    {"userns", {OFF(user_namespace)}, 1, PROTECTION_NO_USERNS, {LACK_USER_NAMESPACE}, 1},
    {"userns and what needs it are one lack",
     {OFF(user_namespace), OFF(namespaces), OFF(mounts)},
     3,
     PROTECTION_NO_USERNS,
     {LACK_USER_NAMESPACE},
     1},
    {"netns", {OFF(namespaces), OFF(mounts)}, 2, PROTECTION_NO_USERNS, {LACK_NAMESPACES}, 1},
    {"mounts", {OFF(mounts), OFF(proc)}, 2, PROTECTION_NO_USERNS, {LACK_MOUNTS}, 1},
    {"proc", {OFF(proc)}, 1, PROTECTION_NO_USERNS, {LACK_PROC}, 1},
    {"old kernel",
     {OFF(kernel_calls), OFF(landlock), OFF(memory_peak)},
     3,
     PROTECTION_NONE,
     {LACK_KERNEL_CALLS, LACK_LANDLOCK},
     2},
    {"mounts and landlock",
     {OFF(mounts), OFF(landlock)},
     2,
     PROTECTION_NONE,
     {LACK_MOUNTS, LACK_LANDLOCK},
     2},
    {"seccomp", {OFF(seccomp)}, 1, PROTECTION_NONE, {LACK_SECCOMP}, 1},
    {"memory controller; its peak is then no lack of its own",
     {OFF(cgroup_memory), OFF(memory_peak), OFF(swap_limited)},
     3,
     PROTECTION_NO_CGROUP,
     {LACK_CGROUP_MEMORY},
     1},
    {"pids controller", {OFF(cgroup_pids)}, 1, PROTECTION_NO_CGROUP, {LACK_CGROUP_PIDS}, 1},
    {"cpu time", {OFF(cgroup_cpu)}, 1, PROTECTION_NO_CGROUP, {LACK_CGROUP_CPU}, 1},
    {"no group at all, own uid",
     {OFF(cgroup_memory), OFF(cgroup_pids), OFF(cgroup_cpu), OFF(own_uid)},
     4,
     PROTECTION_NO_CGROUP,
     {LACK_CGROUP_MEMORY, LACK_CGROUP_PIDS, LACK_CGROUP_CPU, LACK_OWN_UID},
     4},
    {"small things leave the level",
     {OFF(own_uid), OFF(cgroup_namespace), OFF(swap_limited), OFF(kernel_memory), OFF(memory_peak),
      OFF(process_peak)},
     6,
     PROTECTION_FULL,
     {LACK_OWN_UID, LACK_CGROUP_NAMESPACE, LACK_SWAP_LIMIT, LACK_KERNEL_MEMORY, LACK_MEMORY_PEAK,
      LACK_PROCESS_PEAK},
     6},
};

static void each_lack_has_its_level_and_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct lacking *c = &cases[i];
        struct protection_ability ability = everything;
        for (size_t k = 0; k < c->missing_count; k++)
            *(bool *)((char *)&ability + c->missing[k]) = false;
        struct protection_decision decision;
        protection_decide(&ability, &decision);
        print_message("  lacking: %s\n", c->name);
        assert_int_equal(decision.level, c->level);
        assert_int_equal(decision.reason_count, c->reason_count);
        for (size_t k = 0; k < c->reason_count; k++)
            assert_int_equal(decision.reasons[k]->lack, c->reasons[k]);
    }
}

/* Over all hosts there can be: the level equals the worst that its reasons allow, apart from
 * Landlock, which counts only together with another lack. */
static void level_follows_from_reasons_everywhere(void **state)
{
    (void)state;
    enum { FLAGS = sizeof(struct protection_ability) / sizeof(bool) };
    for (unsigned bits = 0; bits < 1u << FLAGS; bits++) {
        struct protection_ability ability;
        bool *flag = (bool *)&ability;
        for (unsigned k = 0; k < FLAGS; k++)
            flag[k] = (bits >> k & 1) != 0;
        struct protection_decision decision;
        protection_decide(&ability, &decision);
        enum protection_level worst = PROTECTION_FULL;
        for (size_t k = 0; k < decision.reason_count; k++) {
            if (!protection_meets(decision.reasons[k]->best, worst))
                worst = decision.reasons[k]->best;
            if (k > 0)
                assert_true(decision.reasons[k - 1]->lack < decision.reasons[k]->lack);
        }
        assert_int_equal(decision.level, worst);
        assert_int_equal(decision.wall.accuracy, FIGURE_EXACT);
        assert_int_equal(decision.cpu.accuracy == FIGURE_EXACT, decision.level == PROTECTION_FULL);
        assert_int_equal(decision.memory_peak.accuracy == FIGURE_EXACT,
                         decision.level == PROTECTION_FULL && ability.memory_peak);
        assert_int_equal(decision.process_peak.accuracy == FIGURE_EXACT,
                         decision.level == PROTECTION_FULL && ability.process_peak);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_parsing_are_one),
        cmocka_unit_test(other_names_are_refused),
        cmocka_unit_test(better_levels_meet_lesser_demands),
        cmocka_unit_test(a_lesser_level_promises_no_more),
        cmocka_unit_test(each_lack_has_its_level_and_reason),
        cmocka_unit_test(level_follows_from_reasons_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

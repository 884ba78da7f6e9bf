/* Rules in order -> classic BPF, as seccomp(2) runs it.
 *
 *     if (arch != native) return foreign;
 *     binary search over ranges of numbers, each with one outcome:
 *         a constant action, or
 *         the rules of that number, one after the other, each testing its arguments
 *
 * Neighbours with the same constant action are one range, so the search is six or seven comparisons
 * deep. The kernel (5.11+) runs the program once for each number when it is installed, and where
 * the answer depends on nothing but the number and is "allow" it never runs it again: such calls
 * cost the same whatever the length. Jumps go forward only, and all of them are relative, so a
 * finished half of the tree may be moved. */
#include "sandbox/seccomp_filter.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "seccomp_rule.h"

enum {
    X32_BIT = 0x40000000, /* __X32_SYSCALL_BIT */
    JUMP_MAX = 255,       /* a conditional jump's offset has eight bits */
};

/* The numbers from first up to the next range's first. */
struct range {
    uint32_t first;
    uint32_t action;                   /* when rules is NULL */
    const struct seccomp_rule **rules; /* in order; the last may be unconditional */
    size_t rule_count;
};

struct program {
    struct sock_filter code[BPF_MAXINSNS];
    size_t count; /* may pass BPF_MAXINSNS: then nothing more is written and compiling fails */
    uint32_t default_action;
};

/* Where a condition's test goes on. Offsets are not known yet, so a jump carries its aim. */
enum aim { AIM_NEXT = 0, AIM_PASS = 253, AIM_FAIL = 254 };

static void emit(struct program *program, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
    if (program->count < BPF_MAXINSNS)
        program->code[program->count] = (struct sock_filter){code, jt, jf, k};
    program->count++;
}

static void emit_return(struct program *program, uint32_t action)
{
    emit(program, BPF_RET | BPF_K, action, 0, 0);
}

/* BPF reads 32 bits at a time; where a register's halves lie depends on the byte order. */
static void emit_load_half(struct program *program, unsigned argument, bool high)
{
    bool second = high == (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
    uint32_t offset = (uint32_t)offsetof(struct seccomp_data, args) + 8 * argument;
    emit(program, BPF_LD | BPF_W | BPF_ABS, offset + (second ? 4 : 0), 0, 0);
}

static void emit_test(struct program *program, uint16_t test, uint32_t k, enum aim yes, enum aim no)
{
    emit(program, BPF_JMP | BPF_K | test, k, (uint8_t)yes, (uint8_t)no);
}

/* One half of (argument & mask) == value. */
static void emit_masked_half(struct program *program, const struct seccomp_condition *condition,
                             bool high)
{
    uint32_t mask = (uint32_t)(high ? condition->mask >> 32 : condition->mask);
    uint32_t value = (uint32_t)(high ? condition->value >> 32 : condition->value);
    if (mask == 0 && value == 0)
        return;
    emit_load_half(program, condition->argument, high);
    if (mask != UINT32_MAX)
        emit(program, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
    emit_test(program, BPF_JEQ, value, AIM_NEXT, AIM_FAIL);
}

/* Ordering: the high halves decide unless they are equal. */
static void emit_ordered(struct program *program, const struct seccomp_condition *condition,
                         uint16_t low_test, enum aim when_greater)
{
    enum aim when_less = when_greater == AIM_PASS ? AIM_FAIL : AIM_PASS;
    uint32_t high = (uint32_t)(condition->value >> 32);
    emit_load_half(program, condition->argument, true);
    emit_test(program, BPF_JGT, high, when_greater, AIM_NEXT);
    emit_test(program, BPF_JEQ, high, AIM_NEXT, when_less);
    emit_load_half(program, condition->argument, false);
    emit_test(program, low_test, (uint32_t)condition->value, when_greater, when_less);
}

/* Either half may decide with decision; only the second says the opposite. */
static void emit_halves(struct program *program, const struct seccomp_condition *condition,
                        uint16_t test, enum aim first_yes, enum aim first_no, enum aim last_yes)
{
    emit_load_half(program, condition->argument, true);
    emit_test(program, test, (uint32_t)(condition->value >> 32), first_yes, first_no);
    emit_load_half(program, condition->argument, false);
    emit_test(program, test, (uint32_t)condition->value, last_yes,
              last_yes == AIM_PASS ? AIM_FAIL : AIM_PASS);
}

static void emit_condition(struct program *program, const struct seccomp_condition *condition)
{
    switch ((enum seccomp_operation)condition->operation) {
    case SECCOMP_EQUAL:
        emit_halves(program, condition, BPF_JEQ, AIM_NEXT, AIM_FAIL, AIM_PASS);
        break;
    case SECCOMP_NOT_EQUAL:
        emit_halves(program, condition, BPF_JEQ, AIM_NEXT, AIM_PASS, AIM_FAIL);
        break;
    case SECCOMP_BITS_SET:
        emit_halves(program, condition, BPF_JSET, AIM_PASS, AIM_NEXT, AIM_PASS);
        break;
    case SECCOMP_BITS_NOT_SET:
        emit_halves(program, condition, BPF_JSET, AIM_FAIL, AIM_NEXT, AIM_FAIL);
        break;
    case SECCOMP_GREATER:
        emit_ordered(program, condition, BPF_JGT, AIM_PASS);
        break;
    case SECCOMP_GREATER_OR_EQUAL:
        emit_ordered(program, condition, BPF_JGE, AIM_PASS);
        break;
    case SECCOMP_LESS:
        emit_ordered(program, condition, BPF_JGE, AIM_FAIL);
        break;
    case SECCOMP_LESS_OR_EQUAL:
        emit_ordered(program, condition, BPF_JGT, AIM_FAIL);
        break;
    case SECCOMP_MASKED_EQUAL:
        emit_masked_half(program, condition, true);
        emit_masked_half(program, condition, false);
        break;
    }
}

/* Replaces aims by offsets in code[from..to): passing goes on at pass, failing at fail. */
static void resolve_aims(struct program *program, size_t from, size_t to, enum aim aim,
                         size_t target)
{
    for (size_t i = from; i < to && i < BPF_MAXINSNS; i++) {
        struct sock_filter *instruction = &program->code[i];
        if (BPF_CLASS(instruction->code) != BPF_JMP)
            continue;
        uint8_t offset = (uint8_t)(target - i - 1);
        if (instruction->jt == aim)
            instruction->jt = offset;
        if (instruction->jf == aim)
            instruction->jf = offset;
    }
}

/* A condition is at most six instructions. */
_Static_assert(SECCOMP_CONDITIONS_MAX * 6 + 1 < AIM_PASS,
               "offsets within a rule never look like aims");

static void emit_rule(struct program *program, const struct seccomp_rule *rule)
{
    size_t start = program->count;
    for (size_t i = 0; i < rule->condition_count; i++) {
        size_t from = program->count;
        emit_condition(program, &rule->conditions[i]);
        resolve_aims(program, from, program->count, AIM_PASS, program->count);
    }
    emit_return(program, rule->action);
    resolve_aims(program, start, program->count, AIM_FAIL, program->count);
}

static void emit_outcome(struct program *program, const struct range *range)
{
    if (range->rules == NULL) {
        emit_return(program, range->action);
        return;
    }
    for (size_t i = 0; i < range->rule_count; i++)
        emit_rule(program, range->rules[i]);
    if (range->rules[range->rule_count - 1]->condition_count > 0)
        emit_return(program, program->default_action);
}

/* The search over ranges[0..count), the number being in the accumulator. */
static void emit_search(struct program *program, const struct range *ranges, size_t count)
{
    if (count == 1) {
        emit_outcome(program, ranges);
        return;
    }
    size_t middle = count / 2;
    size_t branch = program->count;
    emit(program, BPF_JMP | BPF_JGE | BPF_K, ranges[middle].first, 0, 0);
    emit_search(program, ranges, middle);
    size_t length = program->count - branch - 1;
    if (program->count < BPF_MAXINSNS) {
        if (length <= JUMP_MAX) {
            program->code[branch].jt = (uint8_t)length;
        } else { /* too far: jump over an unconditional jump, which has 32 bits */
            memmove(&program->code[branch + 2], &program->code[branch + 1],
                    length * sizeof(program->code[0]));
            program->code[branch].jf = 1;
            program->code[branch + 1] =
                (struct sock_filter){BPF_JMP | BPF_JA, 0, 0, (uint32_t)length};
            program->count++;
        }
    }
    emit_search(program, ranges + middle, count - middle);
}

static int compare_rules(const void *left, const void *right)
{
    const struct seccomp_rule *a = *(const struct seccomp_rule *const *)left;
    const struct seccomp_rule *b = *(const struct seccomp_rule *const *)right;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return a < b ? -1 : a > b; /* one array: by address is by order */
}

/* Appends unless the range before does the same. */
static size_t add_constant(struct range *ranges, size_t count, uint32_t first, uint32_t action)
{
    if (count > 0 && ranges[count - 1].rules == NULL && ranges[count - 1].action == action)
        return count;
    ranges[count] = (struct range){.first = first, .action = action};
    return count + 1;
}

/* Cuts all numbers into ranges. sorted: by number, then in order. Returns how many. */
static size_t plan_ranges(const struct seccomp_policy *policy, const struct seccomp_rule **sorted,
                          struct range *ranges)
{
    size_t count = add_constant(ranges, 0, 0, policy->default_action);
    for (size_t i = 0, end; i < policy->rule_count; i = end) {
        uint32_t number = sorted[i]->number;
        for (end = i; end < policy->rule_count && sorted[end]->number == number;)
            end++;
        if (ranges[count - 1].first == number)
            count--; /* the gap before this number is empty */
        if (sorted[i]->condition_count == 0) {
            count = add_constant(ranges, count, number, sorted[i]->action);
        } else {
            size_t reached = i; /* what follows an unconditional rule is never reached */
            while (reached < end && sorted[reached]->condition_count > 0)
                reached++;
            ranges[count++] = (struct range){
                .first = number,
                .rules = &sorted[i],
                .rule_count = (reached < end ? reached + 1 : end) - i,
            };
        }
        count = add_constant(ranges, count, number + 1, policy->default_action);
    }
    if (policy->arch == AUDIT_ARCH_X86_64)
        count = add_constant(ranges, count, X32_BIT, policy->x32_action);
    return count;
}

/* sorted and ranges are as large as the rules can need, program is empty. */
static void compile(const struct seccomp_policy *policy, const struct seccomp_rule **sorted,
                    struct range *ranges, struct program *program)
{
    for (size_t i = 0; i < policy->rule_count; i++)
        sorted[i] = &policy->rules[i];
    qsort(sorted, policy->rule_count, sizeof(*sorted), compare_rules);
    size_t range_count = plan_ranges(policy, sorted, ranges);

    program->default_action = policy->default_action;
    emit(program, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), 0, 0);
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, policy->arch, 1, 0);
    emit_return(program, policy->foreign_action);
    emit(program, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
    emit_search(program, ranges, range_count);
}

int seccomp_filter_compile(const struct seccomp_policy *policy, struct seccomp_filter *out,
                           struct cj_error *err)
{
    /* one more than needed, as calloc may answer NULL for none */
    auto_free const struct seccomp_rule **sorted = calloc(policy->rule_count + 1, sizeof(*sorted));
    auto_free struct range *ranges = calloc(2 * policy->rule_count + 2, sizeof(*ranges));
    auto_free struct program *program = calloc(1, sizeof(*program));
    if (sorted == NULL || ranges == NULL || program == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM,
                         "compile the system-call filter: out of memory");
    compile(policy, sorted, ranges, program);
    if (program->count > BPF_MAXINSNS)
        return error_set(
            err, ERROR_CONFIG, E2BIG,
            "the system-call filter needs %zu instructions or more, the kernel takes %d",
            program->count, BPF_MAXINSNS);
    struct sock_filter *code = malloc(program->count * sizeof(*code));
    if (code == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM,
                         "compile the system-call filter: out of memory");
    memcpy(code, program->code, program->count * sizeof(*code));
    *out = (struct seccomp_filter){.code = code, .count = program->count};
    return 0;
}

void seccomp_filter_free(struct seccomp_filter *filter)
{
    free(filter->code);
    *filter = (struct seccomp_filter){0};
}

/* What a filter is made from: rules in order, the first that matches decides.
 *
 *     rules in order ──── seccomp_filter_compile() ───> struct seccomp_filter (BPF)
 *       ^          ^
 *       |          └── seccomp_config.c: seccomp.yaml
 *       └── seccomp_default.c: the built-in table
 *
 * libseccomp gives the numbers of the names on every CPU. The BPF is made here and not by
 * libseccomp, because its rules have no order, cannot compare one argument twice, and a rule
 * without arguments swallows those with arguments: neither "socket: these families, otherwise
 * EAFNOSUPPORT" nor the groups "evaluated in order" of seccomp.yaml can be said with it. The tests
 * hold the two against each other where both can speak. */
#ifndef CJ_SANDBOX_SECCOMP_RULE_H
#define CJ_SANDBOX_SECCOMP_RULE_H

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "sandbox/seccomp_filter.h"

/* Comparisons are unsigned and over all 64 bits of the register, except where a mask is given. */
enum seccomp_operation {
    SECCOMP_EQUAL,
    SECCOMP_NOT_EQUAL,
    SECCOMP_GREATER,
    SECCOMP_LESS,
    SECCOMP_GREATER_OR_EQUAL,
    SECCOMP_LESS_OR_EQUAL,
    SECCOMP_BITS_SET,     /* at least one bit of value is set in the argument */
    SECCOMP_BITS_NOT_SET, /* no bit of value is set in the argument */
    SECCOMP_MASKED_EQUAL, /* (argument & mask) == value */
};

struct seccomp_condition {
    uint8_t argument;  /* 0-5 */
    uint8_t operation; /* enum seccomp_operation */
    uint64_t value;
    uint64_t mask; /* of SECCOMP_MASKED_EQUAL */
};

enum { SECCOMP_CONDITIONS_MAX = 12 };

struct seccomp_rule {
    uint32_t number;
    uint32_t action;        /* SECCOMP_RET_*, with its data */
    size_t condition_count; /* all must hold; 0: the rule always matches */
    struct seccomp_condition conditions[SECCOMP_CONDITIONS_MAX];
};

struct seccomp_policy {
    uint32_t arch;           /* AUDIT_ARCH_* whose numbers the rules use */
    uint32_t default_action; /* no rule matched */
    uint32_t foreign_action; /* a call through another architecture's entry (int 0x80) */
    uint32_t x32_action;     /* x86_64 only: numbers with bit 30, the x32 ABI */
    const struct seccomp_rule *rules;
    size_t rule_count;
};

/* Compiles policy; out->inherited stays false. Fails (ERROR_CONFIG) when the program would be
 * longer than the kernel takes. */
WARN_UNUSED int seccomp_filter_compile(const struct seccomp_policy *policy,
                                       struct seccomp_filter *out, struct cj_error *err);

/* The default filter with the numbers of arch, which need not be this machine's. */
WARN_UNUSED int seccomp_default_compile(uint32_t arch, uint64_t clone3_args_address,
                                        struct seccomp_filter *out, struct cj_error *err);

/* The filter that the text of a seccomp.yaml describes; name is for messages. */
WARN_UNUSED int seccomp_config_parse(const char *name, const char *text, size_t size,
                                     struct seccomp_filter *out, struct cj_error *err);

enum {
    SYSCALL_UNKNOWN = -1, /* nobody knows this name */
    SYSCALL_ABSENT = -2,  /* a system call, but not on this architecture */
};

/* The number of a system call on arch, or one of the two above. */
int seccomp_syscall_number(uint32_t arch, const char *name);

#endif

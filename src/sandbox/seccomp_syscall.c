/* Names of system calls and their numbers. */
#include <seccomp.h>
#include <string.h>

#include "seccomp_rule.h"

/* Younger than libseccomp 2.5.4. Since Linux 5.0 a new call has the same number on every
 * architecture that we build for (the kernel's scripts/syscall.tbl), so one table serves all. */
static const struct {
    const char *name;
    int number;
} young_syscalls[] = {
    {"set_mempolicy_home_node", 450},
    {"cachestat", 451},
    {"fchmodat2", 452},
    {"map_shadow_stack", 453},
    {"futex_wake", 454},
    {"futex_wait", 455},
    {"futex_requeue", 456},
    {"statmount", 457},
    {"listmount", 458},
    {"lsm_get_self_attr", 459},
    {"lsm_set_self_attr", 460},
    {"lsm_list_modules", 461},
    {"mseal", 462},
    {"setxattrat", 463},
    {"getxattrat", 464},
    {"listxattrat", 465},
    {"removexattrat", 466},
    {"open_tree_attr", 467},
    {"file_getattr", 468},
    {"file_setattr", 469},
    {"listns", 470},
};

int seccomp_syscall_number(uint32_t arch, const char *name)
{
    for (size_t i = 0; i < COUNT_OF(young_syscalls); i++)
        if (strcmp(young_syscalls[i].name, name) == 0)
            return young_syscalls[i].number;
    int number = seccomp_syscall_resolve_name_arch(arch, name);
    if (number >= 0)
        return number;
    /* libseccomp gives calls of other architectures negative numbers of its own */
    return number == __NR_SCMP_ERROR ? SYSCALL_UNKNOWN : SYSCALL_ABSENT;
}

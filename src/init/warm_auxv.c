/* What the kernel has told an interpreter of its identity at its start, getauxval(3): an interpreter that is kept warm has
 * another one until a run begins, and the run's processes read the same memory. /proc/PID/auxv is the kernel's own copy. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "init.h"
#include "warm.h"

enum { STACK_FIELD = 28, WORDS_MAX = 16384 };

/* Where its arguments begin; 0: that cannot be read. proc_pid_stat(5) */
static uint64_t start_of_stack(pid_t pid)
{
    char text[2048];
    if (!warm_read_proc(pid, "stat", text, sizeof(text)))
        return 0;
    const char *at = strrchr(text, ')'); /* the second field */
    for (int field = 2; at != NULL && field < STACK_FIELD; field++)
        at = strchr(at + 1, ' ');
    return at != NULL ? strtoull(at + 1, NULL, 10) : 0;
}

static bool read_word(pid_t pid, uint64_t address, uint64_t *word)
{
    uint64_t seen;
    struct iovec here = {&seen, sizeof(seen)}, there = {(void *)(uintptr_t)address, sizeof(seen)};
    if (process_vm_readv(pid, &here, 1, &there, 1, 0) != (ssize_t)sizeof(seen))
        return false;
    *word = seen;
    return true;
}

static void write_word(pid_t pid, uint64_t address, uint64_t word)
{
    struct iovec here = {&word, sizeof(word)}, there = {(void *)(uintptr_t)address, sizeof(word)};
    (void)!process_vm_writev(pid, &here, 1, &there, 1, 0);
}

/* Their number, the arguments, NULL, the environment, NULL, pairs until AT_NULL: elf(5), and the psABI. */
void warm_tell_ids(pid_t pid, uint32_t uid, uint32_t gid)
{
    uint64_t at = start_of_stack(pid), word;
    unsigned lists = 0;
    if (at == 0)
        return;
    for (unsigned i = 0; i < WORDS_MAX && lists < 2; i++)
        if (!read_word(pid, at += sizeof(word), &word))
            return;
        else if (word == 0)
            lists++;
    for (unsigned i = 0; i < WORDS_MAX && lists == 2; i += 2) {
        at += sizeof(word);
        if (!read_word(pid, at, &word) || word == AT_NULL)
            return;
        at += sizeof(word);
        if (word == AT_UID || word == AT_EUID)
            write_word(pid, at, uid);
        else if (word == AT_GID || word == AT_EGID)
            write_word(pid, at, gid);
    }
}

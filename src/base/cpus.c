/* Lists of CPUs, and which of them somebody may use. */
#include "base/cpus.h"

#include <errno.h>
#include <stdlib.h>

/* A CPU number at *text, which moves behind it; -1: there is none, or one beyond what a set holds. */
static long take_number(const char **text)
{
    if (**text < '0' || **text > '9')
        return -1;
    char *end;
    errno = 0;
    long number = strtol(*text, &end, 10);
    *text = end;
    return errno == 0 && number < CPU_SETSIZE ? number : -1;
}

int cpus_parse(const char *list, cpu_set_t *out, struct cj_error *err)
{
    const char *rest = list;
    CPU_ZERO(out);
    for (;;) {
        long first = take_number(&rest), last = first;
        if (first >= 0 && *rest == '-') {
            rest++;
            last = take_number(&rest);
        }
        if (first < 0 || last < first)
            break;
        for (long cpu = first; cpu <= last; cpu++)
            CPU_SET((size_t)cpu, out);
        if (*rest == '\0')
            return 0;
        if (*rest++ != ',')
            break;
    }
    return error_set(err, ERROR_CONFIG, EINVAL,
                     "'%.64s' is not a list of CPUs: write numbers below %d and ranges, \"0-3,6\"",
                     list, CPU_SETSIZE);
}

int cpus_deal(const cpu_set_t *set, unsigned index)
{
    unsigned count = (unsigned)CPU_COUNT(set);
    if (count == 0)
        return -1;
    unsigned left = index % count;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, set) && left-- == 0)
            return (int)cpu;
    return -1;
}

int cpus_allowed(cpu_set_t *out, struct cj_error *err)
{
    if (sched_getaffinity(0, sizeof(*out), out) < 0)
        return error_errno(err, "ask which CPUs may be used");
    return 0;
}

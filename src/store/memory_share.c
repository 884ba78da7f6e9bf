/* How much memory a store may use when nobody says.
 *
 * The group's limit is read where a container shows its own group (the root of the mount), and where a host
 * shows that of a service (the path in /proc/self/cgroup, v2). */
#include "memory_share.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/io.h"

/* "max", or more than any machine has (v1's word for none), is no limit. */
static uint64_t limit_in(const char *path)
{
    char text[64];
    if (read_file_at(AT_FDCWD, path, text, sizeof(text)) <= 0)
        return UINT64_MAX;
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' ? value : UINT64_MAX;
}

/* v2: "0::/system.slice/cjudge.service". */
static uint64_t limit_of_own_group(void)
{
    char groups[4096];
    if (read_file_at(AT_FDCWD, "/proc/self/cgroup", groups, sizeof(groups)) <= 0)
        return UINT64_MAX;
    char *path = strncmp(groups, "0::", 3) == 0 ? groups : strstr(groups, "\n0::");
    if (path == NULL)
        return UINT64_MAX;
    path = strchr(path, '/');
    if (path == NULL)
        return UINT64_MAX;
    path[strcspn(path, "\n")] = '\0';
    char file[4200];
    snprintf(file, sizeof(file), "/sys/fs/cgroup%s/memory.max", path);
    return limit_in(file);
}

uint64_t memory_share(void)
{
    uint64_t least = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    const uint64_t limits[] = {
        limit_in("/sys/fs/cgroup/memory.max"),
        limit_in("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        limit_of_own_group(),
    };
    for (size_t i = 0; i < COUNT_OF(limits); i++)
        if (limits[i] < least)
            least = limits[i];
    return least / 4;
}

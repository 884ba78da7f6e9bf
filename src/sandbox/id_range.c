/* Host uids for containers. */
#include "id_range.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

enum { ID_COUNT = 65536 };

/* Whether this user namespace maps [first, first + count). If not, *last_end is the end (exclusive) of
 * the last extent it maps: /proc/self/uid_map, "inside outside count" lines. */
static bool maps_ids(uint64_t first, uint64_t count, uint64_t *last_end, uint64_t *last_count)
{
    FILE *map = fopen("/proc/self/uid_map", "re");
    unsigned long long inside, outside, length;
    bool found = false;
    *last_end = 0;
    *last_count = 0;
    while (map != NULL && fscanf(map, "%llu %llu %llu", &inside, &outside, &length) == 3) {
        if (first >= inside && first + count <= inside + length)
            found = true;
        if (inside + length > *last_end) {
            *last_end = inside + length;
            *last_count = length;
        }
    }
    if (map != NULL)
        fclose(map);
    return found;
}

static int open_lock_file(void)
{
    if (mkdir("/run/cjudge", 0700) < 0 && errno != EEXIST)
        return -1;
    return open("/run/cjudge/ids", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

int id_range_open(uint32_t wanted_base, struct id_range *out, struct cj_error *err)
{
    uint64_t end, length;
    uint32_t base = wanted_base != 0 ? wanted_base : ID_BASE_DEFAULT;
    uint32_t count = ID_COUNT;
    if (!maps_ids(base, count, &end, &length)) {
        if (wanted_base != 0)
            return error_set(
                err, ERROR_CONFIG, 0,
                "container-cred-start %u: this user namespace does not map the ids %u to "
                "%u (see /proc/self/uid_map)",
                wanted_base, base, base + count - 1);
        count = 1024;
        if (length < count + 1000)
            return error_set(
                err, ERROR_UNSUPPORTED, 0,
                "this user namespace maps only %llu ids; containers need 1024 of their "
                "own: map more (subuid(5)) or run as an ordinary user",
                (unsigned long long)length);
        base = (uint32_t)(end - count);
    }
    *out = (struct id_range){.base = base, .count = count, .lock_fd = open_lock_file()};
    return 0;
}

void id_range_close(struct id_range *range)
{
    fd_close(&range->lock_fd);
}

static int lock_byte(const struct id_range *range, uint32_t id, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = id, .l_len = 1};
    return fcntl(range->lock_fd, F_OFD_SETLK, &lock);
}

int id_range_take(struct id_range *range, uint32_t hint, uint32_t *id, struct cj_error *err)
{
    if (range->lock_fd < 0) {
        *id = range->base + 1 + hint % (range->count - 1);
        return 0;
    }
    /* A description's own locks never conflict with themselves: F_OFD_SETLK on an id that this process
     * holds would succeed again. Hints are distinct within a process and 1024 apart between searches
     * of other processes, so start at ours and go on in whole rounds. */
    for (uint32_t i = 0; i < range->count - 1; i++) {
        uint32_t candidate = range->base + 1 + (hint + i * 1024) % (range->count - 1);
        if (lock_byte(range, candidate, F_WRLCK) == 0) {
            *id = candidate;
            return 0;
        }
        if (errno != EAGAIN && errno != EACCES)
            return error_errno(err, "lock id %u in /run/cjudge/ids", candidate);
    }
    return error_set(err, ERROR_SYSTEM, EAGAIN, "all %u ids of the range are in use",
                     range->count - 1);
}

void id_range_give_back(struct id_range *range, uint32_t id)
{
    if (range->lock_fd >= 0)
        (void)lock_byte(range, id, F_UNLCK);
}

/* Host uids for containers. */
#include "id_range.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/fd.h"
#include "base/log.h"

enum { ID_COUNT = 65536, ID_BASE_LEAST = 1000 };

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

/* In a folder that is ours alone: whoever else could make one there might lock all ids. */
static int open_lock_file_in(const char *folder)
{
    struct stat info;
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return -1;
    auto_fd int dir = open(folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0 || fstat(dir, &info) < 0 || info.st_uid != geteuid() || (info.st_mode & 0077) != 0)
        return -1;
    return openat(dir, "ids", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* The first place that can be written: in containers /run is sometimes read-only. */
static int open_lock_file(void)
{
    static const char *const folders[] = {"/run/cjudge", "/dev/shm/cjudge", "/tmp/cjudge"};
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        int fd = open_lock_file_in(folders[i]);
        if (fd >= 0)
            return fd;
    }
    log_warn("host ids are not locked",
             log_text("folders", "/run/cjudge, /dev/shm/cjudge, /tmp/cjudge"),
             log_text("cost", "another cjudge on this host may give its containers the same ids"));
    return -1;
}

int id_range_open(uint32_t wanted_base, struct id_range *out, struct cj_error *err)
{
    uint64_t end, length;
    uint32_t base = wanted_base != 0 ? wanted_base : ID_BASE_DEFAULT;
    uint32_t count = ID_COUNT;
    if (wanted_base != 0 && wanted_base < ID_BASE_LEAST)
        return error_set(err, ERROR_CONFIG, 0,
                         "container-cred-start %u: ids below %d belong to the system", wanted_base,
                         (int)ID_BASE_LEAST);
    if (!maps_ids(base, count, &end, &length)) {
        if (wanted_base != 0)
            return error_set(
                err, ERROR_CONFIG, 0,
                "container-cred-start %u: this user namespace does not map the ids %u to "
                "%llu (see /proc/self/uid_map)",
                wanted_base, base, (unsigned long long)base + count - 1);
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
            return error_errno(err, "lock host id %u", candidate);
    }
    return error_set(err, ERROR_SYSTEM, EAGAIN, "all %u ids of the range are in use",
                     range->count - 1);
}

void id_range_give_back(struct id_range *range, uint32_t id)
{
    if (range->lock_fd >= 0)
        (void)lock_byte(range, id, F_UNLCK);
}

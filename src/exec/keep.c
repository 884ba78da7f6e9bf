/* Output on its way into a result, or into the store. */
#include "keep.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "errno_text.h"
#include "store/store.h"

enum { MAP_FIRST = 4 * 1024 * 1024 };

/* ---- memory ---- */

static size_t used(const struct keep *keep)
{
    return keep->map != NULL ? keep->map_used : keep->small.size;
}

static size_t whole_pages(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (size + page - 1) / page * page;
}

static int no_room(struct keep *keep, int error)
{
    keep->failure = error;
    return -1;
}

/* What was on the heap moves into a mapping. */
static int make_map(struct keep *keep, size_t size)
{
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return no_room(keep, errno);
    /* Page by page, to fill it takes 2 to 6 times as long. */
    (void)madvise(map, size, MADV_HUGEPAGE);
    keep->map = map;
    keep->map_size = size;
    keep->map_used = keep->small.size;
    if (keep->small.size > 0)
        memcpy(keep->map, keep->small.data, keep->small.size);
    buf_free(&keep->small);
    return 0;
}

static int resize_map(struct keep *keep, size_t size)
{
    void *map = mremap(keep->map, keep->map_size, size, MREMAP_MAYMOVE);
    if (map == MAP_FAILED)
        return no_room(keep, errno);
    keep->map = map;
    keep->map_size = size;
    return 0;
}

/* Room for size more bytes, which read as 0, counted as used; NULL when there is none. */
static char *extend(struct keep *keep, size_t size)
{
    size_t before = used(keep);
    if (size > PTRDIFF_MAX / 2 - before) {
        keep->failure = ENOMEM;
        return NULL;
    }
    if (keep->map == NULL && before + size <= KEEP_SMALL) {
        char *room = buf_extend(&keep->small, size);
        if (room == NULL)
            keep->failure = keep->small.failure;
        return room;
    }
    size_t wanted = before + size;
    size_t larger = keep->map == NULL ? MAP_FIRST : keep->map_size;
    while (larger < wanted)
        larger *= 2;
    if ((keep->map == NULL ? make_map(keep, larger) : 0) < 0 ||
        (larger > keep->map_size && resize_map(keep, larger) < 0))
        return NULL;
    keep->map_used = wanted;
    return keep->map + before;
}

static void forget_tail(struct keep *keep, size_t size)
{
    if (keep->map != NULL)
        keep->map_used = size;
    else
        buf_cut(&keep->small, size);
}

/* ---- the store ---- */

struct store_draft *keep_take_draft(struct keep *keep)
{
    struct store_draft *draft = keep->draft;
    keep->draft = NULL;
    return draft;
}

/* result: what a store_draft_...() call returned. What cannot become a whole file takes no room from
 * others. */
static void note_result(struct keep *keep, int result, const struct cj_error *err)
{
    if (result == 0)
        return;
    keep->failure = err->code != 0 ? err->code : EIO;
    keep->why = strdup(err->message);
    store_draft_discard(keep_take_draft(keep));
}

void keep_in_store(struct keep *keep, struct store *store)
{
    struct cj_error err;
    keep->stored = true;
    note_result(keep, store_draft_new(store, &keep->draft, &err), &err);
    keep->begun = keep->failure == 0;
}

/* ---- in ---- */

/* How much of size bytes is to be kept; they are counted. */
static size_t admit(struct keep *keep, uint64_t size)
{
    uint64_t room = keep->seen < keep->max ? keep->max - keep->seen : 0;
    uint64_t kept = size < room ? size : room;
    keep->seen += size;
    if (keep->failure != 0)
        return 0;
    if (kept > SIZE_MAX) {
        keep->failure = ENOMEM;
        return 0;
    }
    return (size_t)kept;
}

void keep_mark(struct keep *keep)
{
    if (!keep->marked)
        keep->mark = keep->seen;
    keep->marked = true;
}

void keep_unmark(struct keep *keep)
{
    keep->marked = false;
}

void keep_cut_to_mark(struct keep *keep)
{
    if (!keep->marked || keep->seen <= keep->mark)
        return;
    keep->seen = keep->mark;
    uint64_t kept = keep->mark < keep->max ? keep->mark : keep->max;
    if (!keep->stored)
        forget_tail(keep, (size_t)kept);
    else if (keep->draft != NULL && keep->failure == 0 &&
             ftruncate(store_draft_fd(keep->draft), (off_t)kept) < 0)
        keep->failure = errno;
}

void keep_append(struct keep *keep, const void *data, size_t size)
{
    size_t kept = admit(keep, size);
    if (kept == 0)
        return;
    if (keep->stored) {
        struct cj_error err;
        note_result(keep, store_draft_write(keep->draft, data, kept, &err), &err);
        return;
    }
    char *room = extend(keep, kept);
    if (room != NULL)
        memcpy(room, data, kept);
}

/* The bytes of fd from begin to end. Ends early where the file does. */
static int read_range(int fd, char *room, off_t begin, off_t end, off_t *reached)
{
    *reached = begin;
    while (*reached < end) {
        ssize_t got = pread(fd, room + *reached, (size_t)(end - *reached), *reached);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            return 0;
        *reached += got;
    }
    return 0;
}

/* Reads what is data and skips what is not: room reads as 0 there already. */
static int read_sparse(int fd, char *room, off_t size)
{
    for (off_t at = 0; at < size;) {
        off_t data = lseek(fd, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO) /* a hole up to the end */
            return 0;
        off_t hole = data < 0 ? size : lseek(fd, data, SEEK_HOLE);
        if (data < 0)
            data = at; /* a file system that does not tell */
        off_t end = hole < 0 || hole > size ? size : hole;
        if (data >= size)
            return 0;
        if (read_range(fd, room, data, end, &at) < 0)
            return -1;
        if (at < end)
            return 0;
    }
    return 0;
}

static void copy_into_store(struct keep *keep, int fd, uint64_t size)
{
    struct cj_error err;
    int result = lseek(fd, 0, SEEK_SET) < 0 ? error_errno(&err, "read")
                                            : store_draft_copy(keep->draft, fd, size, NULL, &err);
    note_result(keep, result, &err);
}

void keep_file(struct keep *keep, int fd, uint64_t size)
{
    size_t kept = admit(keep, size);
    if (kept > 0 && keep->stored) {
        copy_into_store(keep, fd, kept);
        return;
    }
    size_t before = used(keep);
    char *room = kept > 0 ? extend(keep, kept) : NULL;
    if (room == NULL)
        return;
    off_t reached = (off_t)kept;
    int result = keep->map != NULL ? read_sparse(fd, room, (off_t)kept)
                                   : read_range(fd, room, 0, (off_t)kept, &reached);
    if (result < 0)
        keep->failure = errno;
    forget_tail(keep, result < 0 ? before : before + (size_t)reached);
}

/* ---- out ---- */

int keep_check(const struct keep *keep, struct cj_error *err)
{
    if (keep->failure == 0)
        return 0;
    if (keep->why != NULL)
        return error_set(err, ERROR_SYSTEM, keep->failure, "%s", keep->why);
    return error_set(err, ERROR_SYSTEM, keep->failure, "keep output: %s",
                     errno_text(keep->failure));
}

int keep_take(struct keep *keep, struct exec_output *output, struct cj_error *err)
{
    if (keep_check(keep, err) < 0)
        return -1;
    if (keep->map == NULL) {
        output->mapped = 0;
        return keep->small.size > 0 ? buf_take(&keep->small, &output->data, &output->size, err) : 0;
    }
    if (resize_map(keep, whole_pages(keep->map_used)) < 0)
        return keep_check(keep, err);
    output->data = keep->map;
    output->size = keep->map_used;
    output->mapped = keep->map_size;
    keep->map = NULL;
    keep->map_size = keep->map_used = 0;
    return 0;
}

void keep_free(struct keep *keep)
{
    if (keep->map != NULL)
        munmap(keep->map, keep->map_size);
    keep->map = NULL;
    keep->map_size = keep->map_used = 0;
    buf_free(&keep->small);
    store_draft_discard(keep_take_draft(keep));
    free_pointer(&keep->why);
}

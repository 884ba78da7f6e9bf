/* Drafts: files of the store that nobody sees yet. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/io.h"
#include "scan.h"
#include "store_private.h"

enum {
    ID_TRIES = 50,
    ID_RANDOM = 5,            /* bytes, in groups of 5 bits */
    COPY_STEP = 1024 * 1024,  /* of sendfile(2), and of the budget */
    COPY_BUFFER = 128 * 1024, /* where the kernel does not copy by itself */
};

struct store_draft {
    struct store *store;
    struct shelf_draft content;
};

int store_draft_new(struct store *store, struct store_draft **out, struct cj_error *err)
{
    struct store_draft *draft = calloc(1, sizeof(*draft));
    if (draft == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "make a file in the store: out of memory");
    draft->store = store;
    if (shelf_draft_open(&store->shelf, &draft->content) < 0) {
        int result = shelf_write_error(&store->shelf, store->directory, errno, err);
        free(draft);
        return result;
    }
    *out = draft;
    return 0;
}

int store_draft_fd(const struct store_draft *draft)
{
    return draft->content.fd;
}

int store_draft_error(const struct store_draft *draft, int error, struct cj_error *err)
{
    return shelf_write_error(&draft->store->shelf, draft->store->directory, error, err);
}

/* ---- writing ---- */

static int grow(struct store_draft *draft, uint64_t by)
{
    struct stat info;
    if (draft->store->shelf.kind != SHELF_MEMFDS)
        return 0; /* the file system counts */
    if (fstat(draft->content.fd, &info) < 0)
        return -1;
    return shelf_draft_grow(&draft->store->shelf, &draft->content, (uint64_t)info.st_size + by);
}

static int append(struct store_draft *draft, const void *data, size_t size)
{
    return grow(draft, size) < 0 ? -1 : write_full(draft->content.fd, data, size);
}

int store_draft_write(struct store_draft *draft, const void *data, size_t size,
                      struct cj_error *err)
{
    return append(draft, data, size) < 0 ? store_draft_error(draft, errno, err) : 0;
}

/* Bytes moved, 0 at the end, -1. */
static ssize_t copy_by_kernel(struct store_draft *draft, int fd, size_t most)
{
    if (grow(draft, most) < 0)
        return -1;
    return sendfile(draft->content.fd, fd, NULL, most);
}

static ssize_t copy_by_hand(struct store_draft *draft, int fd, char *buffer, size_t most)
{
    ssize_t got = read(fd, buffer, most < COPY_BUFFER ? most : COPY_BUFFER);
    if (got > 0 && append(draft, buffer, (size_t)got) < 0)
        return -1;
    return got;
}

/* The budget of memfds is asked for in steps; near its end, a step that is not needed must not fail. */
static size_t step_of(const struct store_draft *draft, int fd, uint64_t left)
{
    struct stat info;
    size_t step = left < COPY_STEP ? (size_t)left : COPY_STEP;
    if (draft->store->shelf.kind != SHELF_MEMFDS || fstat(fd, &info) < 0 || !S_ISREG(info.st_mode))
        return step;
    off_t at = lseek(fd, 0, SEEK_CUR);
    uint64_t rest = at >= 0 && info.st_size > at ? (uint64_t)(info.st_size - at) : 0;
    return rest < step ? (size_t)rest : step;
}

int store_draft_copy(struct store_draft *draft, int fd, uint64_t limit, uint64_t *copied,
                     struct cj_error *err)
{
    auto_free char *buffer = NULL; /* not NULL: by hand */
    uint64_t done = 0;
    ssize_t moved = 1;
    while (moved != 0 && done < limit) {
        size_t most = step_of(draft, fd, limit - done);
        if (most == 0)
            break;
        moved = buffer == NULL ? copy_by_kernel(draft, fd, most)
                               : copy_by_hand(draft, fd, buffer, most);
        if (moved < 0 && buffer == NULL && (errno == EINVAL || errno == ENOSYS)) {
            buffer = malloc(COPY_BUFFER); /* a pipe or a socket: sendfile(2) reads files only */
            if (buffer == NULL)
                errno = ENOMEM;
            else
                continue;
        }
        if (moved < 0 && errno == EINTR)
            continue;
        if (moved < 0)
            break;
        done += (uint64_t)moved;
    }
    if (copied != NULL)
        *copied = done;
    if (moved < 0 && errno != EAGAIN)
        return store_draft_error(draft, errno, err);
    return 0;
}

/* ---- the end of a draft ---- */

/* RFC 4648 base32, upper case: 5 bytes are 8 characters. */
static int make_id(char id[static STORE_ID_SIZE])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    unsigned char random[ID_RANDOM];
    uint64_t bits = 0;
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return -1;
    for (size_t i = 0; i < sizeof(random); i++)
        bits = bits << 8 | random[i];
    for (size_t i = STORE_ID_SIZE - 1; i-- > 0; bits >>= 5)
        id[i] = digits[bits & 31];
    id[STORE_ID_SIZE - 1] = '\0';
    return 0;
}

/* The entry comes first: taking it back cannot fail. Called with the lock held. -1 with errno, EEXIST: another
 * id is needed. */
static int publish(struct store_draft *draft, const char *id, const char *name,
                   const struct stat *info)
{
    struct store *store = draft->store;
    if (table_find(&store->table, id) != NULL) {
        errno = EEXIST;
        return -1;
    }
    struct entry *entry = table_add(&store->table, id, name);
    if (entry == NULL) {
        errno = ENOMEM;
        return -1;
    }
    if (shelf_draft_link(&store->shelf, &draft->content, id) < 0) {
        int saved_errno = errno;
        table_remove(&store->table, entry);
        errno = saved_errno;
        return -1;
    }
    table_resize(&store->table, entry, (uint64_t)info->st_size);
    entry->mtime_ns = info->st_mtim.tv_sec * NS_PER_S + info->st_mtim.tv_nsec;
    entry->last_use_ns = monotonic_ns();
    entry->expires = true;
    if (store->shelf.kind == SHELF_MEMFDS)
        entry->memfd = fd_take(&draft->content.fd);
    return 0;
}

static int commit(struct store_draft *draft, const char *name, char id[static STORE_ID_SIZE])
{
    struct store *store = draft->store;
    struct stat info;
    int result = -1;
    if (fstat(draft->content.fd, &info) < 0 ||
        shelf_draft_grow(&store->shelf, &draft->content, (uint64_t)info.st_size) < 0)
        return -1;
    shelf_draft_fit(&store->shelf, &draft->content, (uint64_t)info.st_size);
    if (store->shelf.kind == SHELF_DIRECTORY)
        scan_keep_name(draft->content.fd, name);
    errno = EEXIST;
    for (int i = 0; i < ID_TRIES && result < 0 && errno == EEXIST; i++) {
        if (make_id(id) < 0)
            return -1;
        pthread_mutex_lock(&store->lock);
        result = publish(draft, id, name, &info);
        pthread_mutex_unlock(&store->lock);
    }
    return result;
}

int store_draft_commit(struct store_draft *draft, const char *name, char id[static STORE_ID_SIZE],
                       struct cj_error *err)
{
    int result = 0;
    if (strlen(name) > STORE_NAME_MAX)
        result =
            error_set(err, ERROR_REQUEST, ENAMETOOLONG,
                      "the name of a file in the store is longer than %d bytes", STORE_NAME_MAX);
    else if (commit(draft, name, id) < 0)
        result = store_draft_error(draft, errno, err);
    store_draft_discard(draft); /* what is left of it */
    return result;
}

void store_draft_discard(struct store_draft *draft)
{
    if (draft == NULL)
        return;
    shelf_draft_close(&draft->store->shelf, &draft->content);
    free(draft);
}

/* The file store: opening, getting, listing, removing, expiry. */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "memory_share.h"
#include "scan.h"
#include "store_private.h"

/* ---- opening ---- */

static int open_shelf(struct store *store, const struct store_settings *settings, unsigned lacks,
                      struct cj_error *err)
{
    struct store_facts *facts = &store->facts;
    if (settings->directory != NULL && settings->directory[0] != '\0') {
        store->directory = strdup(settings->directory);
        if (store->directory == NULL)
            return error_set(err, ERROR_SYSTEM, ENOMEM, "out of memory");
        facts->directory = store->directory;
        return shelf_open_directory(store->directory, lacks, &store->shelf, facts->reason,
                                    sizeof(facts->reason), err);
    }
    facts->in_memory = true;
    return shelf_open_memory(settings->max_bytes != 0 ? settings->max_bytes : memory_share(), lacks,
                             &store->shelf, facts->reason, sizeof(facts->reason), err);
}

static int scan(struct store *store, struct cj_error *err);

int store_open(const struct store_settings *settings, struct store **out, struct cj_error *err)
{
    return store_open_lacking(settings, 0, out, err);
}

int store_open_lacking(const struct store_settings *settings, unsigned lacks, struct store **out,
                       struct cj_error *err)
{
    struct store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "open the file store: out of memory");
    store->expiry_ns = settings->expiry_ns;
    store->shelf.dir_fd = store->shelf.guard_fd = -1;
    pthread_mutex_init(&store->lock, NULL);
    if (open_shelf(store, settings, lacks, err) < 0 || scan(store, err) < 0) {
        store_free(store);
        return error_wrap(err, "open the file store");
    }
    store->facts.max_bytes = store->shelf.max_bytes;
    store->facts.guarded = store->shelf.guard_fd >= 0;
    *out = store;
    return 0;
}

void store_free(struct store *store)
{
    if (store == NULL)
        return;
    table_free(&store->table);
    shelf_close(&store->shelf);
    pthread_mutex_destroy(&store->lock);
    free(store->directory);
    free(store);
}

const struct store_facts *store_facts(const struct store *store)
{
    return &store->facts;
}

/* ---- files that others put into the directory ---- */

bool store_id_valid(const char *id)
{
    return id[0] != '\0' && strcmp(id, ".") != 0 && strcmp(id, "..") != 0 &&
           strchr(id, '/') == NULL && strlen(id) <= NAME_MAX &&
           strncmp(id, SHELF_DRAFT_PREFIX, strlen(SHELF_DRAFT_PREFIX)) != 0;
}

static bool is_there(const struct store *store, const char *id, struct stat *info)
{
    return fstatat(store->shelf.dir_fd, id, info, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(info->st_mode);
}

/* The entry of a file that is in the directory but not in the table; NULL when it is no file. With the
 * lock held. */
static struct entry *adopt(struct store *store, const char *id)
{
    char name[SCAN_NAME_SIZE];
    struct stat info;
    if (store->shelf.kind != SHELF_DIRECTORY || !store_id_valid(id) || !is_there(store, id, &info))
        return NULL;
    auto_fd int fd =
        openat(store->shelf.dir_fd, id, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    bool ours = fd >= 0 && scan_kept_name(fd, name);
    struct entry *entry = table_add(&store->table, id, ours ? name : "");
    if (entry == NULL)
        return NULL;
    entry->expires = ours;
    entry->last_use_ns = monotonic_ns();
    return entry;
}

static void refresh(struct store *store, struct entry *entry, const struct stat *info)
{
    table_resize(&store->table, entry, (uint64_t)info->st_size);
    entry->mtime_ns = info->st_mtim.tv_sec * NS_PER_S + info->st_mtim.tv_nsec;
}

static void meet(void *arg, const char *id)
{
    struct store *store = arg;
    struct entry *entry = table_find(&store->table, id);
    struct stat info;
    if (entry == NULL)
        entry = adopt(store, id);
    if (entry == NULL || !is_there(store, id, &info))
        return;
    refresh(store, entry, &info);
    entry->seen = store->scans;
}

static void drop_unseen(void *arg, struct entry *entry)
{
    struct store *store = arg;
    if (entry->seen != store->scans)
        table_remove(&store->table, entry);
}

/* Brings the table up to date with the directory, which others may change. With the lock held, or before
 * others know the store. */
static int scan(struct store *store, struct cj_error *err)
{
    if (store->shelf.kind != SHELF_DIRECTORY)
        return 0;
    store->scans++;
    if (scan_directory(store->shelf.dir_fd, meet, store, err) < 0)
        return error_wrap(err, "list %s", store->directory);
    table_each(&store->table, drop_unseen, store);
    return 0;
}

/* ---- getting ---- */

static int no_such_file(const char *id, struct cj_error *err)
{
    return error_set(err, ERROR_REQUEST, ENOENT, "no file '%.64s' in the store", id);
}

static struct entry *find(struct store *store, const char *id)
{
    struct entry *entry = table_find(&store->table, id);
    return entry != NULL ? entry : adopt(store, id);
}

/* With the lock held, so that what is opened is what the entry means. */
static int open_entry(struct store *store, struct entry *entry, struct store_file *out)
{
    struct stat info;
    auto_fd int fd = -1;
    if (shelf_open_file(&store->shelf, entry->id, entry->memfd, &fd) < 0) {
        if (errno == ENOENT || errno == EINVAL || errno == ELOOP) {
            table_remove(&store->table, entry); /* others have removed or replaced it */
            errno = ENOENT;
        }
        return -1;
    }
    if (store->shelf.kind == SHELF_DIRECTORY && is_there(store, entry->id, &info))
        refresh(store, entry, &info);
    out->name = strdup(entry->name);
    if (out->name == NULL) {
        errno = ENOMEM;
        return -1;
    }
    entry->last_use_ns = monotonic_ns();
    out->size = entry->size;
    out->mtime_ns = entry->mtime_ns;
    out->fd = fd_take(&fd);
    return 0;
}

int store_get(struct store *store, const char *id, struct store_file *out, struct cj_error *err)
{
    *out = (struct store_file){.fd = -1};
    if (!store_id_valid(id))
        return no_such_file(id, err);
    pthread_mutex_lock(&store->lock);
    struct entry *entry = find(store, id);
    int result = -1;
    errno = ENOENT;
    if (entry != NULL)
        result = open_entry(store, entry, out);
    int error = errno;
    pthread_mutex_unlock(&store->lock);
    if (result == 0 && shelf_protect(&store->shelf, &out->fd) == 0)
        return 0;
    if (result == 0)
        error = errno;
    store_file_close(out);
    if (error == ENOENT)
        return no_such_file(id, err);
    return error_set(err, ERROR_SYSTEM, error, "open the stored file %.64s: %s", id,
                     strerror(error));
}

void store_file_close(struct store_file *file)
{
    fd_close(&file->fd);
    free_pointer(&file->name);
}

bool store_touch(struct store *store, const char *id)
{
    struct stat info;
    if (!store_id_valid(id))
        return false;
    pthread_mutex_lock(&store->lock);
    struct entry *entry = find(store, id);
    if (entry != NULL && store->shelf.kind == SHELF_DIRECTORY && !is_there(store, id, &info)) {
        table_remove(&store->table, entry);
        entry = NULL;
    }
    if (entry != NULL)
        entry->last_use_ns = monotonic_ns();
    pthread_mutex_unlock(&store->lock);
    return entry != NULL;
}

/* ---- removing ---- */

/* With the lock held. last (or -1): to be closed after it. */
static int remove_entry(struct store *store, struct entry *entry, int *last)
{
    int result = shelf_remove(&store->shelf, entry->id, last);
    if (result < 0 && errno != ENOENT)
        return -1;
    int error = errno;
    shelf_give_back(&store->shelf, entry->size);
    if (store->shelf.kind == SHELF_MEMFDS)
        *last = fd_take(&entry->memfd);
    table_remove(&store->table, entry);
    errno = error;
    return result;
}

int store_remove(struct store *store, const char *id, struct cj_error *err)
{
    auto_fd int last = -1;
    if (!store_id_valid(id))
        return no_such_file(id, err);
    pthread_mutex_lock(&store->lock);
    struct entry *entry = find(store, id);
    int result = -1;
    errno = ENOENT;
    if (entry != NULL)
        result = remove_entry(store, entry, &last);
    int error = errno;
    pthread_mutex_unlock(&store->lock);
    if (result == 0)
        return 0;
    if (error == ENOENT)
        return no_such_file(id, err);
    return error_set(err, ERROR_SYSTEM, error, "remove the stored file %.64s: %s", id,
                     strerror(error));
}

enum { SWEEP_BATCH = 1024 };

struct sweep {
    struct store *store;
    int64_t now_ns;
    int last[SWEEP_BATCH];
    size_t count;
    bool full;
};

static void expire(void *arg, struct entry *entry)
{
    struct sweep *sweep = arg;
    struct store *store = sweep->store;
    if (!entry->expires || sweep->now_ns - entry->last_use_ns < store->expiry_ns)
        return;
    if (sweep->count == SWEEP_BATCH) {
        sweep->full = true;
        return;
    }
    int last;
    if (remove_entry(store, entry, &last) == 0)
        sweep->last[sweep->count++] = last;
}

/* In batches, so that the lock is never held for long. */
size_t store_sweep(struct store *store, int64_t now_ns)
{
    size_t gone = 0;
    struct sweep sweep = {.store = store, .now_ns = now_ns, .full = store->expiry_ns > 0};
    while (sweep.full) {
        sweep.full = false;
        sweep.count = 0;
        pthread_mutex_lock(&store->lock);
        table_each(&store->table, expire, &sweep);
        pthread_mutex_unlock(&store->lock);
        for (size_t i = 0; i < sweep.count; i++)
            fd_close(&sweep.last[i]);
        gone += sweep.count;
    }
    return gone;
}

/* ---- listing ---- */

/* Infos, and their strings: offsets into texts until all are there. */
struct listing {
    struct store_info *infos;
    size_t count;
    struct buf texts;
};

static const char *keep_text(struct listing *listing, const char *text)
{
    uintptr_t offset = listing->texts.size;
    buf_append(&listing->texts, text, strlen(text) + 1);
    return (const char *)offset;
}

static void list_entry(void *arg, struct entry *entry)
{
    struct listing *listing = arg;
    listing->infos[listing->count++] = (struct store_info){
        .id = keep_text(listing, entry->id),
        .name = keep_text(listing, entry->name),
        .size = entry->size,
        .mtime_ns = entry->mtime_ns,
    };
}

static int snapshot(struct store *store, struct listing *listing, struct cj_error *err)
{
    pthread_mutex_lock(&store->lock);
    int result = scan(store, err);
    listing->infos = calloc(store->table.count + 1, sizeof(*listing->infos));
    if (listing->infos != NULL && result == 0)
        table_each(&store->table, list_entry, listing);
    pthread_mutex_unlock(&store->lock);
    if (listing->infos == NULL && result == 0)
        result = error_set(err, ERROR_SYSTEM, ENOMEM, "list the file store: out of memory");
    return result == 0 ? buf_check(&listing->texts, err) : -1;
}

static int compare_ids(const void *a, const void *b)
{
    const struct store_info *left = a, *right = b;
    return strcmp(left->id, right->id);
}

int store_list(struct store *store, void (*visit)(void *arg, const struct store_info *info),
               void *arg, struct cj_error *err)
{
    struct listing listing = {0};
    int result = snapshot(store, &listing, err);
    if (result == 0) {
        for (size_t i = 0; i < listing.count; i++) {
            listing.infos[i].id = listing.texts.data + (uintptr_t)listing.infos[i].id;
            listing.infos[i].name = listing.texts.data + (uintptr_t)listing.infos[i].name;
        }
        qsort(listing.infos, listing.count, sizeof(*listing.infos), compare_ids);
        for (size_t i = 0; i < listing.count; i++)
            visit(arg, &listing.infos[i]);
    }
    free(listing.infos);
    buf_free(&listing.texts);
    return result;
}

void store_stats(struct store *store, struct store_stats *out)
{
    pthread_mutex_lock(&store->lock);
    *out = (struct store_stats){.count = store->table.count, .bytes = store->table.bytes};
    pthread_mutex_unlock(&store->lock);
}

/* The file store: contents under short ids, in memory or in a directory.
 *
 *     store_draft_new ─► write ─► store_draft_commit ─► store_get * ─► store_remove, or expiry
 *                              └► store_draft_discard
 *
 * A file is seen by nobody before it is committed, and changed by nobody afterwards. What programs get
 * is a descriptor through a read-only mount: the program can neither write, truncate, chmod nor open it
 * anew for writing, not even as the file's owner. Where such a mount cannot be had (store_facts()), it
 * is a sealed copy.
 *
 * In memory means a tmpfs that is mounted nowhere: it ends with this process, however that ends. A
 * directory is kept at the end; drafts in it have no name, and so do not survive a crash either.
 * Regular files that others put into the directory are files of the store, with an empty name.
 *
 * All calls but store_free() may be made from any thread; a draft has one owner at a time. */
#ifndef CJ_STORE_STORE_H
#define CJ_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/error.h"

enum {
    STORE_ID_SIZE = 9,    /* 8 characters A-Z2-7 and the NUL, as ids are made here */
    STORE_NAME_MAX = 4095 /* bytes of a name */
};

struct store_settings {
    const char *directory; /* NULL or "": memory. Made (0755) when it is not there */
    int64_t expiry_ns;     /* a file goes this long after its last use; 0: never */
    uint64_t max_bytes; /* memory: of all files and drafts, in pages; 0: a quarter of the machine's
                            * (or the control group's) memory. Directory: not used */
};

struct store;

/* May fork a child for a moment, which makes the mounts. directory must be absolute or relative to the
 * current directory of this moment. Errors name the directory and what to do. */
WARN_UNUSED int store_open(const struct store_settings *settings, struct store **out,
                           struct cj_error *err);

/* Every draft must have ended before; files that were got stay readable. Memory is given back, a
 * directory is kept. NULL is fine. */
void store_free(struct store *store);

struct store_facts {
    bool in_memory;
    bool guarded;          /* programs read through a read-only mount; else they get copies */
    const char *directory; /* NULL: memory */
    uint64_t max_bytes;    /* 0: what the directory's file system has */
    char reason[256];      /* why not guarded; "" when it is */
};
const struct store_facts *store_facts(const struct store *store);

/* ---- putting files in ---- */

struct store_draft;

WARN_UNUSED int store_draft_new(struct store *store, struct store_draft **out,
                                struct cj_error *err);

/* The draft's own descriptor, for writing with whatever suits (sendfile(2), copy_file_range(2), ...);
 * open until the draft ends, never to be handed to a program and never duplicated. A failed write of
 * the caller's becomes the store's words with store_draft_error(). */
int store_draft_fd(const struct store_draft *draft);

/* Appends. A full store is ENOSPC: "the file store is full: 512 MiB of 512 MiB are in use". */
WARN_UNUSED int store_draft_write(struct store_draft *draft, const void *data, size_t size,
                                  struct cj_error *err);

/* Appends what can be read from fd (a file from its offset, a pipe, a socket; one that would not wait
 * ends it) until its end, but at most limit bytes. *copied (or NULL) gets the count, also after a
 * failure. */
WARN_UNUSED int store_draft_copy(struct store_draft *draft, int fd, uint64_t limit,
                                 uint64_t *copied, struct cj_error *err);

/* Puts an errno that writing to store_draft_fd() gave into words. Returns -1. */
int store_draft_error(const struct store_draft *draft, int error, struct cj_error *err);

/* Makes it a file of the store, called name ("" is one, too), under a new id. Ends the draft in any case:
 * also after a failure it is gone. err->code: ENOSPC as above, ENAMETOOLONG. */
WARN_UNUSED int store_draft_commit(struct store_draft *draft, const char *name,
                                   char id[static STORE_ID_SIZE], struct cj_error *err);

/* Ends it without a trace. NULL is fine. */
void store_draft_discard(struct store_draft *draft);

/* ---- getting them out ---- */

/* False for what no file can be called: "", ".", "..", a '/' in it, longer than a file name, or one of
 * this store's own working files. An id need not look like those that are made here. */
bool store_id_valid(const char *id);

struct store_file {
    int fd; /* a new open file description, read-only, at offset 0, close-on-exec */
    char *name;
    uint64_t size;
    int64_t mtime_ns; /* since the epoch */
};

/* Opens a file for reading, for programs too (above), and counts as a use. It stays readable when it is
 * removed. Release it with store_file_close(). err->code: ENOENT for an id that is not there or not
 * valid; EMFILE, ... (ERROR_SYSTEM) otherwise. */
WARN_UNUSED int store_get(struct store *store, const char *id, struct store_file *out,
                          struct cj_error *err);

/* Closes fd (unless it was taken: -1) and frees the name. */
void store_file_close(struct store_file *file);
#define auto_store_file __attribute__((cleanup(store_file_close)))

/* Counts as a use, without opening. Returns whether the file is there. */
bool store_touch(struct store *store, const char *id);

/* err->code: ENOENT as store_get(). */
WARN_UNUSED int store_remove(struct store *store, const char *id, struct cj_error *err);

struct store_info {
    const char *id;
    const char *name;
    uint64_t size;
    int64_t mtime_ns;
};

/* Calls visit for every file, sorted by id (bytes), as they were at one moment; no lock is held
 * meanwhile. Strings live during the visit. */
WARN_UNUSED int store_list(struct store *store,
                           void (*visit)(void *arg, const struct store_info *info), void *arg,
                           struct cj_error *err);

/* Removes files that were last used expiry_ns or more before now_ns (monotonic_ns()). To be called every
 * few seconds. Files that others put into a directory never expire. Returns how many went. */
size_t store_sweep(struct store *store, int64_t now_ns);

struct store_stats {
    uint64_t count; /* files */
    uint64_t bytes; /* sum of their sizes */
};
void store_stats(struct store *store, struct store_stats *out);

#endif

/* Where the contents of a store lie: a directory, of a tmpfs or of the operator's, seen in two ways (one
 * to write, one that nobody can write through). Where there can be no tmpfs of our own, each content
 * is a memfd, which its table entry holds.
 *
 * Nothing here changes after shelf_open_*(), so that all threads may use it without a lock; the memfds'
 * budget is atomic. */
#ifndef CJ_STORE_SHELF_H
#define CJ_STORE_SHELF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

enum shelf_kind { SHELF_TMPFS, SHELF_DIRECTORY, SHELF_MEMFDS };

/* Names of drafts in a directory whose file system has no O_TMPFILE. */
#define SHELF_DRAFT_PREFIX ".cjudge-draft-"
enum { SHELF_DRAFT_NAME_SIZE = 32 };

struct shelf {
    enum shelf_kind kind;
    int dir_fd;        /* -1: memfds */
    int guard_fd;      /* the directory through a read-only mount; -1: readers get copies */
    bool named_drafts; /* no O_TMPFILE here */
    uint64_t max_bytes;
    _Atomic uint64_t memfd_bytes; /* budget taken, in whole pages */
};

/* What a host may not have; tests say so of one that has it. */
enum shelf_lack { SHELF_NO_MOUNTS = 1, SHELF_NO_TMPFILE = 2 };

/* In memory. why (size bytes) is told why there is no read-only view; "". */
WARN_UNUSED int shelf_open_memory(uint64_t max_bytes, unsigned lacks, struct shelf *out, char *why,
                                  size_t size, struct cj_error *err);
/* A directory, made when it is missing. Removes drafts that a crash has left there. */
WARN_UNUSED int shelf_open_directory(const char *path, unsigned lacks, struct shelf *out, char *why,
                                     size_t size, struct cj_error *err);
void shelf_close(struct shelf *shelf);

/* ---- drafts ---- */

struct shelf_draft {
    int fd;
    char name[SHELF_DRAFT_NAME_SIZE]; /* "": has none */
    uint64_t budget;                  /* bytes taken of memfd_bytes */
};

WARN_UNUSED int shelf_draft_open(struct shelf *shelf, struct shelf_draft *out);
void shelf_draft_close(struct shelf *shelf, struct shelf_draft *draft);

/* To be asked before a draft grows to size bytes. -1 with ENOSPC. */
WARN_UNUSED int shelf_draft_grow(struct shelf *shelf, struct shelf_draft *draft, uint64_t size);

/* Gives back what was asked for beyond size bytes. */
void shelf_draft_fit(struct shelf *shelf, struct shelf_draft *draft, uint64_t size);

/* Makes the draft the file `id`; it stays to be closed. -1 with errno, EEXIST when there is one. Of a
 * memfd: seals it. */
WARN_UNUSED int shelf_draft_link(const struct shelf *shelf, struct shelf_draft *draft,
                                 const char *id);

/* ---- files ---- */

/* Opens for reading. memfd: the entry's. -1 with errno: ENOENT, EINVAL (not a regular file), ... */
WARN_UNUSED int shelf_open_file(const struct shelf *shelf, const char *id, int memfd, int *fd);

/* Makes *fd, of shelf_open_file(), one that a program may have: replaces it by a sealed copy where it is
 * not protected by itself. Takes time then: not under a lock. -1 with errno; *fd stays to be closed. */
WARN_UNUSED int shelf_protect(const struct shelf *shelf, int *fd);

/* Takes the name away. *last (or -1) holds the content: closing it, outside of locks, may free much. */
WARN_UNUSED int shelf_remove(const struct shelf *shelf, const char *id, int *last);

/* Gives back what a removed or never committed memfd of that size took. */
void shelf_give_back(struct shelf *shelf, uint64_t size);

/* What an errno of writing means here, in words. Returns -1. */
int shelf_write_error(const struct shelf *shelf, const char *directory, int error,
                      struct cj_error *err);

#endif

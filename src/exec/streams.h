/* The descriptors of a run: what the program gets, and what we do with the other ends meanwhile.
 *
 *     collector   program ──pipe──► kept, at most max bytes; the rest is read and dropped
 *     forward     program ──pipe──► memory ──► a descriptor of the caller's, at its pace
 *     feed        a descriptor of the caller's ──► memory ──pipe──► program
 *     terminal    content or feed ──► master; master ──► collector or forward; the program has the slave
 *
 * Pipes are always read to their end, so no program waits for us but behind a slow forward. */
#ifndef CJ_EXEC_STREAMS_H
#define CJ_EXEC_STREAMS_H

#include <poll.h>

#include "base/attr.h"
#include "exec/exec.h"
#include "outputs.h"

struct streams;

/* Opens what files describe. Collector files are created in the container (so: before copy in), or will be
 * when the run starts (streams_made()), which costs less, where that makes no difference (made_plan()).
 * descriptors gets file_count entries that stay valid as long as the streams; those of EXEC_FILE_NULL are
 * closed ones, for a pipe to take. Collectors that copy_out_cached names collect into the store. On failure
 * err says which descriptor. */
WARN_UNUSED int streams_open(struct container *container, const struct exec_request *request,
                             struct store *store, struct container_descriptor *descriptors,
                             struct streams **out, struct cj_error *err);

/* Names of the files that the run is to make: for container_start(). They are the request's. */
const char *const *streams_made(const struct streams *streams, size_t *count);

/* Everything of the run is dead: what those files held, in their order. */
void streams_take_made(struct streams *streams, const struct container_made *made);

/* The most that streams_poll() adds for a run with so many files. */
size_t streams_poll_max(size_t file_count) PURE;

/* The program has its descriptors: ours of its ends are closed, so that its end is seen. */
void streams_started(struct streams *streams);

/* Adds what to wait for, and lowers *next_ns to when to ask again at the latest: outputs that come in many
 * pieces are left alone for moments. now_ns: CLOCK_MONOTONIC. Returns the number added. */
size_t streams_poll(struct streams *streams, int64_t now_ns, int64_t *next_ns, struct pollfd *fds);

/* Moves what can be moved without waiting. fds: as filled in by streams_poll() and poll(2). */
void streams_move(struct streams *streams, const struct pollfd *fds, size_t count);

/* The run had ended when poll(2) filled in fds, as streams_move() got them: a pipe that had nothing then is not read
 * again. */
void streams_ended(struct streams *streams, const struct pollfd *fds, size_t count);

/* True when a collector or forward got so much more than it takes (1 MiB) that the program is flooding
 * and need not be waited for. */
bool streams_flooded(const struct streams *streams);

/* The same of collectors that are files, which have to be looked at for it: every few milliseconds, once the run has begun. */
bool streams_have_files(const struct streams *streams);
bool streams_files_flooded(struct streams *streams);

/* The run's wall time has passed: what is collected from now on may have been written too late. */
void streams_mark_late(struct streams *streams);

/* Its time begins anew. */
void streams_unmark_late(struct streams *streams);

/* It was, for the run went on beyond its wall time: that is forgotten, so that what comes back does not
 * depend on how soon a kill reaches the program. */
void streams_cut_late(struct streams *streams);

/* Everything of the run is dead: takes the rest, and passes it on at the reader's pace. cancel_fd
 * readable (-1: never): what is left is dropped. A reader that takes nothing for grace_ns (0: for ever): the
 * same, and streams_collect() fails. */
void streams_finish(struct streams *streams, int cancel_fd, int64_t grace_ns);

/* Puts what was collected where it belongs; *over becomes true when some collector got too much. */
WARN_UNUSED int streams_collect(struct streams *streams, struct outputs *outputs, bool *over,
                                struct cj_error *err);

/* True when name is a collector's: it is not copied out a second time. */
bool streams_collects(const struct streams *streams, const char *name);

void streams_close(struct streams *streams);

#endif

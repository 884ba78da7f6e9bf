/* The pipes of a group.
 *
 *     direct             writer ──pipe──► reader
 *     proxied            writer ──pipe──► reader
 *                                └──► us, once the reader has left
 *     proxied and kept   writer ──pipe──► relay (us) ──pipe──► reader
 *                                           └──► kept, at most max bytes
 *
 * Proxied means that a reader may leave without its writer noticing: from then on we take what comes, so that
 * the writer neither waits nor gets SIGPIPE. Where nothing is to be kept, a spare read end of the same pipe
 * is enough for that, and a message costs what it costs in a direct pipe; a relay costs two more changes
 * of processes each way. It is part of the group's one poll loop, and holds the writer back no longer
 * than the reader does. (A relay also stands in where reader_watch.h cannot tell.)
 *
 * Our copies of the programs' ends are closed once a program has its own, so that each end of file and
 * each broken pipe is seen when it happens. */
#ifndef CJ_EXEC_PIPES_H
#define CJ_EXEC_PIPES_H

#include <poll.h>

#include "base/attr.h"
#include "exec/exec.h"
#include "outputs.h"

struct pipes;

/* The group has been checked. What is to be kept and is named in its command's copy_out_cached goes into
 * the store. */
WARN_UNUSED int pipes_open(const struct exec_group *group, struct store *store, struct pipes **out,
                           struct cj_error *err);

/* Puts the ends of command index into its descriptors, of which there are enough. */
void pipes_place(const struct pipes *pipes, size_t index, struct container_descriptor *descriptors);

/* The command has its ends, or will never get them: ours of them are closed. */
void pipes_release(struct pipes *pipes, size_t index);

/* The command has ended: it reads no more. */
void pipes_ended(struct pipes *pipes, size_t index);

/* Adds what to wait for, at most pipes_poll_max(). Returns the number added. */
size_t pipes_poll_max(const struct pipes *pipes);
size_t pipes_poll(struct pipes *pipes, struct pollfd *fds);

/* Moves what can be moved without waiting. fds: as filled in by pipes_poll() and poll(2). */
void pipes_move(struct pipes *pipes, const struct pollfd *fds, size_t count);

/* Every command has ended: takes what writers left in their pipes. */
void pipes_finish(struct pipes *pipes);

/* Puts what passed from command index, where it was wanted, where it belongs. */
WARN_UNUSED int pipes_collect(struct pipes *pipes, size_t index, struct outputs *outputs,
                              struct cj_error *err);

/* True when name is what is kept of a pipe of command index. */
bool pipes_collects(const struct pipes *pipes, size_t index, const char *name);

void pipes_close(struct pipes *pipes);

#endif

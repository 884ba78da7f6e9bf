/* One stream of a run: bytes on their way between the program and whoever is at the other end. For streams*.c. */
#ifndef CJ_EXEC_STREAM_H
#define CJ_EXEC_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "exec/exec.h"
#include "keep.h"

enum { STREAM_CHUNK = 64 * 1024 };

struct stream {
    enum exec_file_kind kind;
    const struct exec_file *file;
    int same_as;      /* index of the stream with the same collector; -1 */
    bool collects;    /* its output comes into the result */
    int made;         /* which of the run's made files it is; -1 */
    int kept;         /* which of the container's output pipes it reads; -1 */
    bool dry;         /* ... and there is nothing in it for good */
    int pass_fd;      /* what the program gets, when it is ours to close; -1 */
    int read_fd;      /* end that we read; -1 */
    int write_fd;     /* end that we write; -1 */
    bool own_ends;    /* those two are ours to close */
    struct keep keep; /* collected; counts what came in any case */
    struct buf bytes; /* on their way; those before start have gone */
    size_t start;
    int failure;       /* errno of feeding or forwarding; 0 */
    bool source_ended; /* nothing more comes into bytes */
    bool gave_little;  /* when it was read last, at: */
    int64_t read_ns;   /* 0: never */
    int64_t paused_until_ns;
    int poll_read, poll_write; /* positions in the poll set; -1 */
};

/* An end of it (read_fd or write_fd) is not used any more. */
void stream_stop(struct stream *stream, int *end);

/* Bytes that have come and not gone. */
static inline size_t stream_waiting(const struct stream *stream)
{
    return stream->bytes.size - stream->start;
}

/* Whether what its program writes is to be read now. */
bool stream_wants_input(const struct stream *stream);

/* Each moves what can be moved without waiting. chunk: STREAM_CHUNK bytes to read into. */
void stream_read_output(struct stream *stream, char *chunk);
void stream_write_forward(struct stream *stream);
void stream_read_source(struct stream *stream, char *chunk);
void stream_write_feed(struct stream *stream);

/* The program is dead: waits until the reader of a forward has taken what is left. As streams_finish(). */
void stream_finish_forward(struct stream *stream, int cancel_fd, int64_t grace_ns);

#endif

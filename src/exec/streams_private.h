/* Private to the files about the descriptors of a run.
 *
 *     streams_open.c   what the request describes becomes descriptors
 *     stream.c         bytes of one stream, on their way
 *     streams.c        all streams of a run, from its start to its outputs */
#ifndef CJ_EXEC_STREAMS_PRIVATE_H
#define CJ_EXEC_STREAMS_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

#include "sandbox/container.h"
#include "stream.h"
#include "streams.h"

struct streams {
    struct container *container;
    size_t count;
    struct stream *streams;
    bool makes; /* collector files are made for the run, not before it */
    const char *made_names[CONTAINER_MADE_MAX];
    size_t made_count;
    bool made_unseen;                               /* how much is in them cannot be told */
    struct container_made made[CONTAINER_MADE_MAX]; /* behind the run; zeroed when there was none */
    int terminal_master, terminal_slave;            /* -1: no terminal */
    bool terminal_typed, terminal_shown; /* some stream types into it, gets what it shows */
    char chunk[STREAM_CHUNK];            /* what is read comes here first */
};

#endif

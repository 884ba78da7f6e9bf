/* Between warm.c, which keeps interpreters, and warm_start.c, which starts them: the keeper's thread, but for messages. */
#ifndef CJ_INIT_WARM_H
#define CJ_INIT_WARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "init/protocol.h"

/* The service waits for 10 s, and then takes init for dead. */
enum { ANSWER_MS = 2000 };

/* warm.c */

/* One message of exactly size bytes. The socket has a timeout: warm_be_patient(). */
bool warm_receive(int socket, void *message, size_t size, int flags);
/* How long to wait for each. Returns 0, or -1 with errno. */
int warm_be_patient(int socket, int milliseconds);

/* warm_auxv.c: by its tracer, while it is stopped. What cannot be told, is not. */
void warm_tell_ids(pid_t pid, uint32_t uid, uint32_t gid);

/* warm_start.c */

/* Arguments, environment and modules of the request, out of the arena. False: they are malformed. */
bool warm_take_strings(const struct init_request *request);
/* What was taken: where the interpreter is. */
const char *warm_program(void);
/* Clones it; control, which becomes its own and is closed here, is where it answers. Returns its pid, or -1 with errno. */
pid_t warm_begin(const struct init_request *request, int control);
/* Lets it go as far as its program and puts our code in. WARM_SYSTEM: with errno. Otherwise than with WARM_NONE it is of no
 * use, and may have ended or not. control: our end. */
enum init_warm_obstacle warm_bring_up(pid_t pid, int control);
/* Memory of its own, in bytes: what a run that starts cold is charged for when it comes to its program, and one that is
 * forked shares. proc_pid_smaps(5) */
uint64_t warm_own_memory(pid_t pid);
/* A file of a process, in our /proc. Returns a descriptor, or -1 with errno. */
int warm_open_proc(pid_t pid, const char *file, int flags);
/* The beginning of one, as a string. Returns whether it is there. */
bool warm_read_proc(pid_t pid, const char *file, char *text, size_t size);

#endif

/* The spawner: a small single-threaded process that starts the inits of containers.
 *
 *   service (threads) ──SEQPACKET──► spawner ──clone3(new namespaces)──► init, init, ...
 *
 * It is forked from the service and holds nothing of it but one socket. Inits carry a parent-death
 * signal; as their parent has one thread only, that signal cannot fire because a thread ended
 * (prctl(2), PR_SET_PDEATHSIG). End of file on the socket ends the spawner, that ends the inits, and
 * the end of an init ends its pid namespace: so everything dies with the service, also by SIGKILL.
 *
 * Starting takes two steps, so that the service can put the new process into its cgroups first:
 * spawner_start() makes it, held back; spawner_release() lets it go on into init. */
#ifndef CJ_SANDBOX_SPAWNER_H
#define CJ_SANDBOX_SPAWNER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/error.h"

struct spawner;

struct spawn_request {
    int image_fd; /* cjudge-init, executable by execveat(2) */
    int setup_fd; /* sealed memfd, struct init_setup */
    int arena_fd; /* memfd */
    int run_fd;   /* init's end of the run socket */
    int files_fd; /* init's end of the files socket */
    bool share_net;
    bool single_id;        /* map inside 0 -> own uid only */
    int cpu;               /* pin to this CPU; -1: no */
    uint32_t host_init_id; /* host uid and gid of inside 0 */
    uint32_t host_run_id;  /* host uid and gid of inside run_uid / run_gid */
    uint32_t run_uid, run_gid;
};

/* Forks the spawner. May be called again after it died. */
WARN_UNUSED int spawner_open(struct spawner **out, struct cj_error *err);

/* Makes a container's first process, held back before it does anything. *pid is its host pid, *pid_fd
 * a pidfd (caller closes). The descriptors of the request stay the caller's. Thread-safe, as the next. */
WARN_UNUSED int spawner_start(struct spawner *spawner, const struct spawn_request *request,
                              pid_t *pid, int *pid_fd, struct cj_error *err);

/* Gives the process its ids and lets it become init. */
WARN_UNUSED int spawner_release(struct spawner *spawner, pid_t pid, struct cj_error *err);

/* False once the spawner has died (and with it every container). */
bool spawner_alive(const struct spawner *spawner);
pid_t spawner_pid(const struct spawner *spawner);

/* Ends the spawner and every container. NULL is fine. */
void spawner_close(struct spawner *spawner);

#endif

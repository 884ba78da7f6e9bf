/* A `cjudge serve` of a benchmark's own, as its users start it, and what it costs. */
#ifndef CJ_BENCH_SERVICE_H
#define CJ_BENCH_SERVICE_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/error.h"

enum { SERVICE_PROCESSES_MAX = 1024 };

struct service {
    pid_t pid;
    struct sockaddr_in address;
    unsigned slots;

    /* It, its spawner, the inits of its containers: those that were there when it was last asked. */
    pid_t processes[SERVICE_PROCESSES_MAX];
    unsigned process_count;
};

/* Starts path with `serve` at a free port of 127.0.0.1; options is a NULL-terminated list of more of
 * them. Returns when it is ready. It dies with the calling thread. */
WARN_UNUSED int service_start(struct service *service, const char *path, const char *const *options,
                              struct cj_error *err);

/* SIGTERM, and waits. Returns its exit status. */
int service_stop(struct service *service);

/* Looks which processes there are. Not while programs run: they would be taken for inits. */
void service_look(struct service *service);

/* CPU time that those have used so far, without the programs. */
int64_t service_cpu_ns(const struct service *service);
/* The same of the service's own process only. */
int64_t service_own_cpu_ns(const struct service *service);

/* The sum of their proportional set sizes (smaps_rollup), so that shared pages count once. */
uint64_t service_memory_bytes(struct service *service);

/* Connects; blocking, without Nagle's delay. Returns the descriptor, or -1. */
WARN_UNUSED int service_connect(const struct service *service, struct cj_error *err);

#endif

/* A request as exec takes it: the commands and pipes, checked, with the files that it names opened.
 *
 * Opening happens when the request is admitted: what is missing is the client's to hear at once, and
 * what the programs get is what was there then, whoever removes or replaces it while the request waits. */
#ifndef CJ_API_REST_PLAN_H
#define CJ_API_REST_PLAN_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/error.h"
#include "base/options.h"
#include "exec/exec.h"
#include "rest_request.h"
#include "store/store.h"

/* Where files come from, and what else the server decides. Borrowed. */
struct rest_sources {
    struct option_list src_prefixes; /* empty: every path of the host */
    struct store *store;
    bool cpu_rate; /* cpuRateLimit counts */
};

struct rest_plan;

/* Checks and opens. request is borrowed until rest_plan_free(). ERROR_REQUEST names the field:
 * "cmd[0].files[0].fileId: file does not exists with id: \"X\"". Anything else is ours (EMFILE, ENFILE,
 * ENOMEM: too much at once). */
WARN_UNUSED int rest_plan_new(const struct rest_request *request,
                              const struct rest_sources *sources, struct rest_plan **out,
                              struct cj_error *err) NONNULL(1, 2, 3);

const struct exec_group *rest_plan_group(const struct rest_plan *plan) NONNULL(1);

/* The CPUs of commands that name none (cpuset list; NULL: as they are). Before the group is run. */
void rest_plan_default_cpus(struct rest_plan *plan, const char *cpu_set) NONNULL(1);

/* Closes what was opened. NULL is fine. */
void rest_plan_free(struct rest_plan *plan);

/* Whether making the plan may wait for the host's files, or copy them, and so has to be kept off the loop. */
bool rest_plan_may_wait(const struct rest_request *request, const struct rest_sources *sources)
    NONNULL(1, 2);

#endif

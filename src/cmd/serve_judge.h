/* The batch judging door of `cjudge serve`: from settings to a listening server. */
#ifndef CJ_CMD_SERVE_JUDGE_H
#define CJ_CMD_SERVE_JUDGE_H

#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "exec/exec.h"
#include "net/http.h"
#include "net/loop.h"
#include "sandbox/mount_config.h"
#include "sandbox/sandbox.h"
#include "sched/sched.h"
#include "settings.h"
#include "store/store.h"

struct serve_judge;

/* Reads the languages and adds to mounts what they need to see: before the sandbox is opened. *out is
 * NULL when settings open no such door. settings is borrowed for its life. */
WARN_UNUSED int serve_judge_prepare(const struct settings *settings, struct mount_config *mounts,
                                    struct serve_judge **out, struct cj_error *err);

/* Opens the door. exec, loop, sched, store, sandbox are borrowed for its life. */
WARN_UNUSED int serve_judge_open(struct serve_judge *judge, const struct exec_settings *exec,
                                 struct net_loop *loop, struct sched *sched, struct store *store,
                                 struct sandbox *sandbox, const struct http_settings *http,
                                 struct cj_error *err);

/* Each of these is nothing for NULL. */
const struct languages *serve_judge_languages(const struct serve_judge *judge);
const char *serve_judge_address(const struct serve_judge *judge, size_t index);
uint64_t serve_judge_at_work(const struct serve_judge *judge);
void serve_judge_stop(struct serve_judge *judge, int64_t timeout_ns, void (*done)(void *arg),
                      void *arg);
void serve_judge_cancel(struct serve_judge *judge);
void serve_judge_close_server(struct serve_judge *judge);
void serve_judge_free(struct serve_judge *judge);

#endif

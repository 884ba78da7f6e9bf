/* Whether a run may begin by the fork of a warm interpreter. Pure.
 *
 * It may when nothing that the run brings is seen by the interpreter before it comes to its script: what it would
 * do until then is what it has done already. And nothing that a stranger sends may reach an interpreter that is
 * not yet one of his programs: it has a uid of its own, and rights to change it. */
#ifndef CJ_EXEC_WARM_PLAN_H
#define CJ_EXEC_WARM_PLAN_H

#include "exec/exec.h"

enum warm_answer {
    WARM_PLAN_YES,
    WARM_PLAN_OFF,          /* by the settings, or for this request */
    WARM_PLAN_NOT_A_SCRIPT, /* the command is not exactly interpreter and script */
    WARM_PLAN_NOT_KNOWN,    /* args[0] leads to no interpreter that is kept warm */
    WARM_PLAN_SHADOWED,     /* a file of the run has its name, and is found before it */
    WARM_PLAN_ENVIRONMENT,  /* a variable that the interpreter, or what loads it, might obey */
    WARM_PLAN_FILES,        /* files of the run where an interpreter looks while it starts */
    WARM_PLAN_TERMINAL,
};

enum { WARM_PATH_SIZE = 512, WARM_PRELOAD_SIZE = 128 };

/* program: where args[0] leads to in the container; "" unless the answer is yes. env: of the container, before the
 * request's. */
enum warm_answer warm_plan(const struct exec_warm *warm, const struct exec_request *request,
                           const char *const *env, size_t env_count,
                           char program[static WARM_PATH_SIZE]);

/* Of a run that may be warm: which of the modules that can be imported ahead its script imports, with commas, in
 * out. NULL: none, or a file beside the script might be taken for one of them. */
const char *warm_preload(const struct exec_warm *warm, const struct exec_request *request,
                         char out[static WARM_PRELOAD_SIZE]);

/* The script's name below the work directory. */
const char *warm_script(const struct exec_warm *warm, const struct exec_request *request);

/* Of a run that may be warm: whether its script is a plain text in the work directory itself. */
bool warm_text(const struct exec_warm *warm, const struct exec_request *request);

#endif

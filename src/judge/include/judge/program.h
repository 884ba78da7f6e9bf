/* A program: built once, run on many inputs.
 *
 *     judge_build ─► struct judge_artefact ─► judge_run, judge_run, ...
 *
 * Both are called within a job of the scheduler (sched/sched.h) and use the first container of its
 * slot, which is fresh afterwards only when the job ends or calls slot_reset(). An artefact is not
 * changed after it was made: any slot may run it, several at once. */
#ifndef CJ_JUDGE_PROGRAM_H
#define CJ_JUDGE_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "exec/exec.h"
#include "judge/artefact.h"
#include "judge/build_cache.h"
#include "judge/language.h"
#include "judge/toolchain.h"
#include "sched/sched.h"

/* What all programs share. Borrowed by every call. */
struct judge_settings {
    const struct exec_settings *exec;
    const char *const *env; /* "K=V" of every program; those of its language come before */
    size_t env_count;
    const struct mount_config *mounts; /* of the containers, to tell what is not installed; NULL */
    struct sandbox *sandbox;     /* for commands on the host's side; NULL: no language has one */
    unsigned outside_index;      /* their groups are numbered from here on (exec/outside.h) */
    struct exec_limits build;    /* of a compiler */
    uint64_t build_output_bytes; /* of what a compiler says, each of stdout and stderr */
    uint64_t artefact_bytes;     /* largest file of a build */
    struct build_cache *build_cache; /* NULL: each build is made */
    struct identities *identities;   /* with it, or with the next */
    struct prepared *prepared;       /* NULL: all builds are plain */
};

/* Defaults that work; exec and env are the caller's to fill in. */
void judge_settings_default(struct judge_settings *settings);

struct judge_file {
    const char *name; /* relative to the work directory */
    const char *data;
    size_t size;
};

struct judge_program {
    const struct language *language;
    /* The first is the main source, whatever its name: it is called as the language wants it. */
    const struct judge_file *files;
    size_t file_count;
};

enum judge_build_outcome {
    JUDGE_BUILT,        /* *artefact is the caller's */
    JUDGE_BUILD_FAILED, /* the compiler refused it, or passed a limit: result tells */
    JUDGE_BUILD_BROKEN, /* nothing can be said of the program: result.error tells why */
    JUDGE_BUILD_WAITS,  /* another job builds the same: run() is to return, and is called again */
};

/* Builds; of a language without a build, checks the syntax where the language has a command for it.
 * result is filled in (all zero where no command ran); its outputs are "stdout" and "stderr". Free it with
 * exec_result_free(). With a cache, what was built before is not built again; result then is that of the first
 * time. wait: of this job, so that it may wait for another (build_cache_leave() when it is dropped); NULL: it
 * never does. */
enum judge_build_outcome judge_build(struct slot *slot, const struct judge_settings *settings,
                                     const struct judge_program *program, struct build_wait *wait,
                                     struct judge_artefact **artefact, struct exec_result *result);

struct judge_run {
    const struct exec_file *input;       /* descriptor 0; NULL: empty */
    struct exec_limits limits;           /* as asked for: the language's own needs are added here */
    uint64_t stdout_bytes, stderr_bytes; /* that come back at most; more is Output Limit Exceeded */
};

/* Runs it; result's outputs are "stdout" and "stderr". */
void judge_run(struct slot *slot, const struct judge_settings *settings,
               const struct judge_artefact *artefact, const struct judge_run *run,
               struct exec_result *result);

/* Whether programs do not find what the language needs; then text says so, and what to do about it.
 * judge_build() and judge_run() say it as the error of what fails for that reason. */
bool judge_lacks(const struct judge_settings *settings, const struct language *language,
                 char text[static TOOLCHAIN_LACK_SIZE]);

/* The limits that a run of this language is held to when those were asked for. Pure. */
struct exec_limits judge_limits(const struct language *language, struct exec_limits asked,
                                const struct exec_settings *settings);

#endif

/* The languages that can be judged, as configuration says (share/languages.yaml).
 *
 * Adding a language is configuration only: docs/languages.md describes the file. Commands are texts
 * with placeholders, split into words by the shell's quoting rules; no shell runs them:
 *     {source} {exe} {workdir} {memory_mib} {stack_mib}    and {{ }} for braces
 * Immutable once loaded, so every thread may read it. */
#ifndef CJ_JUDGE_LANGUAGE_H
#define CJ_JUDGE_LANGUAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

struct language_texts {
    const char **items;
    size_t count;
};

/* How a language's runs differ from what was asked. */
struct language_limits {
    double time_factor;          /* of CPU and wall limits; 1: none */
    uint64_t extra_memory_bytes; /* what the runtime needs for itself */
    uint64_t processes;          /* at least; a JVM has some 20 threads. 0: as asked */
};

enum { LANGUAGE_PREPARED_KEEP_MAX = 16 };

/* What makes its builds quick and is made once (judge/prepared.h). */
struct language_prepared {
    const char *command; /* makes it, in an empty work directory; NULL: there is none */
    struct language_texts
        keep; /* files that it makes, and folders ("cache/"); they lie below {prepared} */
    /* "K=V" of `build`, and of `command`, where {prepared} is the work directory; in front of the language's */
    struct language_texts env;
    const char *when; /* a text that a source must hold for it to be of use; NULL: it always is */
    struct language_texts unless; /* texts that no source may hold */
    const char *build;            /* in place of `build`; {prepared} is a folder */
};

/* Small programs, which show that a language works (cjudge languages --check). NULL: none. */
struct language_examples {
    const char *hello; /* prints "Hello, world!" */
    const char *echo;  /* prints the first line of its input, or all of it */
    const char *error; /* ends with an exit status that is not 0, or by a signal */
    const char *loop;  /* computes for ever */
    const char
        *syntax; /* does not build; NULL: brackets and quotes that nobody takes for a program */
};

/* Whose a command is, and where it runs. */
enum command_place {
    COMMAND_OURS,     /* in the container; {source} and {exe} are names in its work directory */
    COMMAND_TEMPLATE, /* the operator's, in the container; they are absolute, as code-judge's are */
    COMMAND_OUTSIDE, /* the same, on the host's side (exec/outside.h): it starts a sandbox of its own */
};

struct language {
    const char *id;   /* "cpp20" */
    const char *name; /* "C++20 (GCC)" */
    struct language_texts aliases;
    const char *source; /* file name of the program's text: "main.cpp" */
    const char *exe;    /* what {exe} stands for; NULL: not used */
    const char *build;  /* command; NULL: nothing to build */
    const char *check;  /* command that finds syntax errors of an interpreted program; NULL: none */
    const char *run;    /* command */
    enum command_place build_place, run_place; /* check is always ours */
    const char *version;            /* command whose output's first line names the version */
    struct language_texts keep;     /* files of a build that a run needs besides exe */
    struct language_texts env;      /* "K=V", for build, check and run */
    struct language_texts mounts;   /* host paths to be seen besides the default ones */
    struct language_texts packages; /* Debian packages that bring it */
    /* What has to be there besides the first words of the commands: programs, absolute paths. */
    struct language_texts needs;
    struct language_texts inputs; /* folders that builds read: headers, libraries (identity.h) */
    struct language_limits limits;
    struct language_prepared prepared;
    struct language_examples examples;
    bool first_class; /* tested by ./test */
    bool warm;        /* the interpreter that `run` begins with may be kept warm: docs/warm.md */
    struct language_texts preload; /* modules that such a one may import ahead */
};

struct languages;

/* Reads path, or what is built in when it is NULL. Errors name file, line and key. */
WARN_UNUSED int languages_load(const char *path, struct languages **out, struct cj_error *err);
void languages_free(struct languages *languages);

size_t languages_count(const struct languages *languages);
const struct language *languages_at(const struct languages *languages, size_t index);

/* By id or alias; NULL when there is none. */
const struct language *languages_find(const struct languages *languages, const char *name);

struct language_command {
    const char *text; /* NULL: the language's stays */
    enum command_place place;
};

/* Takes other commands for a language. A build that differs from that of the file is made without what the file says
 * of its preparation. The texts are borrowed until languages_free(); errors name the language. */
WARN_UNUSED int languages_override(struct languages *languages, const char *id,
                                   struct language_command build, struct language_command run,
                                   struct cj_error *err);

/* ---- commands ---- */

struct command_value {
    const char *name; /* of the placeholder */
    const char *value;
};

/* Fills a template in and splits it into words. A value is never split, and stands as one word or a
 * part of one. *words: NULL-terminated, in one allocation that the caller frees.
 * Errors (ERROR_CONFIG): an unknown placeholder, a brace or a quote that is not closed. */
WARN_UNUSED int command_words(const char *template, const struct command_value *values,
                              size_t value_count, char ***words, size_t *count,
                              struct cj_error *err);

/* The same for a text that is one word, whatever is in it; the caller frees it. */
WARN_UNUSED int command_text(const char *template, const struct command_value *values,
                             size_t value_count, char **text, struct cj_error *err);

/* Whether a template starts a sandbox of its own: docker, podman, firejail, bwrap or nsjail is its program, or that
 * of a sudo, env, timeout, nice or the like in front. Pure. */
bool command_starts_sandbox(const char *template);

#endif

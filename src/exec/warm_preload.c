/* Which of the modules that can be imported ahead a program imports: looked for in its text, which only chooses between
 * interpreters that it cannot tell apart. One that is missed is imported as ever; one that is found in vain costs
 * the memory that is shared with it, so a mere mention does not count. And where the text has a word of somebody who
 * might tell them apart after all, nothing is imported ahead, whatever the word is there for: that costs time only. */
#include <stdio.h>
#include <string.h>

#include "warm_plan.h"

enum { TEXT_MAX = 1024 * 1024 };

static bool is_part_of_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (c & 0x80) != 0;
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return at;
}

/* ---- who might tell ---- */

/* Names with which a program changes or watches how modules are found and loaded, lists what there is in memory, decides
 * what an import obeys, sees objects end, or has figures of memory that would not be those of a cold start. Ending with '*':
 * all that begin so. */
static const char *const telling[] = {
    /* finding and loading */
    "__import__",
    "__loader__",
    "__spec__",
    "_frozen_importlib*",
    "_imp",
    "builtins",
    "__builtins__",
    "imp",
    "importlib*",
    "meta_path",
    "modulefinder",
    "modules",
    "path_hooks",
    "path_importer_cache",
    "pkg_resources",
    "pkgutil",
    "reload",
    "runpy",
    "setdlopenflags",
    "zipimport",
    /* what there is */
    "__subclasses__",
    "gc",
    "getallocatedblocks",
    "getrefcount",
    "tracemalloc",
    /* what is called, and what fails */
    "addaudithook",
    "bdb",
    "cProfile",
    "pdb",
    "profile",
    "setprofile",
    "setrlimit",
    "settrace",
    /* what an import obeys */
    "NPY_*",
    "NUMPY_*",
    "environ",
    "environb",
    "putenv",
    "unsetenv",
    /* ends */
    "__del__",
    "_run_exitfuncs",
    "atexit",
    "weakref",
    /* figures of memory: what came ahead is shared with a child, or gone, and an end as usual copies it */
    "exec*",
    "fork*",
    "popen",
    "posix_spawn*",
    "spawn*",
    "IOBase",
    "distutils",
    "f2py",
    "savez*",
    "testing",
    "help",
    "info",
    "lookfor",
    "simplefilter",
    "daemon",
    "yield",
};

static bool is_telling(const char *word, size_t length)
{
    for (size_t i = 0; i < sizeof(telling) / sizeof(telling[0]); i++) {
        size_t known = strlen(telling[i]);
        bool prefix = telling[i][known - 1] == '*';
        known -= prefix;
        if ((prefix ? length >= known : length == known) && memcmp(word, telling[i], known) == 0)
            return true;
    }
    return false;
}

static bool might_tell(const char *text, size_t size)
{
    const char *end = text + size;
    for (const char *at = text; at < end;) {
        const char *stop = at;
        while (stop < end && is_part_of_name(*stop))
            stop++;
        if (stop > at && is_telling(at, (size_t)(stop - at)))
            return true;
        at = stop + (stop == at);
    }
    return false;
}

/* ---- statements that import ---- */

struct imports {
    const char *at, *end;        /* of the text, what has not been looked at */
    const char *list, *list_end; /* of a statement's modules, the same; NULL: none are left */
};

/* "word" and then no other part of a name; what follows, or NULL. */
static const char *after_word(const char *at, const char *end, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(end - at) < length || memcmp(at, word, length) != 0 ||
        (at + length < end && is_part_of_name(at[length])))
        return NULL;
    return at + length;
}

static const char *skip_name(const char *at, const char *end)
{
    while (at < end && (is_part_of_name(*at) || *at == '.'))
        at++;
    return at;
}

/* Statements begin behind line ends and semicolons, and after a colon, as in "try: import numpy". */
static const char *end_of_statement(const char *at, const char *end)
{
    while (at < end && *at != '\n' && *at != '\r' && *at != ';' && *at != ':' && *at != '#')
        at++;
    return at;
}

static const char *skip_comment(const char *at, const char *end)
{
    if (at < end && *at == '#')
        while (at < end && *at != '\n' && *at != '\r')
            at++;
    return at;
}

/* Has the modules of the next statement listed: a, b.c as d, ... Returns whether there is another statement. */
static bool next_statement(struct imports *left)
{
    if (left->at >= left->end)
        return false;
    const char *stop = end_of_statement(left->at, left->end);
    const char *at = skip_blanks(left->at, stop), *rest;
    if ((rest = after_word(at, stop, "import")) != NULL) {
        left->list = rest;
        left->list_end = stop;
    } else if ((rest = after_word(at, stop, "from")) != NULL) {
        left->list = skip_blanks(rest, stop);
        left->list_end = skip_name(left->list, stop);
    }
    left->at = skip_comment(stop, left->end) + 1;
    return true;
}

/* Returns the next module's name, with dots, which may be empty; NULL: there is none. */
static const char *next_import(struct imports *left, size_t *length)
{
    while (left->list == NULL)
        if (!next_statement(left))
            return NULL;
    const char *name = skip_blanks(left->list, left->list_end);
    *length = (size_t)(skip_name(name, left->list_end) - name);
    const char *comma = memchr(name, ',', (size_t)(left->list_end - name));
    left->list = comma != NULL ? comma + 1 : NULL;
    return name;
}

/* Whether it is that one, or one in that package. */
static bool is_in(const char *name, size_t length, const char *package, size_t package_length)
{
    return length >= package_length && memcmp(name, package, package_length) == 0 &&
           (length == package_length || name[package_length] == '.');
}

static bool program_imports(const char *text, size_t size, const char *package, size_t length)
{
    struct imports left = {.at = text, .end = text + size};
    const char *name;
    size_t name_length;
    while ((name = next_import(&left, &name_length)) != NULL)
        if (is_in(name, name_length, package, length))
            return true;
    return false;
}

/* ---- how it will end ---- */

/* Modules that change nothing about the end (share/warm/python.py, harmless) and need none that does. With any other the
 * interpreter ends as usual, which copies what came ahead: the memory of that would be counted for the run. */
static const char *const harmless[] = {
    "__future__", "abc",         "argparse",  "array",        "ast",         "base64",
    "binascii",   "bisect",      "calendar",  "cmath",        "cmd",         "code",
    "codecs",     "collections", "colorsys",  "configparser", "contextlib",  "contextvars",
    "copy",       "copyreg",     "csv",       "ctypes",       "dataclasses", "datetime",
    "decimal",    "difflib",     "dis",       "enum",         "errno",       "fcntl",
    "fnmatch",    "fractions",   "functools", "getopt",       "gettext",     "glob",
    "graphlib",   "grp",         "hashlib",   "heapq",        "hmac",        "html",
    "inspect",    "io",          "ipaddress", "itertools",    "json",        "keyword",
    "linecache",  "locale",      "marshal",   "math",         "mmap",        "numbers",
    "opcode",     "operator",    "optparse",  "os",           "pathlib",     "pickle",
    "platform",   "posix",       "posixpath", "pprint",       "pwd",         "queue",
    "random",     "re",          "reprlib",   "resource",     "sched",       "secrets",
    "select",     "shlex",       "signal",    "stat",         "string",      "struct",
    "sys",        "textwrap",    "threading", "time",         "token",       "tokenize",
    "traceback",  "types",       "typing",    "unicodedata",  "uuid",        "warnings",
    "zlib",
};

static bool is_harmless(const struct exec_warm *warm, const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
        if (is_in(name, length, harmless[i], strlen(harmless[i])))
            return true;
    for (const char *ahead = warm->preload; *ahead != '\0'; ahead += strspn(ahead, ",")) {
        size_t ahead_length = strcspn(ahead, ",");
        if (is_in(name, length, ahead, ahead_length))
            return true;
        ahead += ahead_length;
    }
    return length == 0;
}

static bool ends_as_usual(const struct exec_warm *warm, const char *text, size_t size)
{
    struct imports left = {.at = text, .end = text + size};
    const char *name;
    size_t length;
    while ((name = next_import(&left, &length)) != NULL)
        if (!is_harmless(warm, name, length))
            return true;
    return false;
}

/* ---- the script ---- */

static bool has_suffix(const char *name, const char *suffix)
{
    size_t length = strlen(name), least = strlen(suffix);
    return length >= least && strcmp(name + length - least, suffix) == 0;
}

/* What stands beside the script is imported before anything else of that name. */
static bool may_shadow(const struct exec_copy_in *file)
{
    return file->kind == EXEC_COPY_SYMLINK || strchr(file->name, '/') != NULL ||
           has_suffix(file->name, ".py") || has_suffix(file->name, ".pyc") ||
           has_suffix(file->name, ".so");
}

/* The script as it was sent; NULL when it is not at hand, or something beside it might be imported. */
static const struct exec_copy_in *find_script(const struct exec_warm *warm,
                                              const struct exec_request *request)
{
    const char *script = warm_script(warm, request);
    const struct exec_copy_in *found = NULL;
    for (size_t i = 0; i < request->copy_in_count; i++) {
        if (strcmp(request->copy_in[i].name, script) == 0)
            found = &request->copy_in[i];
        else if (may_shadow(&request->copy_in[i]))
            return NULL;
    }
    bool readable = found != NULL && found->kind == EXEC_COPY_CONTENT && found->size <= TEXT_MAX;
    return readable ? found : NULL;
}

const char *warm_preload(const struct exec_warm *warm, const struct exec_request *request,
                         char out[static WARM_PRELOAD_SIZE])
{
    const struct exec_copy_in *script = NULL;
    size_t used = 0;
    out[0] = '\0';
    /* The tables for what came ahead lie in the same address space. */
    if (warm->preload != NULL && warm->preload[0] != '\0' && !request->limits.address_space &&
        !request->limits.data_segment)
        script = find_script(warm, request);
    if (script == NULL)
        return NULL;
    for (const char *name = warm->preload; *name != '\0'; name += strspn(name, ",")) {
        size_t length = strcspn(name, ",");
        if (used + length + 2 <= WARM_PRELOAD_SIZE &&
            program_imports(script->data, script->size, name, length))
            used += (size_t)snprintf(out + used, WARM_PRELOAD_SIZE - used, "%s%.*s",
                                     used > 0 ? "," : "", (int)length, name);
        name += length;
    }
    /* Most scripts import none, so what looks at every word of it comes last. */
    if (used == 0 || ends_as_usual(warm, script->data, script->size) ||
        might_tell(script->data, script->size))
        return NULL;
    return out;
}

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
 * what an import obeys, or sees objects end. Ending with '*': all that begin so. */
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

/* "word" and then no other part of a name; what follows, or NULL. */
static const char *after_word(const char *at, const char *end, const char *word, size_t length)
{
    if ((size_t)(end - at) < length || memcmp(at, word, length) != 0 ||
        (at + length < end && is_part_of_name(at[length])))
        return NULL;
    return at + length;
}

/* a, b.c as d, ... */
static bool lists(const char *at, const char *end, const char *name, size_t length)
{
    while (at < end) {
        at = skip_blanks(at, end);
        if (after_word(at, end, name, length) != NULL)
            return true;
        at = memchr(at, ',', (size_t)(end - at));
        if (at == NULL)
            return false;
        at++;
    }
    return false;
}

static bool statement_imports(const char *at, const char *end, const char *name, size_t length)
{
    at = skip_blanks(at, end);
    const char *rest = after_word(at, end, "import", strlen("import"));
    if (rest != NULL)
        return lists(rest, end, name, length);
    rest = after_word(at, end, "from", strlen("from"));
    return rest != NULL && after_word(skip_blanks(rest, end), end, name, length) != NULL;
}

/* Statements begin behind line ends and semicolons, and after a colon, as in "try: import numpy". */
static bool program_imports(const char *text, size_t size, const char *name, size_t length)
{
    const char *end = text + size;
    for (const char *at = text; at < end;) {
        const char *stop = at;
        while (stop < end && *stop != '\n' && *stop != '\r' && *stop != ';' && *stop != ':' &&
               *stop != '#')
            stop++;
        if (statement_imports(at, stop, name, length))
            return true;
        if (stop < end && *stop == '#')
            while (stop < end && *stop != '\n' && *stop != '\r')
                stop++;
        at = stop + 1;
    }
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
    if (warm->preload != NULL && warm->preload[0] != '\0')
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
    /* Most scripts import none, so this look at every word of it comes last. */
    return used > 0 && !might_tell(script->data, script->size) ? out : NULL;
}

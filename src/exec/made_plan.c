/* Which collector files can be made when the run starts. */
#include "made_plan.h"

#include <limits.h>
#include <string.h>

#include "path.h"

static bool is_plain(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length <= NAME_MAX && strchr(name, '/') == NULL &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static bool is_collector(const struct exec_file *file)
{
    return file->kind == EXEC_FILE_COLLECT || file->kind == EXEC_FILE_COLLECT_FILE;
}

/* Not one that shares an earlier one's file. */
static bool is_first(const struct exec_request *request, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (is_collector(&request->files[k]) &&
            strcmp(request->files[k].name, request->files[i].name) == 0)
            return false;
    return true;
}

/* Whether name leads to the file of that name in the work directory, or below it. */
static bool leads_to(const char *work_dir, const char *name, const char *file)
{
    char wanted[EXEC_PATH_MAX], path[EXEC_PATH_MAX];
    if (exec_path_resolve(work_dir, name, path) < 0 ||
        exec_path_resolve(work_dir, file, wanted) < 0)
        return false; /* nothing comes of it */
    size_t length = strlen(wanted);
    return strncmp(path, wanted, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static bool is_copied_out(const struct exec_copy_out *items, size_t count, const char *work_dir,
                          const char *file)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(items[i].name, file) != 0 && leads_to(work_dir, items[i].name, file))
            return true; /* by its own name the collector's output is meant, not the file */
    return false;
}

static bool is_used(const struct exec_request *request, const char *work_dir, const char *file)
{
    for (size_t i = 0; i < request->copy_in_count; i++)
        if (leads_to(work_dir, request->copy_in[i].name, file))
            return true;
    return is_copied_out(request->copy_out, request->copy_out_count, work_dir, file) ||
           is_copied_out(request->copy_out_cached, request->copy_out_cached_count, work_dir, file);
}

bool made_plan(const struct exec_request *request, const char *work_dir)
{
    size_t count = 0;
    if (request->tty) /* nothing is made then */
        return false;
    for (size_t i = 0; i < request->file_count; i++) {
        const struct exec_file *file = &request->files[i];
        if (file->kind != EXEC_FILE_COLLECT_FILE || !is_first(request, i))
            continue;
        if (++count > CONTAINER_MADE_MAX || !is_plain(file->name) ||
            is_used(request, work_dir, file->name))
            return false;
    }
    return true;
}

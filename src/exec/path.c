/* Container paths, in text. */
#include "path.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* Appends the parts of text to out, which holds used bytes of "/a/b". Returns the new length or -1. */
static long append_parts(char out[EXEC_PATH_MAX], size_t used, const char *text)
{
    while (*text != '\0') {
        size_t length = strcspn(text, "/");
        bool skip = length == 0 || (length == 1 && text[0] == '.');
        if (length == 2 && text[0] == '.' && text[1] == '.') {
            while (used > 0 && out[--used] != '/')
                continue;
        } else if (!skip) {
            if (used + length + 2 > EXEC_PATH_MAX) {
                errno = ENAMETOOLONG;
                return -1;
            }
            out[used++] = '/';
            memcpy(out + used, text, length);
            used += length;
        }
        text += length;
        text += strspn(text, "/");
    }
    return (long)used;
}

int exec_path_resolve(const char *work_dir, const char *name, char out[EXEC_PATH_MAX])
{
    if (*name == '\0') {
        errno = ENOENT;
        return -1;
    }
    long used = *name == '/' ? 0 : append_parts(out, 0, work_dir);
    if (used >= 0)
        used = append_parts(out, (size_t)used, name);
    if (used < 0)
        return -1;
    if (used == 0) {
        errno = EISDIR;
        return -1;
    }
    out[used] = '\0';
    return 0;
}

/* The strings of a mount configuration, checked. */
#include "mount_text.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

enum { HOST_NAME_SIZE_MAX = 64 }; /* __NEW_UTS_LEN, sethostname(2) */

int mount_text_copy(const char *text, char **out, struct cj_error *err)
{
    char *copy = strdup(text);
    if (copy == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "out of memory");
    free(*out);
    *out = copy;
    return 0;
}

/* ---- paths ---- */

int mount_text_path(const char *path, char **out, struct cj_error *err)
{
    if (path[0] == '\0')
        return error_set(err, ERROR_CONFIG, 0, "the path is empty");
    if (strlen(path) + 2 > PATH_MAX)
        return error_set(err, ERROR_CONFIG, 0, "the path is longer than %d bytes", PATH_MAX - 2);
    char clean[PATH_MAX] = "";
    size_t used = 0;
    while (*path != '\0') {
        size_t length = strcspn(path, "/");
        if (length == 2 && path[0] == '.' && path[1] == '.')
            return error_set(err, ERROR_CONFIG, 0, "the path must not contain '..'");
        if (length > NAME_MAX)
            return error_set(err, ERROR_CONFIG, 0, "a name in the path is longer than %d bytes",
                             NAME_MAX);
        if (length > 0 && !(length == 1 && path[0] == '.')) {
            clean[used++] = '/';
            memcpy(clean + used, path, length);
            used += length;
        }
        path += length;
        path += strspn(path, "/");
    }
    clean[used] = '\0';
    return mount_text_copy(used == 0 ? "/" : clean, out, err);
}

int mount_text_path_below_root(const char *path, char **out, struct cj_error *err)
{
    if (mount_text_path(path, out, err) < 0)
        return -1;
    if (strcmp(*out, "/") == 0)
        return error_set(err, ERROR_CONFIG, 0, "the path is the container's root itself");
    return 0;
}

int mount_text_host_path(const char *path, char **out, struct cj_error *err)
{
    if (path[0] == '\0')
        return error_set(err, ERROR_CONFIG, 0, "the path is empty");
    if (path[0] == '/')
        return mount_text_copy(path, out, err);
    auto_free char *current = getcwd(NULL, 0);
    if (current == NULL)
        return error_errno(err, "find the current directory");
    char *joined;
    if (asprintf(&joined, "%s/%s", current, path) < 0)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "out of memory");
    free(*out);
    *out = joined;
    return 0;
}

int mount_text_target(const char *path, char **out, struct cj_error *err)
{
    auto_free char *absolute = NULL;
    if (mount_text_path_below_root(path, &absolute, err) < 0)
        return -1;
    return mount_text_copy(absolute + 1, out, err);
}

int mount_text_link_target(const char *text, char **out, struct cj_error *err)
{
    if (text[0] == '\0' || strlen(text) >= PATH_MAX)
        return error_set(err, ERROR_CONFIG, 0, "a link needs 1 to %d bytes", PATH_MAX - 1);
    return mount_text_copy(text, out, err);
}

int mount_text_host_name(const char *text, char **out, struct cj_error *err)
{
    if (strlen(text) > HOST_NAME_SIZE_MAX)
        return error_set(err, ERROR_CONFIG, 0, "the name is longer than %d bytes",
                         HOST_NAME_SIZE_MAX);
    return mount_text_copy(text, out, err);
}

/* ---- tmpfs options ---- */

/* A positive number with one of the suffixes behind it (any case); "0" would mean no limit. */
static bool is_amount(const char *text, size_t size, const char *suffixes)
{
    size_t digits = 0;
    bool positive = false;
    while (digits < size && text[digits] >= '0' && text[digits] <= '9')
        positive |= text[digits++] != '0';
    if (!positive || digits > 15)
        return false;
    return digits == size ||
           (digits + 1 == size && strchr(suffixes, tolower((unsigned char)text[digits])) != NULL);
}

static bool is_octal(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] < '0' || text[i] > '7')
            return false;
    return size > 0 && size <= 5;
}

/* Checks one "name=value" of tmpfs(5). What is left out: uid and gid (the run's), and what does not
 * limit anything. */
static bool is_tmpfs_option(const char *option, size_t size)
{
    const char *equals = memchr(option, '=', size);
    if (equals == NULL)
        return false;
    size_t name = (size_t)(equals - option);
    const char *value = equals + 1;
    size_t length = size - name - 1;
    if (name == 4 && memcmp(option, "size", 4) == 0)
        return is_amount(value, length, "kmgtpe%");
    if (name == 9 && memcmp(option, "nr_blocks", 9) == 0)
        return is_amount(value, length, "kmg");
    if (name == 9 && memcmp(option, "nr_inodes", 9) == 0)
        return is_amount(value, length, "kmg");
    if (name == 4 && memcmp(option, "mode", 4) == 0)
        return is_octal(value, length);
    return false;
}

int mount_text_tmpfs_data(const char *text, char **out, struct cj_error *err)
{
    for (const char *next = text; text[0] != '\0'; next++) {
        size_t length = strcspn(next, ",");
        if (!is_tmpfs_option(next, length))
            return error_set(err, ERROR_CONFIG, 0,
                             "'%.*s' is not an option of tmpfs: write size=128m, nr_inodes=4k, "
                             "nr_blocks=4k or mode=1777, separated by commas",
                             (int)(length > 100 ? 100 : length), next);
        next += length;
        if (*next == '\0')
            break;
    }
    return mount_text_copy(text, out, err);
}

static const char *find_option(const char *options, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = options; *at != '\0'; at += strcspn(at, ",")) {
        at += *at == ',';
        if (strncmp(at, name, length) == 0 && at[length] == '=')
            return at;
    }
    return NULL;
}

static int add_option(const char *option, char **options, struct cj_error *err)
{
    char *longer;
    if (asprintf(&longer, "%s%s%.*s", *options, **options != '\0' ? "," : "",
                 (int)strcspn(option, ","), option) < 0)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "out of memory");
    free(*options);
    *options = longer;
    return 0;
}

int mount_text_tmpfs_caps(const char *defaults, char **options, struct cj_error *err)
{
    const char *bytes = find_option(defaults, "size");
    const char *inodes = find_option(defaults, "nr_inodes");
    if (bytes != NULL && find_option(*options, "size") == NULL &&
        find_option(*options, "nr_blocks") == NULL && add_option(bytes, options, err) < 0)
        return -1;
    if (inodes != NULL && find_option(*options, "nr_inodes") == NULL)
        return add_option(inodes, options, err);
    return 0;
}

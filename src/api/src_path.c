/* Host files that requests name as `src`. */
#include "src_path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "exec/exec.h"

bool src_path_below(const char *prefix, const char *path)
{
    size_t length = strlen(prefix);
    while (length > 0 && prefix[length - 1] == '/')
        length--; /* "/" is the prefix of everything */
    return strncmp(path, prefix, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

/* Out of descriptors is nobody's request. */
static enum error_domain whose(int code)
{
    return code == EMFILE || code == ENFILE || code == ENOMEM ? ERROR_SYSTEM : ERROR_REQUEST;
}

/* errno's text as Go writes it: in lower case. */
static int fail(struct cj_error *err, const char *action, const char *path)
{
    int code = errno;
    char text[128];
    snprintf(text, sizeof(text), "%s", strerrordesc_np(code) ? strerrordesc_np(code) : "error");
    if (text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'a' && text[1] <= 'z')
        text[0] = (char)(text[0] - 'A' + 'a');
    return error_set(err, whose(code), code, "%s %s: %s", action, path, text);
}

static int refuse(const struct option_list *prefixes, const char *path, struct cj_error *err)
{
    auto_buf struct buf list = {.limit = 512};
    for (size_t i = 0; i < prefixes->count; i++)
        buf_printf(&list, "%s%s", i > 0 ? " " : "", prefixes->items[i]);
    return error_set(err, ERROR_REQUEST, EACCES, "file (%s) does not under ([%.*s])", path,
                     (int)list.size, list.size > 0 ? list.data : "");
}

/* A prefix that does not exist (yet) allows nothing. */
static bool allowed(const struct option_list *prefixes, const char *resolved)
{
    for (size_t i = 0; i < prefixes->count; i++) {
        auto_free char *prefix = realpath(prefixes->items[i], NULL);
        if (prefix != NULL && src_path_below(prefix, resolved))
            return true;
    }
    return false;
}

int src_path_open(const struct option_list *prefixes, const char *path, int *place_fd,
                  struct cj_error *err)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC};
    auto_free char *resolved = NULL;
    if (prefixes->count > 0) {
        resolved = realpath(path, NULL);
        if (resolved == NULL)
            return fail(err, "lstat", path);
        if (!allowed(prefixes, resolved))
            return refuse(prefixes, path, err);
        how.resolve = RESOLVE_NO_SYMLINKS;
    }
    int fd =
        (int)syscall(SYS_openat2, AT_FDCWD, resolved != NULL ? resolved : path, &how, sizeof(how));
    if (fd < 0)
        return fail(err, "open", path);
    *place_fd = fd;
    return 0;
}

static void link_of(int fd, char link[static 64])
{
    snprintf(link, 64, "/proc/self/fd/%d", fd);
}

int src_path_open_input(const struct option_list *prefixes, const char *path, int *fd,
                        struct cj_error *err)
{
    auto_fd int place = -1;
    char link[64];
    struct cj_error why = {0};
    if (src_path_open(prefixes, path, &place, err) < 0)
        return -1;
    link_of(place, link);
    if (exec_open_input(link, fd, &why) == 0)
        return 0;
    const char *reason = strstr(why.message, link); /* "open LINK: reason" */
    reason = reason != NULL ? reason + strlen(link) : why.message;
    return error_set(err, whose(why.code), why.code, "open %s: %s", path,
                     reason + strspn(reason, ": "));
}

int src_path_open_copy(const struct option_list *prefixes, const char *path, int *fd,
                       struct cj_error *err)
{
    auto_fd int place = -1;
    char link[64];
    struct stat info;
    if (src_path_open(prefixes, path, &place, err) < 0)
        return -1;
    if (fstat(place, &info) < 0)
        return fail(err, "stat", path);
    if (!S_ISREG(info.st_mode) && !exec_is_null_device(&info)) {
        errno = S_ISDIR(info.st_mode) ? EISDIR : EINVAL;
        return fail(err, "read", path);
    }
    link_of(place, link);
    int opened = open(link, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (opened < 0)
        return fail(err, "open", path);
    *fd = opened;
    return 0;
}

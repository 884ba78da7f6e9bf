/* Files that others put into the directory of a store, and names that outlive this process. */
#include "scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/fd.h"

#define NAME_ATTRIBUTE "user.cjudge.name"

/* Best effort: a file system without attributes, or with room for short ones only, loses the name at the
 * end of the process, and the file then counts as put there by others. */
void scan_keep_name(int fd, const char *name)
{
    (void)fsetxattr(fd, NAME_ATTRIBUTE, name, strlen(name), 0);
}

bool scan_kept_name(int fd, char name[static SCAN_NAME_SIZE])
{
    ssize_t size = fgetxattr(fd, NAME_ATTRIBUTE, name, SCAN_NAME_SIZE - 1);
    name[size > 0 ? size : 0] = '\0';
    return size >= 0;
}

int scan_directory(int dir_fd, void (*visit)(void *arg, const char *id), void *arg,
                   struct cj_error *err)
{
    auto_fd int copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = copy >= 0 ? fdopendir(copy) : NULL;
    if (directory == NULL)
        return error_errno(err, "read the directory");
    (void)fd_take(&copy); /* closedir() closes it */
    errno = 0;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL; errno = 0)
        visit(arg, entry->d_name);
    int result = errno != 0 ? error_errno(err, "read the directory") : 0;
    closedir(directory);
    return result;
}

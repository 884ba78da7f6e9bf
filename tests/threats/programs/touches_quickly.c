/* Changes the writable directories at once after the start, in the way argv[1], without a net change in
 * what they use. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sandboxed.h"

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    const char *const folders[] = {"/w", "/tmp", "/dev/shm"};
    for (int i = 0; i < 3; i++) {
        if (chdir(folders[i]) < 0)
            return 3;
        if (strcmp(how, "write") == 0)
            close(open("left", O_CREAT | O_WRONLY, 0600));
        else if (strcmp(how, "mode") == 0)
            chmod(".", 0755);
        else if (strcmp(how, "times") == 0)
            utimensat(AT_FDCWD, ".", NULL, 0);
        else if (strcmp(how, "xattr") == 0)
            setxattr(".", "user.probe", "x", 1, 0);
        else if (strcmp(how, "entry_and_back") == 0) {
            close(open("x", O_CREAT | O_WRONLY, 0600));
            unlink("x");
        } else if (strcmp(how, "swap_names") == 0) {
            mkdir("one", 0700);
            rename("one", "two");
            rmdir("two");
        }
    }
    return 0;
}

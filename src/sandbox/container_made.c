/* Files that are made for a run: how much they hold while it goes on.
 *
 * Init has them open, but to ask it again and again would take CPU time from the program. So it is asked once, for
 * the work directory, and what lies there is looked at from here. A program may rename or remove its files, or put others in
 * their places: those are not counted. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "container_state.h"
#include "sandbox_private.h"

bool container_makes_files(const struct container *container)
{
    return container->sandbox->own_work_dir;
}

void container_forget_made(struct container *container)
{
    for (unsigned i = 0; i < INIT_MADE_MAX; i++)
        fd_close(&container->made_fds[i]);
    fd_close(&container->made_place);
}

static int find_made(struct container *container)
{
    struct init_request request = {.op = INIT_OP_MADE};
    struct init_answer answer;
    struct cj_error ignored; /* whoever comes next learns that the container is broken */
    if (container_ask(container, &request, -1, &answer, &container->made_place, &ignored) < 0)
        return -1;
    memcpy(container->made_inodes, answer.made_inodes, sizeof(container->made_inodes));
    return container->made_place >= 0 ? 0 : -1;
}

int container_look_at_made(struct container *container, uint64_t bytes[static CONTAINER_MADE_MAX])
{
    if (container->made_place < 0 && find_made(container) < 0)
        return -1;
    for (uint32_t i = 0; i < CONTAINER_MADE_MAX; i++) {
        struct stat info;
        bool there = i < container->made_count &&
                     fstatat(container->made_place, container->made_names[i], &info,
                             AT_SYMLINK_NOFOLLOW) == 0 &&
                     S_ISREG(info.st_mode) && info.st_ino == container->made_inodes[i];
        bytes[i] = there ? (uint64_t)info.st_size : 0;
    }
    return 0;
}

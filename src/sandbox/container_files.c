/* Asking a container's janitor: files in and out. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "container_channel.h"
#include "container_state.h"

enum { HELD_CONTAINERS_MAX = 32 }; /* each has one of its user's inotify instances, mostly 128 */
static unsigned held_containers;

#define ANSWER_TIMEOUT (10 * NS_PER_S) /* the janitor; opening files, mounting tmpfs */

int container_break(struct container *container, struct cj_error *err, const char *what)
{
    container->broken = true;
    return error_wrap(err, "%s", what);
}

int container_ask(struct container *container, struct init_request *request, int pass_fd,
                  struct init_answer *answer, int *got_fd, struct cj_error *err)
{
    request->magic = INIT_MAGIC;
    request->sequence = ++container->sequence;
    if (got_fd != NULL)
        *got_fd = -1;
    if (container->cgroup != NULL)
        cgroup_disturbed(container->cgroup);
    if (channel_send(container->files_fd, request, sizeof(*request), &pass_fd, pass_fd >= 0, err) <
            0 ||
        channel_receive(container->files_fd, answer, sizeof(*answer), got_fd, ANSWER_TIMEOUT, err) <
            0)
        return container_break(container, err, "ask the container's init");
    if (answer->magic != INIT_MAGIC || answer->sequence != request->sequence) {
        error_set(err, ERROR_INTERNAL, EPROTO, "an answer to another question");
        return container_break(container, err, "ask the container's init");
    }
    return 0;
}

/* Puts a text into the arena for the request that follows. */
static int put_path(struct container *container, uint32_t at, const char *path, uint32_t *offset,
                    uint32_t *length, struct cj_error *err)
{
    size_t size = strlen(path);
    if (size == 0) /* as symlink(2) has it of an empty target */
        return error_set(err, ERROR_REQUEST, ENOENT, "%s", strerror(ENOENT));
    if (size >= INIT_PATH_MAX)
        return error_set(err, ERROR_REQUEST, ENAMETOOLONG, "File name too long");
    memcpy(container->arena + at, path, size + 1);
    *offset = at;
    *length = (uint32_t)size;
    return 0;
}

static int ask_about_path(struct container *container, enum init_op op, const char *path,
                          const char *target, struct init_answer *answer, int *fd,
                          struct cj_error *err)
{
    struct init_request request = {.op = op};
    while (*path == '/')
        path++;
    if (put_path(container, 0, *path ? path : ".", &request.path_offset, &request.path_length,
                 err) < 0)
        return -1;
    if (target != NULL && put_path(container, INIT_PATH_MAX, target, &request.target_offset,
                                   &request.target_length, err) < 0)
        return -1;
    return container_ask(container, &request, -1, answer, fd, err);
}

int container_answer_error(const struct init_answer *answer, struct cj_error *err)
{
    return error_set(err, ERROR_REQUEST, answer->error, "%s", strerror(answer->error));
}

/* What is made from now on has to be removed before the run after this one. */
static int begin_copying(struct container *container, struct cj_error *err)
{
    if (!container->copied_in && container->cgroup != NULL &&
        cgroup_lift_memory(container->cgroup, err) < 0)
        return -1;
    container->copied_in = true;
    return 0;
}

int container_open_in(struct container *container, const char *path, int *fd, struct cj_error *err)
{
    struct init_answer answer;
    auto_fd int place = -1;
    if (begin_copying(container, err) < 0 ||
        ask_about_path(container, INIT_OP_OPEN_IN, path, NULL, &answer, &place, err) < 0)
        return -1;
    if (answer.error != 0)
        return container_answer_error(&answer, err);
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", place);
    *fd = open(link, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (*fd < 0)
        return error_set(err, ERROR_REQUEST, errno, "%s", strerror(errno));
    return 0;
}

/* What lies there from now on; 0: nothing. */
static void set_held(struct container *container, uint64_t key)
{
    bool holds = container->held.key != 0;
    if (holds && key == 0)
        __atomic_sub_fetch(&held_containers, 1, __ATOMIC_RELAXED);
    if (!holds && key != 0)
        __atomic_add_fetch(&held_containers, 1, __ATOMIC_RELAXED);
    container->held.key = key;
}

void container_forget_held(struct container *container)
{
    set_held(container, 0);
    container->held.wanted = false;
}

int container_want_held(struct container *container, const char *path, uint64_t key, bool *there,
                        struct cj_error *err)
{
    struct container_held *held = &container->held;
    struct init_request request = {.op = INIT_OP_RESET};
    struct init_answer answer;
    *there = key != 0 && held->key == key && strcmp(held->path, path) == 0;
    held->wanted = *there;
    if (held->key == 0 || *there)
        return 0;
    container_forget_held(container);
    if (container_ask(container, &request, -1, &answer, NULL, err) < 0)
        return -1;
    if (answer.error == 0)
        return 0;
    error_set(err, ERROR_INTERNAL, answer.error, "%s", strerror(answer.error));
    return container_break(container, err, "remove a held file");
}

int container_hold(struct container *container, const char *path, uint64_t key,
                   struct cj_error *err)
{
    struct container_held *held = &container->held;
    struct init_answer answer;
    bool again = held->key_before == key;
    held->key_before = key;
    if (!again || held->refused || held->key != 0 || held->key_lost == key ||
        strlen(path) >= sizeof(held->path) ||
        __atomic_load_n(&held_containers, __ATOMIC_RELAXED) >= HELD_CONTAINERS_MAX)
        return 0;
    if (ask_about_path(container, INIT_OP_HOLD, path, NULL, &answer, NULL, err) < 0)
        return -1;
    held->refused = answer.error != 0;
    if (held->refused)
        return 0;
    memcpy(held->path, path, strlen(path) + 1);
    set_held(container, key);
    held->wanted = true;
    return 0;
}

int container_symlink(struct container *container, const char *path, const char *target,
                      struct cj_error *err)
{
    struct init_answer answer;
    if (begin_copying(container, err) < 0 ||
        ask_about_path(container, INIT_OP_SYMLINK, path, target, &answer, NULL, err) < 0)
        return -1;
    return answer.error != 0 ? container_answer_error(&answer, err) : 0;
}

int container_open_out(struct container *container, const char *path, int *fd, bool *not_regular,
                       struct cj_error *err)
{
    struct init_answer answer;
    *not_regular = false;
    if (container->lost)
        return error_set(err, ERROR_REQUEST, ENOENT, "%s", strerror(ENOENT));
    if (ask_about_path(container, INIT_OP_OPEN_OUT, path, NULL, &answer, fd, err) < 0)
        return -1;
    *not_regular = answer.detail != 0;
    return answer.error != 0 ? container_answer_error(&answer, err) : 0;
}

int container_open_folder(struct container *container, const char *path, int *fd,
                          struct cj_error *err)
{
    struct init_answer answer;
    if (container->lost)
        return error_set(err, ERROR_REQUEST, ENOENT, "%s", strerror(ENOENT));
    if (ask_about_path(container, INIT_OP_OPEN_FOLDER, path, NULL, &answer, fd, err) < 0)
        return -1;
    return answer.error != 0 ? container_answer_error(&answer, err) : 0;
}

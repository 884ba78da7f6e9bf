/* A run's request: where it comes from nobody may be trusted more than needs be, so every number in it is checked. */
#include <errno.h>
#include <stddef.h>
#include <unistd.h>

#include "launch.h"

struct run run;

/* Offsets become pointers in place: the arena is ours while the request lasts. Strings begin behind the
 * tables, or they would change meanwhile. */
char **launch_pointers(uint64_t *offsets, uint32_t count, uint64_t begin, uint32_t used)
{
    for (uint32_t i = 0; i < count; i++) {
        if (offsets[i] < begin || offsets[i] >= used)
            return NULL;
        offsets[i] = (uint64_t)(uintptr_t)(self.arena + offsets[i]);
    }
    if (offsets[count] != 0)
        return NULL;
    return (char **)offsets;
}

bool request_whole(size_t size)
{
    const size_t least = offsetof(struct init_exec, descriptors);
    return size >= least && run.request.descriptor_count <= INIT_DESCRIPTORS_MAX &&
           size == least + run.request.descriptor_count * sizeof(run.request.descriptors[0]);
}

static bool made_valid(uint64_t table)
{
    const struct init_exec *request = &run.request;
    if (request->made_count > INIT_MADE_MAX)
        return false;
    for (uint32_t i = 0; i < request->made_count; i++) {
        uint32_t offset = request->made_offsets[i];
        if (offset < table || offset >= request->arena_used ||
            !made_name_valid(self.arena + offset, request->arena_used - offset))
            return false;
        run.made[i] = self.arena + offset;
    }
    return true;
}

bool request_valid(int passed_count)
{
    struct init_exec *request = &run.request;
    uint64_t table = ((uint64_t)request->arg_count + request->env_count + 2) * sizeof(uint64_t);
    if (request->magic != INIT_MAGIC || request->arg_count == 0 ||
        request->arena_used > INIT_MADE_OFFSET || table >= request->arena_used ||
        self.arena[request->arena_used - 1] != '\0' ||
        request->descriptor_count > INIT_DESCRIPTORS_MAX ||
        request->passed_count != (uint32_t)passed_count ||
        (request->path_offset != 0 && request->path_offset < table) ||
        request->path_offset >= request->arena_used || request->flags >= RUN_FLAGS_END ||
        request->warm >= INIT_WARM_MAX || request->rlimit_mask >= 1U << INIT_RLIMIT_COUNT ||
        !made_valid(table))
        return false;
    for (uint32_t i = 0; i < request->descriptor_count; i++) {
        struct init_descriptor from = request->descriptors[i];
        if (from.source > INIT_SOURCE_MADE ||
            (from.source == INIT_SOURCE_MADE && from.index >= request->made_count) ||
            (from.source == INIT_SOURCE_PASSED && from.index >= request->passed_count) ||
            (from.source == INIT_SOURCE_KEPT &&
             (from.index >= INIT_KEPT_COUNT || self.kept[from.index] < 0)))
            return false;
    }
    uint64_t *offsets = (uint64_t *)(void *)self.arena;
    run.args = launch_pointers(offsets, request->arg_count, table, request->arena_used);
    run.environment = launch_pointers(offsets + request->arg_count + 1, request->env_count, table,
                                      request->arena_used);
    run.path = request->path_offset != 0 ? self.arena + request->path_offset : NULL;
    return run.args != NULL && run.environment != NULL;
}

int request_receive(int exec_fd)
{
    struct init_passed passed;
    ssize_t got;
    do
        got = read(exec_fd, &run.request, sizeof(run.request));
    while (got < 0 && errno == EINTR);
    if (got == 0)
        _exit(0); /* the service is gone */
    if (got < 0 || !request_whole((size_t)got))
        give_up("a request of the wrong size");
    if (run.request.passed_count == 0)
        return 0;
    int count =
        message_receive(INIT_FD_RUN, &passed, sizeof(passed), run.passed, INIT_DESCRIPTORS_MAX);
    if (count < 0)
        _exit(0);
    if (passed.magic != INIT_MAGIC || passed.sequence != run.request.sequence)
        give_up("descriptors of another request");
    return count;
}

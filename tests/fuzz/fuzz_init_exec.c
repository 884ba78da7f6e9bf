/* A run's request to init: the header and the arena are arbitrary; what request_valid() takes becomes an
 * argv and env of strings that end inside of the arena. Input: struct init_exec, then the arena. */
#include <stdlib.h>
#include <string.h>

#include "launch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static char *arena_end; /* of what the request says is used */

static void check_strings(char **strings, uint32_t count, uint64_t table)
{
    for (uint32_t i = 0; i < count; i++) {
        require(strings[i] >= self.arena + table && strings[i] < arena_end);
        require(memchr(strings[i], '\0', (size_t)(arena_end - strings[i])) != NULL);
    }
    require(strings[count] == NULL);
}

static void check(void)
{
    const struct init_exec *request = &run.request;
    uint64_t table = ((uint64_t)request->arg_count + request->env_count + 2) * sizeof(uint64_t);
    arena_end = self.arena + request->arena_used;
    require(request->arena_used <= INIT_MADE_OFFSET && table < request->arena_used);
    require(request->arg_count > 0);
    check_strings(run.args, request->arg_count, table);
    check_strings(run.environment, request->env_count, table);
    if (run.path != NULL)
        require(run.path >= self.arena + table && run.path < arena_end &&
                memchr(run.path, '\0', (size_t)(arena_end - run.path)) != NULL);
    require(request->descriptor_count <= INIT_DESCRIPTORS_MAX);
    for (uint32_t i = 0; i < request->descriptor_count; i++) {
        struct init_descriptor from = request->descriptors[i];
        require(from.source != INIT_SOURCE_PASSED || from.index < request->passed_count);
        require(from.source != INIT_SOURCE_KEPT ||
                (from.index < INIT_KEPT_COUNT && self.kept[from.index] >= 0));
        require(from.source != INIT_SOURCE_MADE || from.index < request->made_count);
        require(from.source <= INIT_SOURCE_MADE);
    }
    require(request->made_count <= INIT_MADE_MAX);
    for (uint32_t i = 0; i < request->made_count; i++)
        require(run.made[i] >= self.arena + table && run.made[i] < arena_end &&
                memchr(run.made[i], '\0', (size_t)(arena_end - run.made[i])) != NULL);
}

/* argv {"a", "b"}, env {"PATH=/"}: where mutations begin. */
static size_t example(uint8_t *data)
{
    struct {
        struct init_exec request;
        uint64_t slots[5];
        char strings[11];
    } __attribute__((packed)) message = {
        .request = {.magic = INIT_MAGIC,
                    .arg_count = 2,
                    .env_count = 1,
                    .arena_used = 51,
                    .path_offset = 49,
                    .descriptor_count = 3,
                    .descriptors = {{INIT_SOURCE_KEPT, 0}, {INIT_SOURCE_KEPT, 2}}},
        .slots = {40, 42, 0, 44, 0},
        .strings = "a\0b\0PATH=/",
    };
    memcpy(data, &message, sizeof(message));
    return sizeof(message);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    if (size <= sizeof(struct init_exec) && max_size >= 2048)
        return example(data);
    size_t new_size = LLVMFuzzerMutate(data, size, max_size);
    struct init_exec request;
    if (seed % 16 == 0 || new_size <= sizeof(request))
        return new_size;
    memcpy(&request, data, sizeof(request)); /* let most of them get further */
    request.magic = INIT_MAGIC;
    if (seed % 4 != 0) {
        request.arena_used = (uint32_t)(new_size - sizeof(request));
        data[new_size - 1] = '\0';
    }
    if (seed % 3 != 0) {
        request.arg_count %= 8;
        request.env_count %= 8;
    }
    memcpy(data, &request, sizeof(request));
    return new_size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (self.arena == NULL) {
        self.arena = malloc(INIT_ARENA_SIZE);
        require(self.arena != NULL);
        memset(self.arena, 'x', INIT_ARENA_SIZE); /* no NUL that is not the input's */
        memset(self.kept, -1, sizeof(self.kept));
        self.kept[0] = self.kept[2] = 0;
    }
    if (size < sizeof(run.request))
        return 0;
    memcpy(&run.request, data, sizeof(run.request));
    size_t used = size - sizeof(run.request);
    if (used > INIT_ARENA_SIZE)
        used = INIT_ARENA_SIZE;
    memcpy(self.arena, data + sizeof(run.request), used);
    uint32_t passed = run.request.passed_count;
    if (request_valid(passed <= INIT_DESCRIPTORS_MAX ? (int)passed : 0))
        check();
    memset(self.arena, 'x', used);
    return 0;
}

/* The janitor's requests: two paths anywhere in the arena. What request_path() takes is a NUL-terminated
 * text of the length that was said. Input: struct init_request, then the last bytes of the arena; offsets
 * count from where those begin, so that most of them are near the end. */
#include "files.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check(uint32_t offset, uint32_t length)
{
    char *copy = malloc(INIT_PATH_MAX); /* of the exact size, for ASan */
    require(copy != NULL);
    const char *path = request_path(offset, length, copy);
    if (path != NULL) {
        require(path == copy && length > 0 && length < INIT_PATH_MAX && strlen(path) == length);
        require((uint64_t)offset + length < INIT_ARENA_SIZE);
        require(memcmp(path, self.arena + offset, length) == 0);
    } else {
        require(length == 0 || length >= INIT_PATH_MAX ||
                (uint64_t)offset + length >= INIT_ARENA_SIZE ||
                memchr(self.arena + offset, '\0', length) != NULL);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (self.arena == NULL) {
        self.arena = malloc(INIT_ARENA_SIZE);
        require(self.arena != NULL);
        memset(self.arena, 'x', INIT_ARENA_SIZE);
    }
    struct init_request request;
    if (size < sizeof(request))
        return 0;
    memcpy(&request, data, sizeof(request));
    data += sizeof(request);
    size -= sizeof(request);
    if (size > INIT_ARENA_SIZE)
        size = INIT_ARENA_SIZE;
    uint32_t base = INIT_ARENA_SIZE - (uint32_t)size;
    memcpy(self.arena + base, data, size);
    check(request.path_offset, request.path_length);
    check(request.target_offset, request.target_length);
    check(base + request.path_offset % 8192,
          request.path_length % 8192); /* wraps or not: near the end */
    check(base + request.target_offset % 8192, request.target_length % 8192);
    memset(self.arena + base, 'x', size);
    return 0;
}

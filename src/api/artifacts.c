#include "artifacts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct kept {
    struct kept *next, *previous; /* most recently used first */
    struct judge_artefact *artefact;
    uint64_t bytes;
    char id[ARTIFACT_ID_SIZE];
};

struct artifacts {
    struct kept *first, *last;
    uint64_t bytes, max_bytes;
};

int artifacts_new(uint64_t max_bytes, struct artifacts **out, struct cj_error *err)
{
    *out = calloc(1, sizeof(**out));
    if (*out == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "artifacts: out of memory");
    (*out)->max_bytes = max_bytes;
    return 0;
}

static void unlink_kept(struct artifacts *artifacts, struct kept *kept)
{
    if (kept->previous != NULL)
        kept->previous->next = kept->next;
    else
        artifacts->first = kept->next;
    if (kept->next != NULL)
        kept->next->previous = kept->previous;
    else
        artifacts->last = kept->previous;
    kept->next = kept->previous = NULL;
}

static void push_first(struct artifacts *artifacts, struct kept *kept)
{
    kept->next = artifacts->first;
    if (artifacts->first != NULL)
        artifacts->first->previous = kept;
    else
        artifacts->last = kept;
    artifacts->first = kept;
}

static void drop(struct artifacts *artifacts, struct kept *kept)
{
    unlink_kept(artifacts, kept);
    artifacts->bytes -= kept->bytes;
    judge_artefact_release(kept->artefact);
    free(kept);
}

void artifacts_free(struct artifacts *artifacts)
{
    if (artifacts == NULL)
        return;
    while (artifacts->first != NULL)
        drop(artifacts, artifacts->first);
    free(artifacts);
}

static uint64_t size_of(const struct judge_artefact *artefact)
{
    size_t count;
    const struct exec_output *files = judge_artefact_files(artefact, &count);
    uint64_t bytes = sizeof(struct kept);
    for (size_t i = 0; i < count; i++)
        bytes += files[i].size + 64;
    return bytes;
}

static void make_id(char id[static ARTIFACT_ID_SIZE])
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    uint8_t bytes[ARTIFACT_ID_SIZE - 1];
    if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
        abort(); /* getrandom(2): up to 256 bytes never fail once the kernel is up */
    for (size_t i = 0; i < sizeof(bytes); i++)
        id[i] = letters[bytes[i] % 32];
    id[ARTIFACT_ID_SIZE - 1] = '\0';
}

int artifacts_add(struct artifacts *artifacts, struct judge_artefact *artefact,
                  char id[static ARTIFACT_ID_SIZE], struct cj_error *err)
{
    uint64_t bytes = size_of(artefact);
    if (bytes > artifacts->max_bytes)
        return error_set(err, ERROR_REQUEST, ENOSPC, "the program is larger than what is kept");
    struct kept *kept = calloc(1, sizeof(*kept));
    if (kept == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "artifacts: out of memory");
    while (artifacts->bytes + bytes > artifacts->max_bytes)
        drop(artifacts, artifacts->last);
    kept->artefact = judge_artefact_share(artefact);
    kept->bytes = bytes;
    make_id(kept->id);
    artifacts->bytes += bytes;
    push_first(artifacts, kept);
    memcpy(id, kept->id, ARTIFACT_ID_SIZE);
    return 0;
}

/* A list is enough: ids are looked up once for a request, and programs are large. */
static struct kept *find(const struct artifacts *artifacts, const char *id)
{
    for (struct kept *kept = artifacts->first; kept != NULL; kept = kept->next)
        if (strcmp(kept->id, id) == 0)
            return kept;
    return NULL;
}

struct judge_artefact *artifacts_find(struct artifacts *artifacts, const char *id)
{
    struct kept *kept = find(artifacts, id);
    if (kept == NULL)
        return NULL;
    unlink_kept(artifacts, kept);
    push_first(artifacts, kept);
    return kept->artefact;
}

bool artifacts_remove(struct artifacts *artifacts, const char *id)
{
    struct kept *kept = find(artifacts, id);
    if (kept != NULL)
        drop(artifacts, kept);
    return kept != NULL;
}

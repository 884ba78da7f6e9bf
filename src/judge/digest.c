#include "judge/digest.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct digest_state {
    EVP_MD_CTX *context;
    bool failed;
};

struct digest_state *digest_begin(void)
{
    struct digest_state *state = calloc(1, sizeof(*state));
    if (state == NULL)
        return NULL;
    state->context = EVP_MD_CTX_new();
    state->failed =
        state->context == NULL || EVP_DigestInit_ex(state->context, EVP_sha256(), NULL) != 1;
    return state;
}

static void add(struct digest_state *state, const void *data, size_t size)
{
    if (!state->failed && size > 0 && EVP_DigestUpdate(state->context, data, size) != 1)
        state->failed = true;
}

void digest_add(struct digest_state *state, const void *data, size_t size)
{
    if (state == NULL)
        return;
    digest_add_number(state, size);
    add(state, data, size);
}

void digest_add_text(struct digest_state *state, const char *text)
{
    if (text == NULL)
        digest_add_number(state, UINT64_MAX); /* no text is that long */
    else
        digest_add(state, text, strlen(text));
}

void digest_add_number(struct digest_state *state, uint64_t number)
{
    if (state != NULL)
        add(state, &number, sizeof(number));
}

int digest_end(struct digest_state *state, struct digest *out)
{
    unsigned size = 0;
    if (state == NULL)
        return -1;
    bool good = !state->failed && EVP_DigestFinal_ex(state->context, out->bytes, &size) == 1 &&
                size == DIGEST_SIZE;
    EVP_MD_CTX_free(state->context);
    free(state);
    return good ? 0 : -1;
}

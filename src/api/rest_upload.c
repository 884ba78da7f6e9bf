/* POST /file: the first part of a form that is called "file" and has a file name becomes a stored file.
 *
 * Its bytes go from the socket into the store as they come. The loop writes them itself, so that nothing
 * is read from the client meanwhile; a draft in memory or in the page cache takes them at once. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/multipart.h"
#include "rest_private.h"

struct upload {
    struct exchange exchange;
    struct rest *rest;
    struct multipart *form;
    struct store_draft *draft; /* NULL: no file has come yet, or it is stored */
    char *name;
    bool in_file; /* the part that is being read is the file */
    bool found;
};

/* ---- the form ---- */

/* What is behind the last slash, but for slashes at the end: as Go's filepath.Base. */
static char *base_name(const char *path)
{
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    size_t begin = size;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    return strndup(path + begin, size - begin);
}

static int part_begin(const struct multipart_part *part, void *arg, struct cj_error *err)
{
    struct upload *upload = arg;
    if (upload->found || part->name == NULL || strcmp(part->name, "file") != 0 ||
        part->filename == NULL || part->filename[0] == '\0')
        return 0;
    upload->name = base_name(part->filename);
    if (upload->name == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "out of memory");
    if (store_draft_new(upload->rest->options.store, &upload->draft, err) < 0)
        return -1;
    upload->found = true;
    upload->in_file = true;
    return 0;
}

static int part_data(const void *data, size_t size, void *arg, struct cj_error *err)
{
    struct upload *upload = arg;
    return upload->in_file ? store_draft_write(upload->draft, data, size, err) : 0;
}

static int part_end(void *arg, struct cj_error *err)
{
    (void)err;
    struct upload *upload = arg;
    upload->in_file = false;
    return 0;
}

/* ---- answers ---- */

/* A form that is none is told so in as few words as by go-judge: 400, and no body. */
static void fail(struct upload *upload, const struct cj_error *err)
{
    store_draft_discard(upload->draft);
    upload->draft = NULL;
    if (err->domain == ERROR_REQUEST || err->code == ENAMETOOLONG)
        exchange_empty(&upload->exchange, 400);
    else
        exchange_failure(&upload->exchange, err);
}

static void keep(struct upload *upload)
{
    struct cj_error err;
    char id[STORE_ID_SIZE];
    struct store_draft *draft = upload->draft;
    upload->draft = NULL; /* it ends in any case */
    if (store_draft_commit(draft, upload->name, id, &err) < 0)
        fail(upload, &err);
    else
        exchange_string(&upload->exchange, 200, id);
}

/* ---- the HTTP layer's calls ---- */

static void body_bytes(struct http_request *http, const char *data, size_t size, void *arg)
{
    struct upload *upload = arg;
    struct cj_error err;
    if (!http_replied(http) && multipart_feed(upload->form, data, size, &err) < 0)
        fail(upload, &err);
}

static void body_end(struct http_request *http, void *arg)
{
    (void)http;
    struct upload *upload = arg;
    struct cj_error err = {.domain = ERROR_REQUEST};
    if (multipart_end(upload->form, &err) < 0 || !upload->found)
        fail(upload, &err);
    else
        keep(upload);
}

static void over(struct http_request *http, enum http_over how, void *arg)
{
    (void)http;
    struct upload *upload = arg;
    exchange_over(&upload->exchange, how);
    store_draft_discard(upload->draft);
    multipart_free(upload->form);
    free(upload->name);
    free(upload);
}

static int begin(struct upload *upload, struct cj_error *err)
{
    static const struct multipart_handler handler = {part_begin, part_data, part_end};
    char boundary[MULTIPART_BOUNDARY_SIZE];
    if (multipart_boundary(http_header(upload->exchange.http, "Content-Type"), boundary, err) < 0)
        return -1;
    return multipart_new(boundary, &handler, upload, &upload->form, err);
}

void rest_upload_begin(struct rest *rest, const struct exchange *exchange)
{
    static const struct http_calls calls = {.body = body_bytes, .end = body_end, .over = over};
    struct http_request *http = exchange->http;
    struct cj_error err = {ERROR_SYSTEM, ENOMEM, "out of memory"};
    struct upload *upload = calloc(1, sizeof(*upload));
    if (upload == NULL) {
        struct exchange failed = *exchange;
        exchange_failure(&failed, &err);
        return;
    }
    upload->exchange = *exchange;
    upload->rest = rest;
    http_set_calls(http, &calls, upload);
    if (begin(upload, &err) < 0)
        fail(upload, &err);
    else
        http_accept_body(http, rest->options.max_body_bytes);
}

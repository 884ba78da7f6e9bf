/* GET /file, GET and DELETE /file/ID. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/json_writer.h"
#include "content.h"
#include "rest_private.h"

/* ---- the list ---- */

static void visit(void *arg, const struct store_info *info)
{
    struct json_writer *json = arg;
    json_key(json, info->id);
    json_string(json, info->name);
}

void rest_list(struct rest *rest, struct exchange *exchange)
{
    struct cj_error err;
    struct buf text = {0};
    struct json_writer json = json_writer_to(&text, JSON_COMPACT);
    json_object_begin(&json);
    int listed = store_list(rest->options.store, visit, &json, &err);
    json_object_end(&json);
    if (listed < 0 || buf_check(&text, &err) < 0) {
        buf_free(&text);
        exchange_failure(exchange, &err);
        return;
    }
    exchange_json(exchange, 200, &text);
}

/* ---- download ---- */

static struct content_request conditions_of(const struct http_request *http)
{
    return (struct content_request){
        .if_match = http_header(http, "If-Match"),
        .if_unmodified_since = http_header(http, "If-Unmodified-Since"),
        .if_none_match = http_header(http, "If-None-Match"),
        .if_modified_since = http_header(http, "If-Modified-Since"),
        .if_range = http_header(http, "If-Range"),
        .range = http_header(http, "Range"),
    };
}

static void put_range(struct http_request *http, const struct content_part *part, uint64_t size)
{
    char text[80];
    if (part->status == 206)
        snprintf(text, sizeof(text), "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, part->first,
                 part->first + part->length - 1, size);
    else
        snprintf(text, sizeof(text), "bytes */%" PRIu64, size);
    http_reply_header(http, "Content-Range", text);
}

/* Headers of the file itself. */
static void describe(struct http_request *http, const struct store_file *file, const char *name)
{
    char head[CONTENT_SNIFF_SIZE];
    auto_buf struct buf disposition = {0};
    ssize_t size = pread(file->fd, head, sizeof(head), 0);
    http_reply_header(http, "Content-Type", content_type(name, head, size > 0 ? (size_t)size : 0));
    content_disposition(name, &disposition);
    buf_append_char(&disposition, '\0');
    if (disposition.failure == 0)
        http_reply_header(http, "Content-Disposition", disposition.data);
}

static void send_file(struct exchange *exchange, struct store_file *file, const char *id)
{
    struct http_request *http = exchange->http;
    time_t modified = (time_t)(file->mtime_ns / NS_PER_S);
    char date[CONTENT_DATE_SIZE];
    const struct content_request conditions = conditions_of(http);
    struct content_part part = content_choose(&conditions, file->size, modified);
    http_reply_header(http, "Last-Modified", content_date(modified, date));
    if (part.status == 416) {
        put_range(http, &part, file->size);
        exchange_plain(exchange, 416, "invalid range");
        return;
    }
    http_reply_header(http, "Accept-Ranges", "bytes");
    if (part.status == 304 || part.status == 412) {
        exchange_empty(exchange, part.status);
        return;
    }
    if (part.status == 206)
        put_range(http, &part, file->size);
    describe(http, file, file->name[0] != '\0' ? file->name : id);
    exchange_status(exchange, part.status);
    http_reply_file(http, part.status, fd_take(&file->fd), part.first, part.length);
}

void rest_download(struct rest *rest, struct exchange *exchange, const char *id)
{
    auto_store_file struct store_file file = {.fd = -1};
    struct cj_error err;
    if (store_get(rest->options.store, id, &file, &err) == 0)
        send_file(exchange, &file, id);
    else if (err.code == ENOENT)
        exchange_empty(exchange, 404);
    else
        exchange_failure(exchange, &err);
}

/* ---- removal ---- */

/* What cannot be removed is not there, as far as go-judge's clients are told. */
void rest_delete(struct rest *rest, struct exchange *exchange, const char *id)
{
    exchange_empty(exchange, store_remove(rest->options.store, id, NULL) == 0 ? 200 : 404);
}

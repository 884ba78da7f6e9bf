/* The routes of the native judging API. */
#include "native.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "native_work.h"

int native_new(const struct native_settings *settings, struct native **out, struct cj_error *err)
{
    struct native *native = calloc(1, sizeof(*native));
    if (native == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "judging API: out of memory");
    native->settings = *settings;
    if (artifacts_new(settings->artifact_bytes, &native->artifacts, err) < 0) {
        free(native);
        return -1;
    }
    *out = native;
    return 0;
}

bool native_head(struct native *native, struct http_request *request)
{
    static const struct {
        const char *path;
        enum native_body_kind kind;
    } routes[] = {{"/v1/judge", NATIVE_JUDGE},
                  {"/v1/judge/batch", NATIVE_BATCH},
                  {"/v1/build", NATIVE_BUILD}};
    static const char artifacts[] = "/v1/artifacts/";
    const char *path = http_path(request), *method = http_method(request);
    for (size_t i = 0; i < COUNT_OF(routes); i++) {
        if (strcmp(path, routes[i].path) != 0)
            continue;
        if (strcmp(method, "POST") == 0) {
            native_work_begin(native, request, routes[i].kind);
        } else {
            http_reply_header(request, "allow", "POST");
            native_reply_error(request, 405, "only POST is understood here");
        }
        return true;
    }
    if (strncmp(path, artifacts, strlen(artifacts)) != 0)
        return false;
    if (strcmp(method, "DELETE") != 0) {
        http_reply_header(request, "allow", "DELETE");
        native_reply_error(request, 405, "only DELETE is understood here");
    } else if (artifacts_remove(native->artifacts, path + strlen(artifacts))) {
        http_reply(request, 204, NULL, 0);
    } else {
        native_reply_error(request, 404, "there is no such artifact");
    }
    return true;
}

void native_cancel(struct native *native)
{
    struct native_work *next;
    for (struct native_work *work = native->works; work != NULL; work = next) {
        next = work->next;
        native_work_cancel(work);
    }
}

uint64_t native_at_work(const struct native *native)
{
    uint64_t count = 0;
    for (const struct native_work *work = native->works; work != NULL; work = work->next)
        count += work->running > 0 || work->is_aside;
    return count;
}

void native_free(struct native *native)
{
    if (native == NULL)
        return;
    while (native->works != NULL)
        native_work_free(native->works);
    artifacts_free(native->artifacts);
    free(native);
}

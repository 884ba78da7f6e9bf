/* The native judging API over a real socket, with evaluations that do as each test says: what becomes of a batch one
 * of whose submissions cannot begin. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "judge/evaluation.h"
#include "native.h"

/* ---- evaluations ---- */

/* What the start of that number says; 0: it begins. The last one holds for all behind it. */
struct start {
    enum error_domain domain;
    int code;
};
static const struct start *starts;
static size_t start_count, started;
static bool cancel_at_failure;
static struct native *native;

static void cancel_all(void *arg)
{
    native_cancel(arg);
}

int __wrap_evaluation_start(struct sched *sched, const struct judge_settings *settings,
                            struct store *store, unsigned slots, const struct evaluation_task *task,
                            const struct evaluation_calls *calls, void *arg,
                            struct evaluation **out, struct cj_error *err);
void __wrap_evaluation_free(struct evaluation *evaluation);
void __wrap_evaluation_cancel(struct evaluation *evaluation);

static struct net_loop *loop;

int __wrap_evaluation_start(struct sched *sched, const struct judge_settings *settings,
                            struct store *store, unsigned slots, const struct evaluation_task *task,
                            const struct evaluation_calls *calls, void *arg,
                            struct evaluation **out, struct cj_error *err)
{
    const struct start *start = &starts[started < start_count ? started : start_count - 1];
    const struct evaluation_result accepted = {.verdict = VERDICT_ACCEPTED, .message = ""};
    (void)sched, (void)settings, (void)store, (void)slots;
    started++;
    if (start->domain != ERROR_NONE) {
        if (cancel_at_failure)
            net_loop_post(loop, cancel_all, native);
        return error_set(err, start->domain, start->code, "cannot begin");
    }
    *out = NULL;
    calls->built(arg, &accepted, NULL);
    for (size_t i = 0; i < task->case_count; i++)
        calls->case_ended(arg, i, &accepted);
    calls->ended(arg);
    return 0;
}

void __wrap_evaluation_free(struct evaluation *evaluation)
{
    (void)evaluation;
}

void __wrap_evaluation_cancel(struct evaluation *evaluation)
{
    (void)evaluation;
}

/* ---- a client ---- */

struct client {
    char path[64];
    bool stream;
    char answer[16384];
    size_t size;
    int64_t took_ns;
};

static void *client_main(void *arg)
{
    struct client *client = arg;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char body[1024], request[2048];
    const char *one = "{\"language\":\"python\",\"source\":\"\",\"cases\":[{},{}]}";
    snprintf(body, sizeof(body), "{\"submissions\":[%s,%s,%s],\"stream\":%s}", one, one, one,
             client->stream ? "true" : "false");
    snprintf(request, sizeof(request),
             "POST /v1/judge/batch HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
             "content-length: %zu\r\n\r\n%s",
             strlen(body), body);
    memcpy(address.sun_path + 1, client->path, strlen(client->path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t length =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(client->path));
    const struct timeval patience = {.tv_sec = 20}; /* what never ends is a failure */
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    int64_t begun_ns = monotonic_ns();
    if (connect(fd, (struct sockaddr *)&address, length) == 0 &&
        write(fd, request, strlen(request)) == (ssize_t)strlen(request))
        for (ssize_t got = 1; got > 0 && client->size < sizeof(client->answer) - 1;) {
            got =
                read(fd, client->answer + client->size, sizeof(client->answer) - 1 - client->size);
            client->size += got > 0 ? (size_t)got : 0;
        }
    client->took_ns = monotonic_ns() - begun_ns;
    close(fd);
    net_loop_stop(loop);
    return NULL;
}

/* ---- the server ---- */

static void head(struct http_request *request, void *arg)
{
    assert_true(native_head(arg, request));
}

/* What the client gets for three submissions of two cases each. */
static void ask(const struct start *list, size_t count, struct client *client)
{
    static const struct http_door door = {.head = head};
    struct languages *languages;
    struct http_server *server;
    struct cj_error err;
    pthread_t thread;
    char address[96];
    starts = list;
    start_count = count;
    started = 0;
    if (languages_load(NULL, &languages, &err) < 0 || net_loop_new(&loop, &err) < 0)
        fail_msg("%s", err.message);
    const struct native_settings settings = {.loop = loop,
                                             .languages = languages,
                                             .slots = 2,
                                             .body_bytes = 65536,
                                             .artifact_bytes = 1,
                                             .protection = "full",
                                             .accounting = "cgroup v2"};
    snprintf(client->path, sizeof(client->path), "cjudge-test-native-%d", (int)getpid());
    snprintf(address, sizeof(address), "unix:@%s", client->path);
    if (native_new(&settings, &native, &err) < 0 ||
        http_server_new(&server, loop, &door, native, NULL, &err) < 0 ||
        http_server_listen(server, address, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(pthread_create(&thread, NULL, client_main, client), 0);
    if (net_loop_run(loop, &err) < 0)
        fail_msg("%s", err.message);
    pthread_join(thread, NULL);
    http_server_free(server);
    native_free(native);
    net_loop_free(loop);
    languages_free(languages);
}

static size_t occurrences(const char *text, const char *what)
{
    size_t count = 0;
    for (const char *found = strstr(text, what); found != NULL; found = strstr(found + 1, what))
        count++;
    return count;
}

static void assert_times(const struct client *client, const char *what, size_t times)
{
    if (occurrences(client->answer, what) != times)
        fail_msg("%zu times %s, not %zu, in:\n%s", occurrences(client->answer, what), what, times,
                 client->answer);
}

/* ---- tests ---- */

static const char failed_build[] =
    "\"build\":{\"status\":\"Internal Error\",\"message\":\"cannot begin\"}";

/* One of the three was not begun: it says so, the others were judged. */
static void assert_one_failed(const struct client *client)
{
    assert_times(client, failed_build, 1);
    assert_times(client, "\"status\":\"Skipped\"", 2);
    assert_times(client, "{\"status\":\"Internal Error\",\"accepted\":0,\"cases\":2,", 1);
    assert_times(client, "{\"status\":\"Accepted\",\"accepted\":2,\"cases\":2,", 2);
}

static void an_error_of_a_submission_is_its_result(void **state)
{
    (void)state;
    static const struct start list[] = {{0}, {ERROR_REQUEST, EINVAL}, {0}};
    static struct client client;
    client = (struct client){0};
    ask(list, 3, &client);
    assert_times(&client, "HTTP/1.1 200 OK", 1);
    assert_one_failed(&client);
    assert_int_equal(started, 3);
}

static void in_a_stream_too(void **state)
{
    (void)state;
    static const struct start list[] = {{0}, {0}, {ERROR_REQUEST, EINVAL}};
    static struct client client;
    client = (struct client){.stream = true};
    ask(list, 3, &client);
    assert_times(&client,
                 "{\"event\":\"build\",\"submission\":2,\"status\":\"Internal Error\",\"message\":"
                 "\"cannot begin\"}",
                 1);
    assert_times(&client, "{\"event\":\"case\",\"submission\":2,", 2);
    assert_times(&client, "{\"event\":\"summary\",\"submission\":2,\"status\":\"Internal Error\"",
                 1);
    assert_times(&client, "\"status\":\"Accepted\",\"accepted\":2", 2);
    assert_times(&client, "\r\n0\r\n\r\n", 1); /* the stream is whole */
}

static void what_passes_is_tried_again(void **state)
{
    (void)state;
    static const struct start list[] = {
        {0}, {ERROR_SYSTEM, ENOMEM}, {ERROR_SYSTEM, ENOMEM}, {0}, {0}};
    static struct client client;
    client = (struct client){0};
    ask(list, 5, &client);
    assert_times(&client, "{\"status\":\"Accepted\",\"accepted\":2,\"cases\":2,", 3);
    assert_int_equal(started, 5);
}

static void but_not_for_ever(void **state)
{
    (void)state;
    static const struct start list[] = {{0}, {ERROR_SYSTEM, ENOMEM}};
    static struct client client;
    client = (struct client){0};
    ask(list, 2, &client);
    assert_times(&client, "HTTP/1.1 200 OK", 1);
    assert_times(&client, failed_build, 2);
    assert_times(&client, "{\"status\":\"Accepted\",\"accepted\":2,\"cases\":2,", 1);
    assert_true(started > 3); /* tried again; */
    assert_true(client.took_ns < 20 * NS_PER_S);
}

static void the_end_of_the_service_is_told_at_once(void **state)
{
    (void)state;
    static const struct start list[] = {{0}, {ERROR_SYSTEM, ESHUTDOWN}};
    static struct client client;
    client = (struct client){0};
    ask(list, 2, &client);
    assert_times(&client, "HTTP/1.1 503 Service Unavailable", 1);
    client = (struct client){.stream = true};
    ask(list, 2, &client);
    assert_times(&client, "HTTP/1.1 200 OK", 1);
    assert_times(&client, "\r\n0\r\n\r\n", 0); /* cut */
}

static void what_waits_for_another_try_is_cancelled(void **state)
{
    (void)state;
    static const struct start list[] = {{0}, {ERROR_SYSTEM, ENOMEM}};
    static struct client client;
    client = (struct client){0};
    cancel_at_failure = true;
    ask(list, 2, &client);
    cancel_at_failure = false;
    assert_times(&client, "HTTP/1.1 503 Service Unavailable", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_of_a_submission_is_its_result),
        cmocka_unit_test(in_a_stream_too),
        cmocka_unit_test(what_passes_is_tried_again),
        cmocka_unit_test(but_not_for_ever),
        cmocka_unit_test(the_end_of_the_service_is_told_at_once),
        cmocka_unit_test(what_waits_for_another_try_is_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

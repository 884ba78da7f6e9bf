/* An HTTP/1.1 server (RFC 9110, RFC 9112), strict in what it accepts.
 *
 * A door makes a server on a loop, tells it where to listen, and gets one `struct http_request`
 * for each request whose head is whole and valid:
 *
 *     head()  ── http_accept_body() ──► body() ... body(), end()   http_reply...() at any time later
 *        └───── http_reply...() at once: nothing of the body is read first (401, 404)
 *                                        over(), exactly once: the request is gone
 *
 * Everything here happens on the loop's thread, but for http_direct_reply(). A request is the layer's; its pointer is valid
 * from head() until over() returns. over() comes after the last byte of the answer has been handed
 * to the kernel, or when that will never be; never from inside a call of this header, so a handler
 * may still use its own state after http_reply(). Whoever works on a request in another thread
 * posts back to the loop (net_loop_post()) and looks there whether over() has come meanwhile.
 *
 * Of one connection's requests the second is handed out when the first is over (pipelining). While
 * an answer is pending the connection is still read: a client that closes it, or only its sending
 * side, has gone (HTTP_OVER_GONE), as in Go's net/http; what it had sent behind does not hide
 * that.
 *
 * What this layer refuses by itself (400, 408, 413, 414, 417, 431, 501, 505) it answers in
 * the form that the door's refuse() gives it, and closes the connection. */
#ifndef CJ_NET_HTTP_H
#define CJ_NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "net/loop.h"

struct http_server;
struct http_request;

/* Zero means the default in parentheses. */
struct http_settings {
    uint64_t head_bytes;       /* request line and headers, also trailers (64 KiB): 431 */
    uint64_t target_bytes;     /* request target (8 KiB): 414 */
    uint64_t header_count;     /* headers of a request (100): 431 */
    uint64_t connection_count; /* at once (4096); then idle ones are closed, others wait */
    uint64_t pipelined_bytes;  /* read ahead while an answer is pending (64 KiB) */
    uint64_t drain_bytes;      /* rest of a body that is read for the sake of keep-alive when the
                                    answer came first (64 KiB); more closes the connection */
    int64_t head_timeout_ns;   /* from the first byte of a head, or the connection's start, to the
                                    end of the head (30 s): 408 */
    int64_t idle_timeout_ns;   /* from an answer to the next request's first byte (2 min) */
    int64_t
        body_timeout_ns; /* without a byte of an accepted body that is not paused (1 min): 408 */
    int64_t write_timeout_ns;  /* without the client taking a byte of the answer (1 min) */
    int64_t linger_timeout_ns; /* after an early answer, what the client still sends is read and
                                    thrown away for so long, so that it gets to see the answer (2 s) */
};

enum http_over {
    HTTP_OVER_ANSWERED, /* the whole answer is with the kernel */
    HTTP_OVER_GONE,     /* the client went away, took nothing for write_timeout_ns, or the server
                           was told to stop at once, before that */
    HTTP_OVER_REFUSED,  /* the body was bad, too large or stalled; this layer has answered */
};

/* The answer to what this layer refuses. Set to plain text before refuse() is called. */
struct http_refusal {
    int status;
    const char *reason;       /* one line of plain words: "header name is followed by a space" */
    const char *content_type; /* static; NULL: none */
    char *body;               /* malloc'ed, freed by the layer; NULL: none */
    size_t body_size;
};

/* What a door does. All but head() may be NULL. */
struct http_door {
    /* The head of a request. Sets callbacks and accepts the body, replies, or leaves both for
     * later: until one of them is done nothing more of the request is read. */
    void (*head)(struct http_request *request, void *arg);
    /* May change content_type and body. request is NULL when there is no valid head. */
    void (*refuse)(struct http_refusal *refusal, const struct http_request *request, void *arg);
};

/* What becomes of one request. Each may be NULL. */
struct http_calls {
    /* size > 0 bytes of the body, valid during the call. */
    void (*body)(struct http_request *request, const char *data, size_t size, void *arg);
    /* The body is complete (also when there is none). Not called once the reply is there or begun.
     */
    void (*end)(struct http_request *request, void *arg);
    /* Of a reply in pieces, less than HTTP_LOW_WATER bytes wait to be sent, and more did before.
     */
    void (*drained)(struct http_request *request, void *arg);
    /* The request is gone. Exactly once; the last call. */
    void (*over)(struct http_request *request, enum http_over how, void *arg);
};

enum { HTTP_HIGH_WATER = 256 * 1024, HTTP_LOW_WATER = 64 * 1024 };

/* ---- servers ---- */

/* Copies door and settings (NULL: all defaults). Several servers may share a loop; each has its
 * own addresses, door and limits. */
WARN_UNUSED int http_server_new(struct http_server **server, struct net_loop *loop,
                                const struct http_door *door, void *arg,
                                const struct http_settings *settings, struct cj_error *err)
    NONNULL(1, 2, 3);

/* Listens at an address, in addition to those before:
 *     localhost:PORT     each address of each loopback interface, one socket each (127.0.0.1, ::1)
 *     :PORT              every address of the machine, both families
 *     HOST:PORT, 1.2.3.4:PORT, [::1]:PORT   every address that the name has
 *     unix:/PATH         a socket file, mode 0660; one that nobody listens at any more is replaced
 *     unix:@NAME         an abstract socket
 * PORT is 0 to 65535; 0 takes a free one, the same for all addresses. All or nothing. Fails with
 * ERROR_CONFIG when address cannot be understood and ERROR_SYSTEM when it cannot be had; the
 * message names the one at fault and why. */
WARN_UNUSED int http_server_listen(struct http_server *server, const char *address,
                                   struct cj_error *err) NONNULL(1, 2);

/* The sockets that it listens at, as text: "127.0.0.1:5050", "[::1]:5050", "unix:/run/x". NULL
 * behind the last. The server's. */
const char *http_server_address(const struct http_server *server, size_t index) NONNULL(1);

/* Stops: closes the listening sockets (connections that wait there are taken in first) and idle
 * connections, answers the requests that have begun to come in, then calls done(arg). After
 * timeout_ns, or at a second call with less time left, closes what remains (HTTP_OVER_GONE). 0: at
 * once. done() is never called from inside this call. Of two calls the last one's done counts. */
void http_server_stop(struct http_server *server, int64_t timeout_ns, void (*done)(void *arg),
                      void *arg) NONNULL(1);

/* Closes everything at once; over() is called for what was going on. Not from inside a callback
 * of the server's, done() excepted. NULL is allowed. */
void http_server_free(struct http_server *server);

struct http_counts {
    uint64_t connections;    /* open now */
    uint64_t requests;       /* whose head was handed out and which are not over */
    uint64_t accepted_total; /* connections */
    uint64_t requests_total; /* heads handed out */
    uint64_t refused_total;  /* answered by this layer */
};
void http_server_counts(const struct http_server *server, struct http_counts *counts) NONNULL(1, 2);

/* ---- reading a request ---- */

/* Who is told; arg is yours. Without it the request can only be answered. */
void http_set_calls(struct http_request *request, const struct http_calls *calls, void *arg)
    NONNULL(1);
void *http_arg(const struct http_request *request) NONNULL(1);

/* The strings are the request's. Names of methods are case-sensitive (RFC 9110 9.1). */
const char *http_method(const struct http_request *request) NONNULL(1);
int http_minor_version(const struct http_request *request) NONNULL(1); /* of HTTP/1.x: 0 or 1 */
/* As it was sent: "/file/a%20b?x=1", "http://host/file", "*". */
const char *http_target(const struct http_request *request) NONNULL(1);
/* The target's path as it was sent: "/file/a%20b". "*" for OPTIONS *. */
const char *http_raw_path(const struct http_request *request) NONNULL(1);
/* Percent-decoded: "/file/a b". It holds no NUL: %00 and broken escapes are refused (400). Neither
 * "." and ".." nor doubled slashes are resolved. */
const char *http_path(const struct http_request *request) NONNULL(1);
/* Behind the first '?', as it was sent; NULL when there is none. */
const char *http_query(const struct http_request *request) NONNULL(1);

/* The value of the first header of that name (ASCII case does not matter), without the white space
 * around; NULL when there is none. Values hold no NUL and no control characters but tab. */
const char *http_header(const struct http_request *request, const char *name) NONNULL(1, 2);
/* All of them, in their order. */
size_t http_header_count(const struct http_request *request) NONNULL(1);
const char *http_header_name(const struct http_request *request, size_t index) NONNULL(1);
const char *http_header_value(const struct http_request *request, size_t index) NONNULL(1);
/* Whether one of the comma-separated lists under that name has the token (case does not matter):
 * http_header_has(request, "connection", "upgrade"). Parameters behind ';' are ignored. */
bool http_header_has(const struct http_request *request, const char *name, const char *token)
    NONNULL(1, 2, 3);

/* Of the body: what Content-Length says, 0 when there is none, -1 when it is chunked. */
int64_t http_content_length(const struct http_request *request) NONNULL(1);

/* "127.0.0.1:4711", "[::1]:4711", "unix". */
const char *http_peer(const struct http_request *request) NONNULL(1);
struct net_loop *http_loop(const struct http_request *request) NONNULL(1);

/* Begins to read the body; also answers Expect: 100-continue. A body above limit_bytes is refused
 * with 413 (at once when its length is told), then over() comes with HTTP_OVER_REFUSED. body() and
 * end() come after the caller's callback has returned. */
void http_accept_body(struct http_request *request, uint64_t limit_bytes) NONNULL(1);

/* Stops and resumes body(): for whoever cannot take more at present. Nothing is read from the
 * client meanwhile, so that it is slowed down by TCP. Allowed inside body(). */
void http_pause_body(struct http_request *request) NONNULL(1);
void http_resume_body(struct http_request *request) NONNULL(1);

/* ---- answering ----
 *
 * Once for each request, before or after its end. Content-Length or Transfer-Encoding, Date and
 * Connection are added; of an answer to HEAD, and of 204 and 304, the body is left out. A request
 * that is over is not answered: the caller knows from over(). Answered before its body was read, a
 * request's rest is read and thrown away when it is short, else the connection is closed. */

/* Adds a header to the coming answer. Not for the ones above. Control characters in value become
 * spaces, so that nothing in it ends the line. Copies. */
void http_reply_header(struct http_request *request, const char *name, const char *value)
    NONNULL(1, 2, 3);

/* The connection is closed after the answer. */
void http_reply_close(struct http_request *request) NONNULL(1);

/* Copies data, which may be NULL when size is 0. For small bodies: up to a few KiB. */
void http_reply(struct http_request *request, int status, const void *data, size_t size) NONNULL(1);

/* Sends data without copying and then calls release(data, arg), once, also when nothing was sent;
 * never from inside this call. release is NULL for static data; http_release_free() frees. */
void http_reply_owned(struct http_request *request, int status, void *data, size_t size,
                      void (*release)(void *data, void *arg), void *arg) NONNULL(1);
void http_release_free(void *data, void *arg);

/* Sends size bytes of a regular file from offset on, by sendfile(2). Takes over fd, which is
 * closed in any case. A file that is shorter by then cuts the connection, for the length was
 * promised. */
void http_reply_file(struct http_request *request, int status, int fd, uint64_t offset,
                     uint64_t size) NONNULL(1);

/* An answer in pieces: http_reply_start(), any number of pieces, http_reply_end(). size is what
 * will come, or -1 when that is not known (chunked; for HTTP/1.0 ended by closing). More or less
 * than was promised cuts the connection. Stop adding when http_reply_waiting() is above
 * HTTP_HIGH_WATER and go on in drained(). */
void http_reply_start(struct http_request *request, int status, int64_t size) NONNULL(1);
void http_reply_piece(struct http_request *request, const void *data, size_t size) NONNULL(1);
void http_reply_piece_owned(struct http_request *request, void *data, size_t size,
                            void (*release)(void *data, void *arg), void *arg) NONNULL(1);
void http_reply_piece_file(struct http_request *request, int fd, uint64_t offset, uint64_t size)
    NONNULL(1);
void http_reply_end(struct http_request *request) NONNULL(1);
/* Bytes that the client has not taken yet. */
size_t http_reply_waiting(const struct http_request *request) NONNULL(1);

/* Cuts the connection, so that the client sees that the answer is not whole. over() comes with
 * HTTP_OVER_GONE. */
void http_abort(struct http_request *request) NONNULL(1);

/* Whether an answer has been given or begun. */
bool http_replied(const struct http_request *request) NONNULL(1);

/* ---- answering from another thread ----
 *
 * Whoever works on a request elsewhere may give a short answer there, so that between the end of the work and the
 * client no other thread has to be woken:
 *
 *     loop:    direct = http_direct_new(request), before the work begins
 *     worker:  http_direct_reply(direct, ...) or http_direct_give_up(direct), one of them, once
 *
 * over() comes on the loop's thread as always, but only when the loop next has to do with the connection, half a second
 * later at most: it is not woken for that alone. Whether the worker is done with the request by then, it asks
 * http_answered_directly_ns(). */
struct http_direct;

/* Once end() has come. NULL when it cannot be (the client or the door closes the connection after the answer, headers
 * have been added, something is still being sent), or memory is gone: then the loop answers. */
struct http_direct *http_direct_new(struct http_request *request) NONNULL(1);

/* headers: lines, each with its CR LF; short, and nothing of a client's in them that was not looked at. Returns
 * whether the answer is given, and nothing is to be posted: what belongs to the request may be gone by then. If not
 * (the request is over, the server stops, the socket is full), the loop is to be told as usual. direct is gone. */
WARN_UNUSED bool http_direct_reply(struct http_direct *direct, int status, const char *headers,
                                   const void *data, size_t size) NONNULL(1, 3);

/* The loop is to answer. NULL is allowed. */
void http_direct_give_up(struct http_direct *direct);

/* In over(), whatever it says: when (monotonic_ns()) http_direct_reply() has said that the answer is given, 0 if it has
 * not. (The client may not have taken all of it.) */
int64_t http_answered_directly_ns(const struct http_request *request) NONNULL(1);

/* ---- leaving HTTP ---- */

/* Answers 101 (Switching Protocols; headers by http_reply_header(), Upgrade: and Connection: too)
 * and hands the socket over: taken(fd, early, early_size, arg) gets the descriptor, non-blocking,
 * which it owns, and the bytes that came behind the head, once the 101 is with the kernel. Then
 * over() comes with HTTP_OVER_ANSWERED. Only for a request without a body that has not been
 * answered. */
void http_upgrade(struct http_request *request,
                  void (*taken)(int fd, const char *early, size_t early_size, void *arg), void *arg)
    NONNULL(1, 2);

/* ---- small things that doors share ---- */

/* "Not Found"; "Unknown" for a number that has no name. */
const char *http_status_text(int status);

/* An HTTP date (RFC 9110 5.6.7), "Sun, 06 Nov 1994 08:49:37 GMT". */
enum { HTTP_DATE_SIZE = 30 };
void http_date_format(int64_t unix_s, char text[static HTTP_DATE_SIZE]);
/* In that form only; returns false for others. */
bool http_date_parse(const char *text, int64_t *unix_s) NONNULL(1, 2);

#endif

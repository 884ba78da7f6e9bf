#include "listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/fd.h"

/* The kernel cuts it to net.core.somaxconn. */
enum { BACKLOG = 4096 };

/* A port that is free for one address may be taken for another: how often a new one is tried. */
enum { FREE_PORT_TRIES = 16 };

/* Clients that vanished without a word are found out: after a minute of silence, five tries. */
enum { KEEPALIVE_IDLE_S = 60, KEEPALIVE_INTERVAL_S = 10, KEEPALIVE_COUNT = 5 };

enum { LISTENERS_MAX = 64 };

struct address_list {
    struct sockaddr_storage items[LISTENERS_MAX];
    size_t count;
};

/* "host:port", taken apart. */
struct endpoint {
    char host[256]; /* without brackets; empty: every address */
    uint16_t port;
};

/* ---- addresses ---- */

static socklen_t address_size(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                          : sizeof(struct sockaddr_in);
}

static in_port_t *port_of(struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6 ? &((struct sockaddr_in6 *)address)->sin6_port
                                          : &((struct sockaddr_in *)address)->sin_port;
}

void address_format(const struct sockaddr_storage *address, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN + IF_NAMESIZE + 1], port[8];
    if (address->ss_family != AF_INET && address->ss_family != AF_INET6)
        snprintf(text, size, "unix");
    else if (getnameinfo((const struct sockaddr *)address, address_size(address), host,
                         sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        snprintf(text, size, "unknown");
    else
        snprintf(text, size, address->ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static int bad_address(struct cj_error *err, const char *address, const char *why)
{
    return error_set(err, ERROR_CONFIG, 0, "address '%s': %s", address, why);
}

static int parse_port(const char *address, const char *text, uint16_t *port, struct cj_error *err)
{
    char *end;
    size_t digits = strspn(text, "0123456789");
    unsigned long value = strtoul(text, &end, 10);
    if (digits == 0 || digits > 5 || text[digits] != '\0' || value > UINT16_MAX)
        return bad_address(err, address, "the port is not a number from 0 to 65535");
    *port = (uint16_t)value;
    return 0;
}

static int parse_endpoint(const char *address, struct endpoint *endpoint, struct cj_error *err)
{
    const char *colon = strrchr(address, ':');
    if (!colon)
        return bad_address(err, address, "no port: write HOST:PORT, :PORT or unix:/PATH");
    const char *host = address;
    size_t size = (size_t)(colon - address);
    if (size >= 2 && host[0] == '[' && host[size - 1] == ']') {
        host++;
        size -= 2;
    } else if (memchr(host, ':', size)) {
        return bad_address(err, address, "write an IPv6 address in brackets: [::1]:5050");
    }
    if (size >= sizeof(endpoint->host))
        return bad_address(err, address, "the host name is too long");
    memcpy(endpoint->host, host, size);
    endpoint->host[size] = '\0';
    return parse_port(address, colon + 1, &endpoint->port, err);
}

static void add_address(struct address_list *list, const struct sockaddr *address, socklen_t size,
                        uint16_t port)
{
    struct sockaddr_storage item = {0};
    if (size > sizeof(item) || list->count == COUNT_OF(list->items))
        return;
    memcpy(&item, address, size);
    *port_of(&item) = htons(port);
    for (size_t i = 0; i < list->count; i++)
        if (memcmp(&list->items[i], &item, sizeof(item)) == 0)
            return;
    list->items[list->count++] = item;
}

/* Each address of each loopback interface that is up. */
static int loopback_addresses(struct address_list *list, uint16_t port, struct cj_error *err)
{
    struct ifaddrs *all;
    if (getifaddrs(&all) < 0)
        return error_errno(err, "list the network interfaces");
    for (struct ifaddrs *at = all; at; at = at->ifa_next) {
        bool up = (at->ifa_flags & IFF_LOOPBACK) && (at->ifa_flags & IFF_UP) && at->ifa_addr;
        if (up && at->ifa_addr->sa_family == AF_INET)
            add_address(list, at->ifa_addr, sizeof(struct sockaddr_in), port);
        else if (up && at->ifa_addr->sa_family == AF_INET6)
            add_address(list, at->ifa_addr, sizeof(struct sockaddr_in6), port);
    }
    freeifaddrs(all);
    if (list->count == 0)
        return error_set(err, ERROR_UNSUPPORTED, 0, "no loopback interface is up");
    return 0;
}

static int resolve(const struct endpoint *endpoint, struct address_list *list, struct cj_error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    int failure = getaddrinfo(endpoint->host, NULL, &hints, &found);
    if (failure == EAI_SYSTEM)
        return error_errno(err, "look up '%s'", endpoint->host);
    if (failure)
        return error_set(err, ERROR_CONFIG, 0, "look up '%s': %s", endpoint->host,
                         gai_strerror(failure));
    for (struct addrinfo *at = found; at; at = at->ai_next)
        if (at->ai_family == AF_INET || at->ai_family == AF_INET6)
            add_address(list, at->ai_addr, at->ai_addrlen, endpoint->port);
    freeaddrinfo(found);
    if (list->count == 0)
        return error_set(err, ERROR_CONFIG, 0, "'%s' has no address", endpoint->host);
    return 0;
}

/* ---- sockets ---- */

static int set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value));
}

/* What connections inherit from the listening socket needs no call for each of them (tcp(7)). */
static int set_tcp_options(int fd, int family)
{
    if (family == AF_INET6 && set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) < 0)
        return -1;
    if (set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0 ||
        set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1) < 0 ||
        set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S) < 0 ||
        set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S) < 0 ||
        set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT) < 0)
        return -1;
    return set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

static int listen_tcp(const struct sockaddr_storage *address, struct listener *listener,
                      struct cj_error *err)
{
    struct sockaddr_storage bound = *address;
    socklen_t size = address_size(address);
    address_format(address, listener->text, sizeof(listener->text));
    auto_fd int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || set_tcp_options(fd, address->ss_family) < 0 ||
        bind(fd, (const struct sockaddr *)address, size) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &size) < 0)
        return error_errno(err, "listen at %s", listener->text);
    address_format(&bound, listener->text, sizeof(listener->text));
    listener->fd = fd_take(&fd);
    return 0;
}

/* Listens at each; where the port is 0, at the one that the first address was given. */
static int listen_all(struct address_list *list, struct listener *listeners, struct cj_error *err)
{
    struct sockaddr_storage bound;
    for (size_t i = 0; i < list->count; i++) {
        struct sockaddr_storage address = list->items[i];
        if (i > 0 && *port_of(&address) == 0) {
            socklen_t size = sizeof(bound);
            if (getsockname(listeners[0].fd, (struct sockaddr *)&bound, &size) < 0)
                return error_errno(err, "getsockname");
            *port_of(&address) = *port_of(&bound);
        }
        if (listen_tcp(&address, &listeners[i], err) < 0) {
            while (i > 0)
                listener_close(&listeners[--i]);
            return -1;
        }
    }
    return 0;
}

static int open_addresses(struct address_list *list, struct listener *listeners,
                          struct cj_error *err)
{
    int result = -1;
    int tries = *port_of(&list->items[0]) == 0 ? FREE_PORT_TRIES : 1;
    while (tries-- > 0) {
        result = listen_all(list, listeners, err);
        if (result == 0 || !err || err->code != EADDRINUSE)
            break;
    }
    return result;
}

/* Every address: of both families where there are both. */
static int open_wildcard(struct address_list *list, uint16_t port, struct listener *listeners,
                         struct cj_error *err)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = in6addr_any};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    add_address(list, (struct sockaddr *)&four, sizeof(four), port);
    add_address(list, (struct sockaddr *)&six, sizeof(six), port);
    if (open_addresses(list, listeners, err) == 0)
        return 0;
    if (!err || (err->code != EAFNOSUPPORT && err->code != EADDRNOTAVAIL))
        return -1;
    list->count = 1; /* no IPv6 here */
    return open_addresses(list, listeners, err);
}

/* ---- socket files ---- */

/* Whether somebody listens at a socket file that is there already. */
static bool is_alive(const struct sockaddr_un *address, socklen_t size)
{
    auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd < 0 || connect(fd, (const struct sockaddr *)address, size) == 0 ||
           errno != ECONNREFUSED;
}

static int bind_unix(int fd, const struct sockaddr_un *address, socklen_t size,
                     struct cj_error *err)
{
    struct stat status;
    const char *path = address->sun_path;
    if (bind(fd, (const struct sockaddr *)address, size) == 0)
        return 0;
    if (errno != EADDRINUSE || path[0] == '\0')
        return error_errno(err, "bind");
    if (lstat(path, &status) < 0)
        return error_errno(err, "look at %s", path);
    if (!S_ISSOCK(status.st_mode))
        return error_set(err, ERROR_SYSTEM, EEXIST, "%s is there and no socket", path);
    if (is_alive(address, size))
        return error_set(err, ERROR_SYSTEM, EADDRINUSE, "another process listens there");
    if (unlink(path) < 0)
        return error_errno(err, "remove the old socket");
    if (bind(fd, (const struct sockaddr *)address, size) < 0)
        return error_errno(err, "bind");
    return 0;
}

static int open_unix(const char *name, struct listener *listener, struct cj_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    size_t length = strlen(name);
    bool abstract = name[0] == '@';
    if (length == 0 || length >= sizeof(address.sun_path))
        return error_set(err, ERROR_CONFIG, 0, "a socket's path has 1 to %zu bytes",
                         sizeof(address.sun_path) - 1);
    memcpy(address.sun_path, name, length);
    if (abstract)
        address.sun_path[0] = '\0';
    socklen_t size =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (abstract ? 0 : 1));

    auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* The mode before the file is there: nobody else gets in between bind(2) and chmod(2),
     * unix(7). */
    if (fd < 0 || fchmod(fd, 0660) < 0)
        return error_errno(err, "make a socket");
    if (bind_unix(fd, &address, size, err) < 0)
        return -1;
    if (!abstract && (chmod(name, 0660) < 0 || stat(name, &status) < 0))
        return error_errno(err, "set the mode of %s", name);
    if (listen(fd, BACKLOG) < 0)
        return error_errno(err, "listen");
    snprintf(listener->text, sizeof(listener->text), "unix:%s", name);
    if (!abstract) {
        listener->device = status.st_dev;
        listener->inode = status.st_ino;
    }
    listener->fd = fd_take(&fd);
    return 0;
}

/* ---- all of an address ---- */

static int open_inet(const char *address, struct address_list *list, struct listener *listeners,
                     struct cj_error *err)
{
    struct endpoint endpoint;
    if (parse_endpoint(address, &endpoint, err) < 0)
        return -1;
    if (endpoint.host[0] == '\0')
        return open_wildcard(list, endpoint.port, listeners, err);
    int found = strcmp(endpoint.host, "localhost") == 0
                    ? loopback_addresses(list, endpoint.port, err)
                    : resolve(&endpoint, list, err);
    return found < 0 ? -1 : open_addresses(list, listeners, err);
}

int listener_open_all(const char *address, struct listener **listeners, size_t *count,
                      struct cj_error *err)
{
    struct cj_error own; /* what went wrong decides on the next step */
    auto_free struct address_list *list = calloc(1, sizeof(*list));
    auto_free struct listener *made = calloc(LISTENERS_MAX, sizeof(*made));
    if (!list || !made)
        return error_errno(err, "listen at '%s'", address);
    if (!err)
        err = &own;
    if (strncmp(address, "unix:", 5) == 0) {
        if (open_unix(address + 5, made, err) < 0)
            return error_wrap(err, "listen at '%s'", address);
        list->count = 1;
    } else if (open_inet(address, list, made, err) < 0) {
        return -1;
    }
    *count = list->count;
    *listeners = made;
    made = NULL;
    return 0;
}

void listener_close(struct listener *listener)
{
    struct stat status;
    const char *path = listener->text + strlen("unix:");
    /* Another process may have put its own there meanwhile. */
    if (listener->inode != 0 && lstat(path, &status) == 0 && status.st_dev == listener->device &&
        status.st_ino == listener->inode)
        unlink(path);
    fd_close(&listener->fd);
}

/* The spawner: starts the inits of containers. See spawner.h for who lives and dies with whom. */
#include "spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/io.h"
#include "fd_message.h"
#include "init/protocol.h"

struct spawner {
    pthread_mutex_t lock; /* one request at a time */
    int socket;
    int pid_fd;
    pid_t pid;
};

enum spawn_op { SPAWN_START = 1, SPAWN_RELEASE };
enum {
    SPAWN_FDS = 5,
    ANSWER_SECONDS = 15, /* for what takes milliseconds, on a machine that is busy */
};

/* Every message is one of these, both ways; descriptors of START: image, setup, arena, run, files. */
struct spawn_message {
    uint32_t op;
    pid_t pid;
    struct spawn_request request; /* its descriptors are not used: they travel beside */
    struct cj_error error;        /* in answers; domain ERROR_NONE = done */
};

/* ---- messages ---- */

/* Returns the number of descriptors, or -1 with errno (EPIPE: the other side is gone). */
static int receive_message(int socket, struct spawn_message *message, int *fds)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(SPAWN_FDS * sizeof(int))];
    } control;
    struct iovec part = {.iov_base = message, .iov_len = sizeof(*message)};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof(control)};
    ssize_t got;
    do
        got = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got == 0)
        errno = EPIPE;
    else if (got > 0 && got != (ssize_t)sizeof(*message))
        errno = EPROTO;
    if (got != (ssize_t)sizeof(*message))
        return -1;
    struct cmsghdr *first = CMSG_FIRSTHDR(&header);
    if (first == NULL || first->cmsg_type != SCM_RIGHTS)
        return 0;
    int count = (int)((first->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(fds, CMSG_DATA(first), (size_t)count * sizeof(int));
    return count;
}

/* ---- in the new process, before it becomes init ---- */

/* Places init's descriptors, then execve's it from its memfd. Alone in new namespaces; all that can
 * go wrong here ends in _exit, which the service sees as end of file on the run socket. */
NORETURN static void become_init(const struct spawn_message *message, const int *fds, int go_fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    char go;
    if (read(go_fd, &go, 1) != 1)
        _exit(0); /* the spawner is gone */
    if (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0)
        _exit(101);
    (void)message;
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0)
        _exit(102);
    const struct {
        int from, to;
    } places[] = {
        {null_fd, STDIN_FILENO}, {null_fd, STDOUT_FILENO}, {fds[3], INIT_FD_RUN},
        {fds[4], INIT_FD_FILES}, {fds[1], INIT_FD_SETUP},  {fds[2], INIT_FD_ARENA},
    };
    int high[COUNT_OF(places)];
    int image_fd = fcntl(fds[0], F_DUPFD_CLOEXEC, 64);
    for (size_t i = 0; i < COUNT_OF(places); i++)
        high[i] = fcntl(places[i].from, F_DUPFD_CLOEXEC, 64);
    for (size_t i = 0; i < COUNT_OF(places); i++)
        if (dup2(high[i], places[i].to) < 0)
            _exit(103);
    char *const args[] = {(char[]){"cjudge-init"}, NULL};
    char *const environment[] = {NULL};
    syscall(SYS_execveat, image_fd, "", args, environment, AT_EMPTY_PATH);
    dprintf(STDERR_FILENO, "cjudge-init: cannot be executed: %s\n", strerror(errno));
    _exit(104);
}

/* ---- the spawner process ---- */

/* The process that was started and not yet released; one at a time is enough. */
static struct {
    pid_t pid;
    int go_fd;
    struct spawn_request request;
} held = {.go_fd = -1};

static int write_id_map(pid_t pid, const char *file, uint32_t inside, const struct spawn_request *r,
                        uint32_t own, struct cj_error *err)
{
    char path[64], map[128];
    snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
    if (r->single_id)
        snprintf(map, sizeof(map), "0 %u 1\n", own);
    else
        snprintf(map, sizeof(map), "0 %u 1\n%u %u 1\n", r->host_init_id, inside, r->host_run_id);
    return write_file_at(AT_FDCWD, path, map, err);
}

static int release(pid_t pid, struct cj_error *err)
{
    if (pid != held.pid || held.go_fd < 0)
        return error_set(err, ERROR_INTERNAL, 0, "process %d is not held", pid);
    const struct spawn_request *request = &held.request;
    char path[64];
    if (request->single_id) {
        snprintf(path, sizeof(path), "/proc/%d/setgroups", pid);
        if (write_file_at(AT_FDCWD, path, "deny", err) < 0)
            return -1;
    }
    if (write_id_map(pid, "uid_map", request->run_uid, request, geteuid(), err) < 0 ||
        write_id_map(pid, "gid_map", request->run_gid, request, getegid(), err) < 0)
        return error_wrap(err, err->code == EPERM && !request->single_id
                                   ? "give the container its ids (root needs CAP_SETUID and "
                                     "CAP_SETGID for that, and a /proc of its pid namespace)"
                                   : "give the container its ids");
    if (request->cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(request->cpu, &set);
        if (sched_setaffinity(pid, sizeof(set), &set) < 0)
            return error_errno(err, "pin init to CPU %d", request->cpu);
    }
    if (write(held.go_fd, "g", 1) != 1)
        return error_errno(err, "release init");
    return 0;
}

static int start(const struct spawn_message *message, const int *fds, pid_t *pid, int *pid_fd,
                 struct cj_error *err)
{
    int go[2];
    if (pipe2(go, O_CLOEXEC) < 0)
        return error_errno(err, "pipe2");
    *pid_fd = -1;
    struct clone_args args = {
        .flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
                 (message->request.share_net ? 0 : CLONE_NEWNET) | CLONE_PIDFD,
        .pidfd = (uint64_t)(uintptr_t)pid_fd,
        .exit_signal = SIGCHLD,
    };
    pid_t child = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    if (child < 0 &&
        errno == ENOSYS) { /* an outer filter (old container engines): same by clone(2) */
        child = (pid_t)syscall(SYS_clone, (args.flags & ~0xffULL) | SIGCHLD, 0, pid_fd, 0, 0);
    }
    if (child == 0) {
        close(go[1]);
        become_init(message, fds, go[0]);
    }
    int saved_errno = errno;
    close(go[0]);
    if (child < 0) {
        close(go[1]);
        errno = saved_errno;
        return error_errno(
            err, "make the container's namespaces%s",
            saved_errno == ENOSPC  ? " (raise user.max_user_namespaces and its siblings)"
            : saved_errno == EPERM ? " (user namespaces are forbidden here: see cjudge doctor)"
                                   : "");
    }
    if (held.go_fd >= 0)
        close(held.go_fd);
    held.pid = child;
    held.go_fd = go[1];
    held.request = message->request;
    *pid = child;
    return 0;
}

static void serve(int socket)
{
    struct spawn_message message;
    int fds[SPAWN_FDS] = {-1, -1, -1, -1, -1};
    int count = receive_message(socket, &message, fds);
    if (count < 0)
        _exit(0); /* the service is gone: inits follow by their parent-death signal */
    error_clear(&message.error);
    int pid_fd = -1;
    if (message.op == SPAWN_START && count == SPAWN_FDS) {
        start(&message, fds, &message.pid, &pid_fd, &message.error);
    } else if (message.op == SPAWN_RELEASE) {
        release(message.pid, &message.error);
        close(held.go_fd);
        held.go_fd = -1;
    } else {
        error_set(&message.error, ERROR_INTERNAL, 0, "a message that the spawner does not know");
    }
    for (int i = 0; i < count; i++)
        close(fds[i]);
    if (fd_message_send(socket, &message, sizeof(message), &pid_fd, pid_fd >= 0 ? 1 : 0) < 0)
        _exit(0);
    if (pid_fd >= 0)
        close(pid_fd);
}

/* As high as we may, so that a run's limits are the only ones: only root can raise hard limits. */
static void raise_limits(void)
{
    static const int resources[] = {RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_DATA,
                                    RLIMIT_AS,  RLIMIT_STACK, RLIMIT_NPROC};
    for (size_t i = 0; i < COUNT_OF(resources); i++) {
        struct rlimit limit;
        if (getrlimit(resources[i], &limit) < 0)
            continue;
        struct rlimit most = {RLIM_INFINITY, RLIM_INFINITY};
        if (resources[i] ==
            RLIMIT_STACK) /* the soft limit is what programs get when none is asked */
            most.rlim_cur = limit.rlim_cur == RLIM_INFINITY ? 8 * 1024 * 1024 : limit.rlim_cur;
        if (setrlimit(resources[i], &most) < 0) {
            limit.rlim_cur = resources[i] == RLIMIT_STACK ? limit.rlim_cur : limit.rlim_max;
            (void)setrlimit(resources[i], &limit);
        }
    }
    /* Descriptors of ours must not stand in the way of placing init's. */
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    /* No core files. Where the host pipes cores to a handler of its own, 0 would still start it, and
     * only the special value 1 stops it: core(5), fs/coredump.c. */
    char pattern[256] = "";
    rlim_t core =
        read_file_at(AT_FDCWD, "/proc/sys/kernel/core_pattern", pattern, sizeof(pattern)) > 0 &&
                pattern[0] == '|'
            ? 1
            : 0;
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){core, core});
}

NORETURN static void spawner_main(int socket)
{
    prctl(PR_SET_NAME, "cjudge-spawner");
    if (geteuid() == 0) /* otherwise we could not write the id maps of what we start, proc(5) */
        prctl(PR_SET_DUMPABLE, 0);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    signal(SIGINT, SIG_IGN); /* Ctrl-C reaches the group: the service decides, we follow it */
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    struct sigaction no_zombies = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
    sigaction(SIGCHLD, &no_zombies, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    raise_limits();
    if (getpriority(PRIO_PROCESS, 0) < 0) /* a slot's, when we are started anew */
        (void)setpriority(PRIO_PROCESS, 0, 0);
    if (geteuid() == 0)
        (void)setgroups(0, NULL);
    if (chdir("/") < 0)
        _exit(1);
    for (;;)
        serve(socket);
}

/* ---- in the service ---- */

int spawner_open(struct spawner **out, struct cj_error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_errno(err, "socketpair");
    auto_fd int ours = pair[0];
    auto_fd int theirs = pair[1];
    struct spawner *spawner = calloc(1, sizeof(*spawner));
    if (spawner == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "start the spawner: out of memory");
    int pid_fd = -1;
    pid_t pid = fork();
    if (pid == 0) {
        /* Locks, sockets and files of the service must not live longer than it through us. */
        if (dup2(theirs, 3) < 0 || syscall(SYS_close_range, 4, ~0U, 0) < 0)
            _exit(1);
        fcntl(3, F_SETFD, FD_CLOEXEC);
        spawner_main(3);
    }
    if (pid > 0)
        pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pid < 0 || pid_fd < 0) {
        free(spawner);
        return error_errno(err, "fork the spawner");
    }
    const struct timeval patience = {.tv_sec = ANSWER_SECONDS};
    (void)setsockopt(ours, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    pthread_mutex_init(&spawner->lock, NULL);
    spawner->socket = fd_take(&ours);
    spawner->pid = pid;
    spawner->pid_fd = pid_fd;
    *out = spawner;
    return 0;
}

/* It has nothing to leave in order. A kill reaches it also when it is stopped. */
static void end_process(const struct spawner *spawner)
{
    (void)syscall(SYS_pidfd_send_signal, spawner->pid_fd, SIGKILL, NULL, 0);
}

static int call(struct spawner *spawner, struct spawn_message *message, const int *fds, int count,
                int *pid_fd, struct cj_error *err)
{
    int answer_fds[SPAWN_FDS] = {-1};
    pthread_mutex_lock(&spawner->lock);
    int result = fd_message_send(spawner->socket, message, sizeof(*message), fds, count);
    if (result == 0)
        result = receive_message(spawner->socket, message, answer_fds);
    int code = errno;
    if (result < 0) /* or stopped: then a new one is better, too */
        end_process(spawner);
    pthread_mutex_unlock(&spawner->lock);
    if (result < 0)
        return error_set(err, ERROR_INTERNAL, code, "the spawner %s (%s)",
                         code == EAGAIN ? "does not answer" : "has died", strerror(code));
    if (result > 0 && pid_fd != NULL)
        *pid_fd = answer_fds[0];
    if (message->error.domain != ERROR_NONE) {
        if (err != NULL)
            *err = message->error;
        return -1;
    }
    return 0;
}

int spawner_start(struct spawner *spawner, const struct spawn_request *request, pid_t *pid,
                  int *pid_fd, struct cj_error *err)
{
    struct spawn_message message = {.op = SPAWN_START, .request = *request};
    const int fds[SPAWN_FDS] = {request->image_fd, request->setup_fd, request->arena_fd,
                                request->run_fd, request->files_fd};
    *pid_fd = -1;
    if (call(spawner, &message, fds, SPAWN_FDS, pid_fd, err) < 0)
        return -1;
    *pid = message.pid;
    return 0;
}

int spawner_release(struct spawner *spawner, pid_t pid, struct cj_error *err)
{
    struct spawn_message message = {.op = SPAWN_RELEASE, .pid = pid};
    return call(spawner, &message, NULL, 0, NULL, err);
}

bool spawner_alive(const struct spawner *spawner)
{
    struct pollfd ended = {.fd = spawner->pid_fd, .events = POLLIN};
    return poll(&ended, 1, 0) == 0;
}

pid_t spawner_pid(const struct spawner *spawner)
{
    return spawner->pid;
}

void spawner_close(struct spawner *spawner)
{
    if (spawner == NULL)
        return;
    close(spawner->socket);
    end_process(spawner);
    (void)waitpid(spawner->pid, NULL, 0);
    close(spawner->pid_fd);
    pthread_mutex_destroy(&spawner->lock);
    free(spawner);
}

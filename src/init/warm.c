/* Warm interpreters: started once, then forked for each run.
 *
 *     keeper ── clone, ptrace ──► interpreter: starts as `python3 main.py` would, and is stopped in front of the
 *       │                          first system call that names main.py. Its registers are kept, our code is put in
 *       │                          (stub.c), and it is let go: now it only waits for us, and forks
 *       │                              │ CLONE_PARENT
 *       └── (parent of both) ◄────── child: in the run's group, waits for its request
 *                                      ▲
 *                 launcher ────────────┘ descriptors, limits; then it is the run, and goes on with that system call
 *
 * Why so and not by a script of the interpreter's own language: up to its program the interpreter is the very one
 * that starts cold, for the same arguments, environment and kinds of streams, and nothing of ours is in its
 * modules or below its frames. What it starts with is trusted: the service names only interpreters of
 * its configuration, variables that no loader obeys, and has the writable file systems empty.
 *
 * Until a run begins these processes are container root, which on the host is nobody; they hold no capability but
 * those to become the run, cannot be traced, signalled or read by a program, and are filtered like one. The
 * keeper is a thread of its own since it traces, which the launcher's filter forbids, and since what it clones
 * must not have the janitor's priority. Who loses its parent becomes the launcher's child (it is the leader), so
 * what the launcher has for children at the end of a run are that run's leavings only: __WNOTHREAD.
 *
 * Everything here happens between runs, but warm_hand_over() and warm_ended(), which are the launcher's. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init.h"
#include "stub.h"
#include "warm.h"

/* The service waits for 10 s, and then takes init for dead. */
enum { START_SECONDS = 7, PROGRAM_PATH_MAX = 512 };

struct warm {
    pid_t pid;   /* of the interpreter; 0: there is none */
    int control; /* to it */
    int score;   /* its oom_score_adj */
    char usual_score[8];
    pid_t child; /* who waits to be the next run; 0: nobody */
    int child_socket;
    char path[PROGRAM_PATH_MAX]; /* of its program */
    struct stat program;
};

static struct warm warms[INIT_WARM_MAX];
static pid_t handed;     /* who has been given a request, until he is reaped; 0: nobody */
static unsigned sockets; /* that stand open for them, both ends */

/* One question of the janitor's to the keeper. */
static struct {
    sem_t asked, answered;
    const struct init_request *request;
    struct init_answer *answer;
    volatile pid_t pid; /* the interpreter that it is about; 0: none */
} job;

/* ---- whoever is there ---- */

static void close_socket(int *fd)
{
    if (*fd < 0)
        return;
    close(*fd);
    *fd = -1;
    sockets -= 2; /* the other end is gone, or goes with its process */
}

static void forget_child(struct warm *warm)
{
    warm->child = 0;
    close_socket(&warm->child_socket);
}

static void forget(struct warm *warm)
{
    forget_child(warm);
    close_socket(&warm->control);
    if (warm->score >= 0)
        close(warm->score);
    *warm = (struct warm){.control = -1, .child_socket = -1, .score = -1};
}

/* Of what the keeper has cloned, which has no children of its own. */
static void end_process(pid_t pid)
{
    if (pid <= 0)
        return;
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        continue;
}

static void stop(struct warm *warm)
{
    pid_t child = warm->child, pid = warm->pid;
    end_process(child);
    end_process(pid);
    forget(warm);
}

unsigned warm_sockets(void)
{
    return sockets;
}

bool warm_any(void)
{
    for (unsigned i = 0; i < INIT_WARM_MAX; i++)
        if (warms[i].pid != 0)
            return true;
    return false;
}

uint32_t warm_alive(void)
{
    uint32_t alive = 0;
    for (unsigned i = 0; i < INIT_WARM_MAX; i++)
        if (warms[i].pid != 0)
            alive |= 1U << i;
    return alive;
}

void warm_ended(pid_t pid)
{
    if (pid == handed)
        __atomic_store_n(&handed, 0, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < INIT_WARM_MAX; i++) {
        if (warms[i].child == pid)
            forget_child(&warms[i]);
        if (warms[i].pid == pid)
            forget(&warms[i]); /* who waits in it sees the end of its socket, and ends */
    }
}

/* ---- messages ---- */

static bool send_message(int socket, const void *message, size_t size, const int *fds, int count)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(STUB_FDS_MAX * sizeof(int))];
    } control;
    struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = size};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        memset(&control.header, 0, sizeof(control.header));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
        memcpy(CMSG_DATA(&control.header), fds, (size_t)count * sizeof(int));
        header.msg_control = &control;
        header.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
    }
    ssize_t sent;
    do
        sent = sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)size;
}

/* The socket has a timeout: make_sockets(). */
bool warm_receive(int socket, void *message, size_t size, int flags)
{
    ssize_t got;
    do
        got = recv(socket, message, size, flags | MSG_TRUNC);
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)size;
}

int warm_be_patient(int socket, int milliseconds)
{
    const struct timeval patience = {.tv_sec = milliseconds / 1000};
    return setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

static int make_sockets(int ends[static 2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -1;
    sockets += 2;
    return warm_be_patient(ends[0], ANSWER_MS);
}

/* ---- starting one ---- */

static bool open_score(struct warm *warm)
{
    warm->score = warm_open_proc(warm->pid, "oom_score_adj", O_RDWR);
    return warm->score >= 0 &&
           pread(warm->score, warm->usual_score, sizeof(warm->usual_score) - 1, 0) > 0;
}

static enum init_warm_obstacle start_one(struct warm *warm, const struct init_request *request)
{
    int ends[2];
    enum init_warm_obstacle obstacle = WARM_SYSTEM;
    if (make_sockets(ends) == 0) {
        warm->control = ends[0];
        warm->pid = job.pid = warm_begin(request, ends[1]);
        if (warm->pid > 0)
            obstacle = warm_bring_up(warm->pid, warm->control);
        else
            warm->pid = 0;
    }
    if (obstacle == WARM_NONE && !open_score(warm))
        obstacle = WARM_SYSTEM;
    int saved_errno = errno;
    job.pid = 0;
    if (obstacle != WARM_NONE)
        stop(warm);
    errno = saved_errno;
    return obstacle;
}

/* ---- the next run's process ---- */

/* Programs are offered to the OOM killer, init and interpreters are not (child.c): what is forked begins with the score
 * of who forks it, as it is then. A file of the child's own would take 40 us, here and when the kernel forgets the process. So
 * who waits may be the one that is killed for another one's memory, after which that one's turn comes; it is replaced. */
static bool set_score(const struct warm *warm, const char *score)
{
    return pwrite(warm->score, score, strlen(score), 0) > 0;
}

static enum init_warm_obstacle fork_next(struct warm *warm, uint32_t flags, int group_fd)
{
    struct stub_fork command = {.magic = STUB_MAGIC, .flags = flags};
    struct stub_forked failed = {.pid = -EPROTO};
    struct stub_started waits;
    int ends[2];
    if (warm->child != 0 && group_fd < 0)
        return WARM_NONE;
    end_process(warm->child); /* it is in a group of before, where nobody looks any more */
    forget_child(warm);
    if (make_sockets(ends) < 0)
        return WARM_SYSTEM;
    warm->child_socket = ends[0];
    const int passed[] = {ends[1], group_fd};
    bool sent = send_message(warm->control, &command, sizeof(command), passed,
                             (flags & STUB_INTO_CGROUP) != 0 ? 2 : 1);
    close(ends[1]);
    if (sent && warm_receive(warm->child_socket, &waits, sizeof(waits), 0)) {
        warm->child = waits.magic == STUB_MAGIC ? (pid_t)waits.pid : 0;
        if (warm->child <= 0 || waits.step != STEP_NONE)
            return WARM_SILENT;
    } else if (sent && warm_receive(warm->control, &failed, sizeof(failed), 0)) {
        errno = -failed.pid; /* nobody has the other end any more */
        return WARM_SYSTEM;
    } else {
        return WARM_SILENT;
    }
    return WARM_NONE;
}

static enum init_warm_obstacle prepare(struct warm *warm, uint32_t flags, int group_fd)
{
    if (!set_score(warm, "1000"))
        return WARM_SYSTEM;
    enum init_warm_obstacle obstacle = fork_next(warm, flags, group_fd);
    int saved_errno = errno;
    if (!set_score(warm, warm->usual_score))
        return WARM_SYSTEM;
    errno = saved_errno;
    return obstacle;
}

/* ---- the keeper ---- */

static bool remember_program(struct warm *warm, const char *path)
{
    return snprintf(warm->path, sizeof(warm->path), "%s", path) < (int)sizeof(warm->path) &&
           stat(path, &warm->program) == 0;
}

/* An upgrade brings another file, and with it other ones that only a new start reads. */
static bool program_changed(const struct warm *warm)
{
    struct stat now;
    return stat(warm->path, &now) < 0 || now.st_dev != warm->program.st_dev ||
           now.st_ino != warm->program.st_ino || now.st_size != warm->program.st_size ||
           now.st_ctim.tv_sec != warm->program.st_ctim.tv_sec ||
           now.st_ctim.tv_nsec != warm->program.st_ctim.tv_nsec;
}

static enum init_warm_obstacle serve(const struct init_request *request)
{
    struct warm *warm = &warms[request->index];
    enum init_warm_obstacle obstacle = WARM_NONE;
    switch (request->warm_action) {
    case WARM_STOP:
        stop(warm);
        break;
    case WARM_START:
        stop(warm);
        obstacle = start_one(warm, request);
        if (obstacle == WARM_NONE && !remember_program(warm, warm_program())) {
            obstacle = WARM_SYSTEM;
            stop(warm);
        }
        break;
    default:
        errno = EINVAL;
        return WARM_SYSTEM;
    }
    return obstacle;
}

/* By whoever asks: it is the interpreter that clones, and nobody traces it any more. */
static enum init_warm_obstacle serve_prepare(const struct init_request *request, int group_fd)
{
    struct warm *warm = &warms[request->index];
    bool into = group_fd >= 0;
    if (warm->pid == 0)
        return WARM_ENDED;
    if (into && self.setup->warm_clone3_args_address == 0) {
        errno = EINVAL;
        return WARM_SYSTEM;
    }
    uint32_t flags = (request->dirt & STUB_NEW_CGROUP_NS) | (into ? STUB_INTO_CGROUP : 0U);
    enum init_warm_obstacle obstacle =
        program_changed(warm) ? WARM_CHANGED : prepare(warm, flags, group_fd);
    int saved_errno = errno;
    if (obstacle != WARM_NONE)
        stop(warm);
    errno = saved_errno;
    return obstacle;
}

static void *keeper_thread(void *nothing)
{
    (void)nothing;
    for (;;) {
        while (sem_wait(&job.asked) < 0)
            continue;
        enum init_warm_obstacle obstacle = serve(job.request);
        job.answer->detail = obstacle;
        job.answer->error = obstacle == WARM_SYSTEM ? errno : 0;
        if (obstacle == WARM_NONE && job.request->warm_action == WARM_START)
            job.answer->memory_bytes = warm_own_memory(warms[job.request->index].pid);
        sem_post(&job.answered);
    }
    return NULL;
}

void warm_start_keeper(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    for (unsigned i = 0; i < INIT_WARM_MAX; i++)
        forget(&warms[i]);
    sockets = 0;
    if ((self.setup->flags & SETUP_WARM) == 0)
        return;
    if (sem_init(&job.asked, 0, 0) < 0 || sem_init(&job.answered, 0, 0) < 0 ||
        pthread_attr_init(&attributes) != 0 ||
        pthread_attr_setstacksize(&attributes, 128 * 1024) != 0 ||
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) != 0)
        give_up("the keeper's attributes");
    errno = pthread_create(&thread, &attributes, keeper_thread, NULL);
    if (errno != 0)
        give_up("start the keeper");
}

void warm_ask(const struct init_request *request, int group_fd, struct init_answer *answer)
{
    if ((self.setup->flags & SETUP_WARM) == 0 || request->index >= INIT_WARM_MAX ||
        (request->warm_action == WARM_START && !warm_take_strings(request))) {
        answer->error = EINVAL;
        answer->detail = WARM_SYSTEM;
        return;
    }
    if (request->warm_action == WARM_PREPARE) {
        enum init_warm_obstacle obstacle = serve_prepare(request, group_fd);
        answer->detail = obstacle;
        answer->error = obstacle == WARM_SYSTEM ? errno : 0;
        return;
    }
    job.request = request;
    job.answer = answer;
    sem_post(&job.asked);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += START_SECONDS;
    while (sem_timedwait(&job.answered, &until) < 0) {
        if (errno != ETIMEDOUT)
            continue;
        pid_t pid = job.pid; /* one that never comes to its program */
        if (pid > 0)
            kill(pid, SIGKILL);
        until.tv_sec++;
    }
}

/* ---- the launcher ---- */

uint32_t warm_waiting(void)
{
    uint32_t waiting = 0;
    for (unsigned i = 0; i < INIT_WARM_MAX; i++) {
        pid_t pid = warms[i].child;
        if (pid != 0 && waitpid(pid, NULL, __WALL | WNOHANG) != 0)
            warm_ended(pid);
        if (warms[i].child != 0)
            waiting |= 1U << i;
    }
    return waiting;
}

pid_t warm_hand_over(unsigned number, const struct init_exec *request, const int *sources,
                     int *socket)
{
    static struct stub_request message;
    int fds[STUB_FDS_MAX];
    if (number >= INIT_WARM_MAX || warms[number].child == 0)
        return 0;
    message.magic = STUB_MAGIC;
    message.flags = request->flags & RUN_CPU_SET;
    message.descriptor_count = request->descriptor_count;
    message.fd_count = 0;
    message.rlimit_mask = request->rlimit_mask;
    memcpy(message.rlimits, request->rlimits, sizeof(message.rlimits));
    memcpy(message.cpu_mask, request->cpu_mask, sizeof(message.cpu_mask));
    for (uint32_t i = 0; i < request->descriptor_count; i++) {
        message.places[i] = STUB_CLOSED;
        if (sources[i] < 0)
            continue;
        uint32_t known = 0;
        while (known < message.fd_count && fds[known] != sources[i])
            known++;
        if (known == STUB_FDS_MAX)
            return 0;
        if (known == message.fd_count)
            fds[message.fd_count++] = sources[i];
        message.places[i] = (uint16_t)known;
    }
    if (!send_message(warms[number].child_socket, &message, sizeof(message), fds,
                      (int)message.fd_count)) {
        end_process(warms[number].child); /* it is no other run's, either */
        forget_child(&warms[number]);
        return 0;
    }
    pid_t pid = warms[number].child;
    __atomic_store_n(&handed, pid, __ATOMIC_RELEASE);
    *socket = warms[number].child_socket;
    warms[number].child = 0;
    warms[number].child_socket = -1;
    return pid;
}

void warm_kill_handed(void)
{
    pid_t pid = __atomic_load_n(&handed, __ATOMIC_ACQUIRE);
    if (pid > 0)
        kill(pid, SIGKILL);
}

bool warm_has_begun(int socket)
{
    struct stub_started started;
    bool begun = warm_receive(socket, &started, sizeof(started), MSG_DONTWAIT) &&
                 started.magic == STUB_MAGIC && started.step == STEP_NONE;
    close_socket(&socket);
    return begun;
}

void warm_give_up(unsigned number)
{
    pid_t pid = warms[number].pid;
    end_process(pid); /* and counts for nobody */
    if (pid > 0)
        warm_ended(pid);
}

/* A container: made once, made fresh after each run, replaced where that is not enough. */
#include "sandbox/container.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/priority.h"
#include "container_channel.h"
#include "container_state.h"
#include "container_warm.h"
#include "sandbox_private.h"

enum {
    ENVIRONMENT_FILE_MAX = 1024 * 1024,
    ARENA_KEEP = 64 * 1024, /* more than this is given back after a run */
};

#define START_TIMEOUT                                                                              \
    (15 * NS_PER_S) /* a new container with its initCmd, on a machine that is busy */

/* ---- making one ---- */

static int make_output(struct container *container, int which, struct cj_error *err)
{
    struct init_request request = {.op = INIT_OP_OUTPUT,
                                   .index = (uint32_t)(INIT_KEPT_OUTPUT + which)};
    struct init_answer answer;
    auto_fd int reader = -1;
    if (container_ask(container, &request, -1, &answer, &reader, err) < 0)
        return -1;
    if (answer.error != 0)
        return container_answer_error(&answer, err);
    fd_close(&container->outputs[which]);
    container->outputs[which] = fd_take(&reader);
    return 0;
}

static int make_outputs(struct container *container, struct cj_error *err)
{
    for (int i = 0; i < INIT_OUTPUTS; i++)
        if (make_output(container, i, err) < 0)
            return -1;
    return 0;
}

/* When the group is another than before: v2 tells init which directory to clone into, v1 lets it know
 * with the next run. */
static int give_cgroup(struct container *container, struct cj_error *err)
{
    if (container->cgroup == NULL)
        return 0;
    unsigned generation = cgroup_generation(container->cgroup) + 1;
    if (generation == container->cgroup_generation)
        return 0;
    container->cgroup_moved = container->cgroup_generation != 0;
    container->cgroup_generation = generation;
    int fd = cgroup_clone_fd(container->cgroup);
    if (fd < 0)
        return 0;
    struct init_request request = {.op = INIT_OP_CGROUP};
    struct init_answer answer;
    return container_ask(container, &request, fd, &answer, NULL, err);
}

int container_make_room(struct container *container, uint64_t memory_bytes, struct cj_error *err)
{
    bool worn;
    if (container->cgroup == NULL || container->broken)
        return 0; /* container_start() says so */
    if (cgroup_make_room(container->cgroup, memory_bytes, &worn, err) < 0)
        return container_break(container, err, "make room for a run");
    if (!worn)
        return 0;
    container->dirt |= DIRT_INIT;
    return give_cgroup(container, err);
}

/* /.env: lines "K=V"; spaces around a line, empty lines and '#' lines do not count. */
static int read_environment(struct container *container, struct cj_error *err)
{
    auto_fd int fd = -1;
    bool not_regular;
    struct cj_error absent;
    if (container_open_out(container, "/.env", &fd, &not_regular, &absent) < 0)
        return 0;
    char path[64];
    size_t size;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (read_file_alloc(AT_FDCWD, path, ENVIRONMENT_FILE_MAX, &container->env_text, &size, err) < 0)
        return error_wrap(err, "read /.env of the container");
    size_t lines = 1;
    for (size_t i = 0; i < size; i++)
        lines += container->env_text[i] == '\n';
    container->env = calloc(lines, sizeof(*container->env));
    if (container->env == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "read /.env of the container: out of memory");
    char *rest = container->env_text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        line += strspn(line, " \t\r");
        size_t length = strlen(line);
        while (length > 0 && strchr(" \t\r", line[length - 1]) != NULL)
            line[--length] = '\0';
        if (length == 0 || line[0] == '#')
            continue;
        if (strchr(line, '=') == NULL)
            return error_set(err, ERROR_CONFIG, 0, "/.env: '%.80s' has no '='", line);
        container->env[container->env_count++] = line;
    }
    return 0;
}

static int make_arena(struct container *container, int *fd, struct cj_error *err)
{
    auto_fd int arena_fd = memfd_create("cjudge-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (arena_fd < 0 || ftruncate(arena_fd, INIT_ARENA_SIZE) < 0 ||
        fcntl(arena_fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW) < 0)
        return error_errno(err, "make the message arena");
    void *arena = mmap(NULL, INIT_ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, arena_fd, 0);
    if (arena == MAP_FAILED)
        return error_errno(err, "map the message arena");
    container->arena = arena;
    memset(container->arena + INIT_MADE_OFFSET, 0, INIT_MADE_SIZE); /* charged to us: protocol.h */
    *fd = fd_take(&arena_fd);
    return 0;
}

/* Held back, into its cgroups, released: nothing of the container exists outside of its group. */
static int spawn(struct container *container, struct spawn_request *request, struct cj_error *err)
{
    struct sandbox *sandbox = container->sandbox;
    struct spawner *spawner;
    pthread_mutex_lock(&sandbox->lock);
    int result = sandbox_spawner(sandbox, &spawner, err);
    if (result == 0)
        result = spawner_start(spawner, request, &container->pid, &container->pid_fd, err);
    if (result == 0 && container->cgroup != NULL)
        result = cgroup_adopt_init(container->cgroup, container->pid, err);
    if (result == 0)
        result = spawner_release(spawner, container->pid, err);
    pthread_mutex_unlock(&sandbox->lock);
    return result;
}

static int await_ready(struct container *container, struct cj_error *err)
{
    struct init_ready ready;
    struct cj_error local;
    if (channel_receive(container->run_fd, &ready, sizeof(ready), NULL, START_TIMEOUT, &local) <
        0) {
        if (local.code == ETIMEDOUT && container->sandbox->has_init_command)
            return error_set(err, ERROR_CONFIG, ETIMEDOUT, "initCmd has not ended after %d s",
                             (int)(START_TIMEOUT / NS_PER_S));
        if (err != NULL)
            *err = local;
        return error_wrap(err, "wait for the container's init");
    }
    if (ready.magic != INIT_MAGIC)
        return error_set(err, ERROR_INTERNAL, EPROTO,
                         "the container's init speaks another protocol");
    if (ready.failed != 0) {
        ready.step[sizeof(ready.step) - 1] = '\0';
        return error_set(err, ERROR_SYSTEM, ready.error, "%s: %s", ready.step,
                         strerror(ready.error));
    }
    return 0;
}

/* Init alone holds the other ends: its death is seen as end of file. */
static int give_pipes(struct container *container, struct cj_error *err)
{
    const struct init_pipes message = {.magic = INIT_MAGIC};
    int exec_pair[2], end_pair[2];
    if (pipe2(exec_pair, O_CLOEXEC) < 0)
        return error_errno(err, "pipe");
    auto_fd int exec_read_fd = exec_pair[0];
    container->exec_fd = exec_pair[1];
    if (pipe2(end_pair, O_CLOEXEC) < 0)
        return error_errno(err, "pipe");
    auto_fd int end_write_fd = end_pair[1];
    container->end_fd = end_pair[0];
    if (fcntl(container->end_fd, F_SETFL, O_NONBLOCK) < 0)
        return error_errno(err, "pipe");
    return channel_send(container->run_fd, &message, sizeof(message),
                        (const int[]){exec_read_fd, end_write_fd}, 2, err);
}

static void free_janitor(struct container *container, pid_t thread_id)
{
    container->janitor = thread_id;
    priority_raise(thread_id, -20);
    if (container->cgroup != NULL)
        cgroup_free_thread(container->cgroup, thread_id);
}

/* Init's janitor kills on demand, also when a program burns the CPU they share: it must not wait for its
 * turn. A thread of init may not raise itself, we may where we are root. Programs inherit from the other
 * thread. */
static void hurry_janitor(struct container *container)
{
    char path[64], name[32];
    snprintf(path, sizeof(path), "/proc/%d/task", container->pid);
    DIR *tasks = opendir(path);
    for (const struct dirent *entry; tasks != NULL && (entry = readdir(tasks)) != NULL;) {
        int tid = atoi(entry->d_name);
        if (tid <= 0 || tid == container->pid)
            continue;
        snprintf(path, sizeof(path), "%d/comm", tid);
        if (read_file_at(dirfd(tasks), path, name, sizeof(name)) > 0 &&
            strcmp(name, INIT_JANITOR_NAME) == 0)
            free_janitor(container, tid);
    }
    if (tasks != NULL)
        closedir(tasks);
}

static int make(struct container *container, struct cj_error *err)
{
    struct sandbox *sandbox = container->sandbox;
    int run_pair[2], files_pair[2];
    if (!sandbox->single_id) {
        pthread_mutex_lock(&sandbox->lock);
        int taken = id_range_take(&sandbox->ids, container->index, &container->host_id, err);
        pthread_mutex_unlock(&sandbox->lock);
        if (taken < 0)
            return -1;
    }
    uint32_t init_id = sandbox->single_id ? geteuid() : sandbox->ids.base;
    if (sandbox->cgroups != NULL &&
        cgroup_new(sandbox->cgroups, container->index, init_id,
                   INIT_TASKS + (sandbox->warm ? 1 : 0), &container->cgroup, err) < 0)
        return -1;
    container->run_cgroup = container->cgroup;
    auto_fd int arena_fd = -1;
    if (make_arena(container, &arena_fd, err) < 0)
        return -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, run_pair) < 0)
        return error_errno(err, "socketpair");
    container->run_fd = run_pair[0];
    auto_fd int init_run_fd = run_pair[1];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, files_pair) < 0)
        return error_errno(err, "socketpair");
    container->files_fd = files_pair[0];
    auto_fd int init_files_fd = files_pair[1];
    if (sandbox->trees != NULL && bind_trees_send(sandbox->trees, container->run_fd, err) < 0)
        return -1;
    struct spawn_request request = {
        .image_fd = sandbox->image_fd,
        .setup_fd = sandbox->setup_fd,
        .arena_fd = arena_fd,
        .run_fd = init_run_fd,
        .files_fd = init_files_fd,
        .share_net = sandbox->share_net,
        .single_id = sandbox->single_id,
        .cpu = container->cpu,
        .host_init_id = init_id,
        .host_run_id = container->host_id,
        .run_uid = sandbox->facts.uid,
        .run_gid = sandbox->facts.gid,
    };
    if (spawn(container, &request, err) < 0)
        return -1;
    fd_close(&init_run_fd); /* init's death is then seen as end of file */
    fd_close(&init_files_fd);
    if (await_ready(container, err) < 0 || give_pipes(container, err) < 0 ||
        make_outputs(container, err) < 0 || give_cgroup(container, err) < 0 ||
        read_environment(container, err) < 0)
        return -1;
    if (container->cgroup != NULL && cgroup_learn_init(container->cgroup, err) < 0)
        return -1;
    hurry_janitor(container);
    return 0;
}

/* ---- unmaking one ---- */

/* Init's death takes its pid namespace along; the pidfd reports it when the last process is gone. */
bool container_await_death(const struct container *container, int64_t timeout_ns)
{
    struct pollfd ended = {.fd = container->pid_fd, .events = POLLIN};
    struct timespec timeout = timespec_from_ns(timeout_ns);
    int ready;
    do
        ready = ppoll(&ended, 1, &timeout, NULL);
    while (ready < 0 && errno == EINTR);
    return ready > 0;
}

static void end_init(struct container *container)
{
    if (container->pid_fd < 0)
        return;
    (void)syscall(SYS_pidfd_send_signal, container->pid_fd, SIGKILL, NULL, 0);
    (void)container_await_death(container, CONTAINER_DEATH_TIMEOUT_NS);
    fd_close(&container->pid_fd);
}

static void unmake(struct container *container)
{
    container_forget_held(container);
    fd_close(&container->run_fd);
    fd_close(&container->exec_fd);
    fd_close(&container->end_fd);
    fd_close(&container->files_fd);
    end_init(container);
    for (int i = 0; i < INIT_OUTPUTS; i++)
        fd_close(&container->outputs[i]);
    container_forget_made(container);
    if (container->cgroup != NULL) {
        struct cj_error ignored; /* what stays is removed with the instance, or at the next start */
        if (cgroup_kill_all(container->cgroup, NS_PER_S, &ignored) < 0)
            container->broken = true;
    }
    container_warm_lost(container);
    cgroup_free(container->cgroup);
    container->cgroup = container->run_cgroup = NULL;
    if (container->arena != NULL)
        munmap(container->arena, INIT_ARENA_SIZE);
    container->arena = NULL;
    if (container->host_id != 0) {
        pthread_mutex_lock(&container->sandbox->lock);
        id_range_give_back(&container->sandbox->ids, container->host_id);
        pthread_mutex_unlock(&container->sandbox->lock);
        container->host_id = 0;
    }
    free_pointer(&container->env_text);
    free_pointer(&container->env);
    container->env_count = 0;
    container->cgroup_generation = 0;
    container->cgroup_moved = false;
}

static void clear(struct container *container)
{
    container->pid = -1;
    container->janitor = 0;
    container->janitor_urged = false;
    container->pid_fd = container->run_fd = container->files_fd = -1;
    container->exec_fd = container->end_fd = -1;
    container->outputs[0] = container->outputs[1] = -1;
    memset(container->made_fds, -1, sizeof(container->made_fds));
    container->made_place = -1;
    container->running = container->broken = container->copied_in = container->lost = false;
    container->outputs_given = 0;
    container->held = (struct container_held){0}; /* container_forget_held() has been called */
    container->dirt = 0;
    container->arena_used = 0;
}

int container_new(struct sandbox *sandbox, unsigned index, int cpu, struct container **out,
                  struct cj_error *err)
{
    struct container *container = calloc(1, sizeof(*container));
    if (container == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "make a container: out of memory");
    container->sandbox = sandbox;
    container->index = index;
    container->cpu = cpu;
    clear(container);
    if (make(container, err) < 0) {
        unmake(container);
        free(container);
        return error_wrap(err, "make container %u", index);
    }
    *out = container;
    return 0;
}

void container_free(struct container *container)
{
    if (container == NULL)
        return;
    unmake(container);
    container_warm_free(container);
    free(container);
}

static int replace(struct container *container, struct cj_error *err)
{
    unmake(container);
    clear(container);
    if (make(container, err) < 0) {
        unmake(container);
        clear(container);
        container->broken = true; /* tried again at the next reset */
        return error_wrap(err, "replace container %u", container->index);
    }
    return 0;
}

/* ---- fresh state ---- */

#define ALL_TMPFS (DIRT_IPC - 1U)

static int clean(struct container *container, struct cj_error *err)
{
    struct init_request request = {
        .op = INIT_OP_RESET,
        .dirt = (container->copied_in ? ALL_TMPFS : container->dirt & ALL_TMPFS) |
                (container->dirt & DIRT_SOCKETS),
        .keep_held = container->held.key != 0,
    };
    struct init_answer answer;
    if (container_ask(container, &request, -1, &answer, NULL, err) < 0)
        return -1;
    if (answer.error != 0)
        return container_answer_error(&answer, err);
    if (answer.detail == 0) {
        if (container->held.key != 0)
            container->held.key_lost = container->held.key;
        container_forget_held(container);
    }
    container->copied_in = false;
    return 0;
}

static void drain(int fd)
{
    char bytes[4096];
    ssize_t got;
    do
        got = read(fd, bytes, sizeof(bytes));
    while (got > 0 || (got < 0 && errno == EINTR));
}

static int refresh(struct container *container, struct cj_error *err)
{
    if (container->copied_in || (container->dirt & (ALL_TMPFS | DIRT_SOCKETS)) != 0)
        if (clean(container, err) < 0)
            return -1;
    for (int i = 0; i < INIT_OUTPUTS; i++) {
        if ((container->dirt & (uint32_t)DIRT_KEPT << (INIT_KEPT_OUTPUT + i)) != 0) {
            if (make_output(container, i, err) < 0)
                return -1;
        } else if ((container->outputs_given & 1U << i) != 0 || container->warm != NULL) {
            drain(container->outputs[i]);
        }
    }
    container->outputs_given = 0;
    container->held.wanted = false;
    if (container->arena_used > ARENA_KEEP)
        (void)madvise(container->arena, INIT_MADE_OFFSET, MADV_REMOVE);
    container->arena_used = 0;
    container->dirt = 0;
    if (container->cgroup != NULL)
        cgroup_first_waits(container->cgroup, container_warm_waits(container));
    if (container->cgroup != NULL && (cgroup_recycle(container->cgroup, container->pid, err) < 0 ||
                                      give_cgroup(container, err) < 0))
        return -1;
    return 0;
}

int container_reset(struct container *container, struct cj_error *err)
{
    container_forget_made(container);
    bool renew = container->broken || container->running ||
                 (container->dirt & (DIRT_IPC | DIRT_INIT)) != 0 ||
                 (container->dirt & (uint32_t)DIRT_KEPT << INIT_KEPT_EMPTY) != 0;
    struct cj_error cause;
    if (!renew && refresh(container, &cause) == 0 && container_warm_up(container, &cause) == 0)
        return 0;
    return replace(container, err);
}

/* ---- what it is ---- */

const char *const *container_environment(const struct container *container, size_t *count)
{
    *count = container->env_count;
    return container->env;
}

unsigned container_cpus(const struct container *container)
{
    return container->cpu >= 0 ? 1 : UINT32_MAX;
}

const struct sandbox_facts *container_facts(const struct container *container)
{
    return &container->sandbox->facts;
}

pid_t container_init_pid(const struct container *container)
{
    return container->pid;
}

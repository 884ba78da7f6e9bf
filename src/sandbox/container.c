/* A container: made once, used for one run after another. */
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
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/io.h"
#include "container_channel.h"
#include "init/protocol.h"
#include "sandbox_private.h"

enum {
    ENVIRONMENT_FILE_MAX = 1024 * 1024,
    ARENA_KEEP = 64 * 1024, /* more than this is given back after a run */
};

#define START_TIMEOUT  (15 * NS_PER_S) /* a new container, on a machine that is busy */
#define ANSWER_TIMEOUT (10 * NS_PER_S) /* the janitor; opening files, mounting tmpfs */
#define DEATH_TIMEOUT  (10 * NS_PER_S)

struct container {
    struct sandbox *sandbox;
    unsigned index;
    int cpu;
    uint32_t host_id; /* of programs; 0 = none leased */
    pid_t pid;
    int pid_fd;
    int run_fd;
    int files_fd;
    char *arena;
    int outputs[INIT_OUTPUTS]; /* read ends */
    struct cgroup *cgroup;
    unsigned cgroup_generation; /* that init knows of */
    bool cgroup_moved;          /* v1: init is in another group since the last run */
    uint32_t sequence;
    uint32_t arena_used;
    bool running;
    bool broken;
    bool copied_in;
    uint32_t dirt; /* enum init_dirt, of the last run */
    char *env_text;
    const char **env;
    size_t env_count;
};

static int broken(struct container *container, struct cj_error *err, const char *what)
{
    container->broken = true;
    return error_wrap(err, "%s", what);
}

/* ---- asking the janitor ---- */

static int ask(struct container *container, struct init_request *request, int pass_fd,
               struct init_answer *answer, int *got_fd, struct cj_error *err)
{
    request->magic = INIT_MAGIC;
    request->sequence = ++container->sequence;
    if (got_fd != NULL)
        *got_fd = -1;
    if (channel_send(container->files_fd, request, sizeof(*request), &pass_fd, pass_fd >= 0, err) <
            0 ||
        channel_receive(container->files_fd, answer, sizeof(*answer), got_fd, ANSWER_TIMEOUT, err) <
            0)
        return broken(container, err, "ask the container's init");
    if (answer->magic != INIT_MAGIC || answer->sequence != request->sequence) {
        error_set(err, ERROR_INTERNAL, EPROTO, "an answer to another question");
        return broken(container, err, "ask the container's init");
    }
    return 0;
}

/* Puts a text into the arena for the request that follows. */
static int put_path(struct container *container, uint32_t at, const char *path, uint32_t *offset,
                    uint32_t *length, struct cj_error *err)
{
    size_t size = strlen(path);
    if (size == 0 || size >= INIT_PATH_MAX)
        return error_set(err, ERROR_REQUEST, ENAMETOOLONG, "File name too long");
    memcpy(container->arena + at, path, size + 1);
    *offset = at;
    *length = (uint32_t)size;
    return 0;
}

static int ask_about_path(struct container *container, enum init_op op, const char *path,
                          const char *target, struct init_answer *answer, int *fd,
                          struct cj_error *err)
{
    struct init_request request = {.op = op};
    while (*path == '/')
        path++;
    if (put_path(container, 0, *path ? path : ".", &request.path_offset, &request.path_length,
                 err) < 0)
        return -1;
    if (target != NULL && put_path(container, INIT_PATH_MAX, target, &request.target_offset,
                                   &request.target_length, err) < 0)
        return -1;
    return ask(container, &request, -1, answer, fd, err);
}

static int answer_error(const struct init_answer *answer, struct cj_error *err)
{
    return error_set(err, ERROR_REQUEST, answer->error, "%s", strerror(answer->error));
}

int container_open_in(struct container *container, const char *path, int *fd, struct cj_error *err)
{
    struct init_answer answer;
    auto_fd int place = -1;
    container->copied_in = true;
    if (ask_about_path(container, INIT_OP_OPEN_IN, path, NULL, &answer, &place, err) < 0)
        return -1;
    if (answer.error != 0)
        return answer_error(&answer, err);
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", place);
    *fd = open(link, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (*fd < 0)
        return error_set(err, ERROR_REQUEST, errno, "%s", strerror(errno));
    return 0;
}

int container_symlink(struct container *container, const char *path, const char *target,
                      struct cj_error *err)
{
    struct init_answer answer;
    container->copied_in = true;
    if (ask_about_path(container, INIT_OP_SYMLINK, path, target, &answer, NULL, err) < 0)
        return -1;
    return answer.error != 0 ? answer_error(&answer, err) : 0;
}

int container_open_out(struct container *container, const char *path, int *fd, bool *not_regular,
                       struct cj_error *err)
{
    struct init_answer answer;
    *not_regular = false;
    if (ask_about_path(container, INIT_OP_OPEN_OUT, path, NULL, &answer, fd, err) < 0)
        return -1;
    *not_regular = answer.detail != 0;
    return answer.error != 0 ? answer_error(&answer, err) : 0;
}

const char *const *container_environment(const struct container *container, size_t *count)
{
    *count = container->env_count;
    return container->env;
}

/* ---- making one ---- */

static int make_output(struct container *container, int which, struct cj_error *err)
{
    struct init_request request = {.op = INIT_OP_OUTPUT,
                                   .index = (uint32_t)(INIT_KEPT_OUTPUT + which)};
    struct init_answer answer;
    auto_fd int reader = -1;
    if (ask(container, &request, -1, &answer, &reader, err) < 0)
        return -1;
    if (answer.error != 0)
        return answer_error(&answer, err);
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
    return ask(container, &request, fd, &answer, NULL, err);
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
    if (channel_receive(container->run_fd, &ready, sizeof(ready), NULL, START_TIMEOUT, err) < 0)
        return error_wrap(err, "wait for the container's init");
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

/* Init's janitor kills on demand, also when a program burns the CPU they share: it must not wait for its
 * turn. A thread of init may not raise itself, we may where we are root. Programs inherit from the other
 * thread. */
static void hurry_janitor(const struct container *container)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task", container->pid);
    DIR *tasks = opendir(path);
    for (const struct dirent *entry; tasks != NULL && (entry = readdir(tasks)) != NULL;) {
        int tid = atoi(entry->d_name);
        if (tid > 0 && tid != container->pid)
            (void)setpriority(PRIO_PROCESS, (id_t)tid, -20);
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
    if (sandbox->cgroups != NULL && cgroup_new(sandbox->cgroups, container->index, init_id,
                                               INIT_TASKS, &container->cgroup, err) < 0)
        return -1;
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
    if (await_ready(container, err) < 0 || make_outputs(container, err) < 0 ||
        give_cgroup(container, err) < 0 || read_environment(container, err) < 0)
        return -1;
    hurry_janitor(container);
    return 0;
}

/* ---- unmaking one ---- */

/* Init's death takes its pid namespace along; the pidfd reports it when the last process is gone. */
static void end_init(struct container *container)
{
    if (container->pid_fd < 0)
        return;
    (void)syscall(SYS_pidfd_send_signal, container->pid_fd, SIGKILL, NULL, 0);
    struct pollfd ended = {.fd = container->pid_fd, .events = POLLIN};
    struct timespec timeout = timespec_from_ns(DEATH_TIMEOUT);
    while (ppoll(&ended, 1, &timeout, NULL) < 0 && errno == EINTR)
        continue;
    fd_close(&container->pid_fd);
}

static void unmake(struct container *container)
{
    fd_close(&container->run_fd);
    fd_close(&container->files_fd);
    end_init(container);
    for (int i = 0; i < INIT_OUTPUTS; i++)
        fd_close(&container->outputs[i]);
    if (container->cgroup != NULL) {
        struct cj_error ignored; /* what stays is removed with the instance, or at the next start */
        if (cgroup_kill_all(container->cgroup, NS_PER_S, &ignored) < 0)
            container->broken = true;
        cgroup_free(container->cgroup);
        container->cgroup = NULL;
    }
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
    container->pid_fd = container->run_fd = container->files_fd = -1;
    container->outputs[0] = container->outputs[1] = -1;
    container->running = container->broken = container->copied_in = false;
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

/* ---- starting a run ---- */

static struct init_live *live(const struct container *container)
{
    return (struct init_live *)(void *)(container->arena + INIT_LIVE_OFFSET);
}

_Static_assert((int)CONTAINER_RLIMIT_COUNT == (int)INIT_RLIMIT_COUNT &&
                   (int)CONTAINER_RLIMIT_NPROC == (int)INIT_RLIMIT_NPROC &&
                   (int)CONTAINER_RLIMIT_STACK == (int)INIT_RLIMIT_STACK,
               "one list of limits");

static void put_string(struct container *container, uint64_t **slot, uint32_t *at, const char *text)
{
    size_t size = strlen(text) + 1;
    memcpy(container->arena + *at, text, size);
    *(*slot)++ = *at;
    *at += (uint32_t)size;
}

/* Lays out argv and env in the arena. The last PATH counts for look-ups, as it does for a shell that
 * reads its environment from front to back. */
static int put_strings(struct container *container, const struct container_run *run,
                       struct init_exec *request, struct cj_error *err)
{
    size_t env_count = container->env_count + run->env_count;
    uint64_t table = (run->arg_count + env_count + 2) * sizeof(uint64_t);
    uint64_t total = table + 1;
    for (size_t i = 0; i < run->arg_count; i++)
        total += strlen(run->args[i]) + 1;
    for (size_t i = 0; i < run->env_count; i++)
        total += strlen(run->env[i]) + 1;
    for (size_t i = 0; i < container->env_count; i++)
        total += strlen(container->env[i]) + 1;
    if (total > INIT_LIVE_OFFSET)
        return error_set(err, ERROR_REQUEST, E2BIG, "%s", strerror(E2BIG));
    uint64_t *slot = (uint64_t *)(void *)container->arena;
    uint32_t at = (uint32_t)table;
    for (size_t i = 0; i < run->arg_count; i++)
        put_string(container, &slot, &at, run->args[i]);
    *slot++ = 0;
    request->path_offset = 0;
    for (size_t i = 0; i < env_count; i++) {
        const char *entry =
            i < container->env_count ? container->env[i] : run->env[i - container->env_count];
        if (strncmp(entry, "PATH=", strlen("PATH=")) == 0)
            request->path_offset = at + (uint32_t)strlen("PATH=");
        put_string(container, &slot, &at, entry);
    }
    *slot = 0;
    container->arena[at++] = '\0';
    request->arg_count = (uint32_t)run->arg_count;
    request->env_count = (uint32_t)env_count;
    request->arena_used = at;
    container->arena_used = at;
    return 0;
}

static int put_descriptors(const struct container_run *run, struct init_exec *request, int *passed,
                           struct cj_error *err)
{
    if (run->descriptor_count > INIT_DESCRIPTORS_MAX)
        return error_set(err, ERROR_REQUEST, EINVAL,
                         "files: %zu descriptors, at most %d are possible", run->descriptor_count,
                         INIT_DESCRIPTORS_MAX);
    for (size_t i = 0; i < run->descriptor_count; i++) {
        const struct container_descriptor *from = &run->descriptors[i];
        struct init_descriptor *to = &request->descriptors[i];
        switch (from->source) {
        case CONTAINER_CLOSED:
            to->source = INIT_SOURCE_CLOSED;
            break;
        case CONTAINER_EMPTY:
            *to = (struct init_descriptor){INIT_SOURCE_KEPT, INIT_KEPT_EMPTY};
            break;
        case CONTAINER_OUTPUT:
            *to =
                (struct init_descriptor){INIT_SOURCE_KEPT, (uint16_t)(INIT_KEPT_OUTPUT + from->fd)};
            break;
        case CONTAINER_PASSED:
            *to = (struct init_descriptor){INIT_SOURCE_PASSED, (uint16_t)request->passed_count};
            passed[request->passed_count++] = from->fd;
            break;
        }
    }
    request->descriptor_count = (uint32_t)run->descriptor_count;
    return 0;
}

static void put_limits(const struct container_run *run, struct init_exec *request)
{
    request->rlimit_mask = run->rlimit_mask;
    for (unsigned i = 0; i < CONTAINER_RLIMIT_COUNT; i++)
        request->rlimits[i] = (struct init_rlimit_value){run->rlimits[i], run->rlimits[i]};
    if (run->cpus != NULL) {
        request->flags |= RUN_CPU_SET;
        memcpy(request->cpu_mask, run->cpus, sizeof(request->cpu_mask));
    }
}

int container_start(struct container *container, const struct container_run *run,
                    struct cj_error *err)
{
    if (container->broken)
        return error_set(err, ERROR_INTERNAL, 0, "the container is broken");
    struct init_exec request;
    memset(&request, 0, offsetof(struct init_exec, descriptors));
    int passed[INIT_DESCRIPTORS_MAX];
    if (put_strings(container, run, &request, err) < 0 ||
        put_descriptors(run, &request, passed, err) < 0)
        return -1;
    put_limits(run, &request);
    if (run->tty)
        request.flags |= RUN_TTY;
    if (container->cgroup != NULL) {
        if (cgroup_begin(container->cgroup, &run->limits, err) < 0)
            return -1;
        if (container->sandbox->into_cgroup)
            request.flags |= RUN_INTO_CGROUP;
        else if (container->cgroup_moved)
            request.flags |= RUN_MOVED;
        container->cgroup_moved = false;
    }
    __atomic_store_n(&live(container)->start_ns, 0, __ATOMIC_RELAXED);
    request.magic = INIT_MAGIC;
    request.sequence = ++container->sequence;
    if (channel_send(container->run_fd, &request, sizeof(request), passed,
                     (int)request.passed_count, err) < 0)
        return broken(container, err, "start a run");
    container->running = true;
    return 0;
}

/* ---- a run in progress ---- */

int container_run_fd(const struct container *container)
{
    return container->run_fd;
}

int container_output_fd(const struct container *container, int which)
{
    return container->outputs[which];
}

int container_look(struct container *container, struct container_live *seen, struct cj_error *err)
{
    *seen = (struct container_live){0};
    if (container->cgroup != NULL)
        return cgroup_cpu_ns(container->cgroup, &seen->cpu_ns, err);
    struct init_request request = {.op = INIT_OP_CPU_TIME};
    struct init_answer answer;
    if (ask(container, &request, -1, &answer, NULL, err) < 0)
        return -1;
    seen->cpu_ns = answer.value;
    seen->anon_bytes = answer.anon_bytes;
    return 0;
}

int container_settle(struct container *container, struct cj_error *err)
{
    return container->cgroup != NULL ? cgroup_settle(container->cgroup, err) : 0;
}

int container_kill(struct container *container, struct cj_error *err)
{
    if (container->cgroup != NULL && cgroup_lift_rate(container->cgroup, err) < 0)
        return -1;
    struct init_request request = {.op = INIT_OP_KILL};
    struct init_answer answer;
    return ask(container, &request, -1, &answer, NULL, err);
}

/* ---- the end of a run ---- */

static const char *step_text(enum init_step step)
{
    static const char *const texts[] = {
        [STEP_PROTOCOL] = "protocol",
        [STEP_CLONE] = "clone",
        [STEP_SESSION] = "set process group",
        [STEP_OOM_SCORE] = "oom score",
        [STEP_CGROUP_NS] = "unshare cgroup namespace",
        [STEP_SCHEDULER] = "set scheduler",
        [STEP_RLIMIT] = "setrlimit",
        [STEP_AFFINITY] = "set affinity",
        [STEP_DESCRIPTOR] = "place descriptors",
        [STEP_TTY] = "ioctl",
        [STEP_CREDENTIALS] = "set credentials",
        [STEP_KEYRING] = "session keyring",
        [STEP_FILTER] = "seccomp",
    };
    return step > STEP_NONE && (size_t)step < COUNT_OF(texts) && texts[step] != NULL ? texts[step]
                                                                                     : "execve";
}

static enum container_failure failure_of(enum init_step step)
{
    switch (step) {
    case STEP_NONE:
        return CONTAINER_STARTED;
    case STEP_LOOKUP_NO_PATH:
        return CONTAINER_NO_PATH;
    case STEP_LOOKUP:
        return CONTAINER_NOT_FOUND;
    case STEP_EXEC:
        return CONTAINER_EXEC;
    default:
        return CONTAINER_PREPARE;
    }
}

static void fill_end(const struct init_end *from, struct container_end *end)
{
    *end = (struct container_end){
        .failure = failure_of((enum init_step)from->step),
        .error = from->error,
        .step = from->step != STEP_NONE ? step_text((enum init_step)from->step) : "",
        .wait_status = from->wait_status,
        .wall_ns = from->end_ns - from->start_ns,
        .cpu_ns = from->all_cpu_ns,
        .memory_bytes = from->max_rss_bytes,
    };
}

/* The group knows better than rusage, which leaves out who was never waited for; on v1 init is inside
 * and its own time, measured by itself, is taken off. */
static void use_group_figures(const struct container *container, const struct init_end *from,
                              const struct cgroup_usage *usage, struct container_end *end)
{
    int64_t own = container->sandbox->into_cgroup ? 0 : from->init_cpu_ns;
    if (own > CONTAINER_OWN_CPU_NS)
        own =
            CONTAINER_OWN_CPU_NS; /* the rest the program has caused, by stopping and starting children */
    end->cpu_ns = usage->cpu_ns > own ? usage->cpu_ns - own : 0;
    end->oom_kills = usage->oom_kills;
    if (usage->has_memory) {
        end->memory_bytes = usage->memory_bytes;
        end->memory_is_group = true;
    }
    if (usage->has_process_peak)
        end->process_peak = usage->process_peak;
}

int container_finish(struct container *container, int64_t timeout_ns, struct container_end *end,
                     struct cj_error *err)
{
    struct init_end from;
    if (channel_receive(container->run_fd, &from, sizeof(from), NULL, timeout_ns, err) < 0)
        return broken(container, err, "wait for the end of a run");
    container->running = false;
    if (from.magic != INIT_MAGIC || from.sequence > container->sequence) {
        error_set(err, ERROR_INTERNAL, EPROTO, "the end of another run");
        return broken(container, err, "wait for the end of a run");
    }
    container->dirt |= from.dirt;
    fill_end(&from, end);
    if (container->cgroup != NULL) {
        struct cgroup_usage usage;
        if (cgroup_finish(container->cgroup, &usage, err) < 0)
            return broken(container, err, "read the figures of a run");
        use_group_figures(container, &from, &usage, end);
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
    };
    struct init_answer answer;
    if (ask(container, &request, -1, &answer, NULL, err) < 0)
        return -1;
    if (answer.error != 0)
        return answer_error(&answer, err);
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
        } else {
            drain(container->outputs[i]);
        }
    }
    if (container->arena_used > ARENA_KEEP)
        (void)madvise(container->arena, INIT_LIVE_OFFSET, MADV_REMOVE);
    container->arena_used = 0;
    container->dirt = 0;
    if (container->cgroup != NULL && (cgroup_recycle(container->cgroup, container->pid, err) < 0 ||
                                      give_cgroup(container, err) < 0))
        return -1;
    return 0;
}

int container_reset(struct container *container, struct cj_error *err)
{
    bool renew = container->broken || container->running || (container->dirt & DIRT_IPC) != 0 ||
                 (container->dirt & (uint32_t)DIRT_KEPT << INIT_KEPT_EMPTY) != 0;
    struct cj_error cause;
    if (!renew && refresh(container, &cause) == 0)
        return 0;
    return replace(container, err);
}

int64_t container_wall_ns(const struct container *container, int64_t now_ns)
{
    int64_t start_ns = __atomic_load_n(&live(container)->start_ns, __ATOMIC_ACQUIRE);
    return start_ns != 0 && now_ns > start_ns ? now_ns - start_ns : 0;
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

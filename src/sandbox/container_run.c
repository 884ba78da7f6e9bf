/* One run in a container: its start, what can be seen and done meanwhile, its end. */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/priority.h"
#include "cgroup_plan.h"
#include "container_channel.h"
#include "container_state.h"
#include "container_warm.h"
#include "sandbox_private.h"

#define MADE_TIMEOUT (10 * NS_PER_S) /* for what has been sent already */

/* ---- its start ---- */

_Static_assert((int)CONTAINER_MADE_MAX == (int)INIT_MADE_MAX, "as many files as init can make");
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

static void put_made(struct container *container, const struct container_run *run,
                     struct init_exec *request, uint32_t *at)
{
    for (size_t i = 0; i < run->made_count; i++) {
        size_t size = strlen(run->made[i]) + 1;
        memcpy(container->arena + *at, run->made[i], size);
        container->made_names[i] = run->made[i];
        request->made_offsets[i] = *at;
        *at += (uint32_t)size;
    }
    request->made_count = container->made_count = (uint32_t)run->made_count;
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
    for (size_t i = 0; i < run->made_count; i++)
        total += strlen(run->made[i]) + 1;
    if (total > INIT_MADE_OFFSET)
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
    put_made(container, run, request, &at);
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
        case CONTAINER_MADE:
            *to = (struct init_descriptor){INIT_SOURCE_MADE, (uint16_t)from->fd};
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

static int send_request(struct container *container, const struct init_exec *request,
                        const int *passed, struct cj_error *err)
{
    const struct init_passed header = {.magic = INIT_MAGIC, .sequence = request->sequence};
    size_t size = offsetof(struct init_exec, descriptors) +
                  request->descriptor_count * sizeof(request->descriptors[0]);
    if (request->passed_count > 0 && channel_send(container->run_fd, &header, sizeof(header),
                                                  passed, (int)request->passed_count, err) < 0)
        return -1;
    return channel_write(container->exec_fd, request, size, err);
}

static int begin_cgroup(struct container *container, struct init_exec *request,
                        const struct cgroup_limits *limits, struct cj_error *err)
{
    if (cgroup_begin(container->run_cgroup, limits, err) < 0) {
        container_warm_withdraw(container);
        return -1;
    }
    if (!cgroup_lacks_first(container->run_cgroup))
        return 0;
    container_warm_forgo(container, request);
    return cgroup_begin(container->run_cgroup, &container->limits, err);
}

int container_start(struct container *container, const struct container_run *run,
                    struct cj_error *err)
{
    if (container->broken)
        return error_set(err, ERROR_INTERNAL, 0, "the container is broken");
    if (container->held.key != 0 && !container->held.wanted) {
        error_set(err, ERROR_INTERNAL, 0, "a file of another run is there");
        return container_break(container, err, "start a run");
    }
    struct init_exec request;
    memset(&request, 0, offsetof(struct init_exec, descriptors));
    int passed[INIT_DESCRIPTORS_MAX];
    if (put_strings(container, run, &request, err) < 0 ||
        put_descriptors(run, &request, passed, err) < 0)
        return -1;
    put_limits(run, &request);
    for (size_t i = 0; i < run->descriptor_count; i++)
        if (run->descriptors[i].source == CONTAINER_OUTPUT)
            container->outputs_given |= 1U << run->descriptors[i].fd;
    if (run->tty)
        request.flags |= RUN_TTY;
    struct cgroup_limits limits = container->limits = run->limits;
    container->run_cgroup = container->cgroup;
    container_warm_begin(container, run, &request, &limits);
    if (container->cgroup != NULL) {
        if (begin_cgroup(container, &request, &limits, err) < 0)
            return -1;
        if (container->sandbox->into_cgroup)
            request.flags |= RUN_INTO_CGROUP;
        else if (container->cgroup_moved)
            request.flags |= RUN_MOVED;
        container->cgroup_moved = false;
    }
    container->seen_bytes = 0;
    container->limit_bytes = run->limits.memory_bytes;
    __atomic_store_n(&container_live_page(container)->start_ns, 0, __ATOMIC_RELAXED);
    request.magic = INIT_MAGIC;
    request.sequence = ++container->sequence;
    if (send_request(container, &request, passed, err) < 0)
        return container_break(container, err, "start a run");
    container->running = true;
    return 0;
}

/* ---- in progress ---- */

int container_run_fd(const struct container *container)
{
    return container->end_fd;
}

int container_output_fd(const struct container *container, int which)
{
    return container->outputs[which];
}

void container_output_emptied(struct container *container, int which)
{
    if (!container->running)
        container->outputs_given &= ~(1U << which);
}

int container_look(struct container *container, struct container_live *seen, struct cj_error *err)
{
    *seen = (struct container_live){0};
    if (container->cgroup != NULL)
        return cgroup_cpu_ns(container->run_cgroup, &seen->cpu_ns, err);
    struct init_request request = {.op = INIT_OP_LOOK};
    struct init_answer answer;
    if (container_ask(container, &request, -1, &answer, NULL, err) < 0)
        return -1;
    seen->cpu_ns = answer.value;
    seen->memory_bytes = answer.memory_bytes;
    if (answer.memory_bytes > container->seen_bytes)
        container->seen_bytes = answer.memory_bytes;
    return 0;
}

int64_t container_settle_ns(const struct container *container)
{
    return container->cgroup != NULL ? cgroup_settle_ns(container->run_cgroup) : INT64_MAX;
}

int container_settle(struct container *container, struct cgroup_settled *settled,
                     struct cj_error *err)
{
    *settled = (struct cgroup_settled){.next_ns = INT64_MAX};
    return container->cgroup != NULL ? cgroup_settle(container->run_cgroup, settled, err) : 0;
}

void container_urge(struct container *container)
{
    if (container->running && container->janitor > 0)
        container->janitor_urged = priority_urge(container->janitor, &container->janitor_nice);
}

void container_calm(struct container *container)
{
    if (container->janitor_urged && container->janitor > 0)
        priority_calm(container->janitor, container->janitor_nice);
    container->janitor_urged = false;
}

int container_kill(struct container *container, struct cj_error *err)
{
    if (container->cgroup != NULL && cgroup_lift_rate(container->run_cgroup, err) < 0)
        return -1;
    struct init_request request = {.op = INIT_OP_KILL};
    struct init_answer answer;
    struct cj_error why;
    if (container_ask(container, &request, -1, &answer, NULL, &why) == 0)
        return 0;
    /* Nobody is left to be killed once init is dead. The end of its sockets comes before: it dies for good when the kernel
     * has ended all the others, zap_pid_ns_processes(). */
    if (container_await_death(container, why.code == EPIPE ? CONTAINER_DEATH_TIMEOUT_NS : 0))
        return 0;
    if (err != NULL)
        *err = why;
    return -1;
}

/* ---- its end ---- */

static const char *step_text(enum init_step step)
{
    static const char *const texts[] = {
        [STEP_PROTOCOL] = "protocol",
        [STEP_MAKE] = "make output",
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

static void no_made(struct container_end *end)
{
    for (unsigned i = 0; i < CONTAINER_MADE_MAX; i++)
        end->made[i] = (struct container_made){.fd = -1};
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
    no_made(end);
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

/* Between two looks a run may have taken more, and what it left in files tells. */
static void use_seen_figures(const struct container *container, const struct init_end *from,
                             struct container_end *end)
{
    if (from->file_bytes > end->memory_bytes)
        end->memory_bytes = from->file_bytes;
    if (container->seen_bytes > end->memory_bytes)
        end->memory_bytes = container->seen_bytes;
    if (container->limit_bytes > 0 && from->file_bytes > container->limit_bytes)
        end->oom_kills = 1;
    /* The kernel's peak of a process has pages of its program in it, which nobody is blamed for. */
    if (end->memory_bytes > container->limit_bytes && container->limit_bytes > 0)
        end->memory_bytes = container->limit_bytes;
}

/* A process that still shares init's memory (vfork(2)) is no victim of the OOM killer: what its execve(2)
 * takes for arguments is taken when it is the run's only process, and then init, which on v1 stands in
 * the same group, is killed in its place. That is the run's end like any other out of memory, but the
 * container and the files in it are gone. On v2 nobody is there to be killed, and execve fails. */
static bool ended_by_memory(struct container *container, struct container_end *end)
{
    struct cgroup_usage usage;
    const struct init_end nothing = {0};
    int64_t wall_ns = container_wall_ns(container, monotonic_ns());
    if (container->cgroup == NULL || !container->running ||
        !container_await_death(container, CONTAINER_DEATH_TIMEOUT_NS) ||
        cgroup_finish(container->run_cgroup, NULL, &usage, NULL) < 0 || usage.oom_kills == 0)
        return false;
    *end = (struct container_end){
        .failure = CONTAINER_STARTED, .step = "", .wait_status = SIGKILL, .wall_ns = wall_ns};
    no_made(end);
    use_group_figures(container, &nothing, &usage, end);
    container->running = false;
    container->broken = container->lost = true;
    return true;
}

/* What a program is given at its start lies on its stack, and no process fits into less than the least.
 * How execve(2) gets along with that, and whether anybody sees it, hangs on the kernel and the moment:
 * the run has passed its limit in any case. */
static bool cannot_fit(const struct container *container)
{
    return container->limit_bytes != 0 && (container->arena_used > container->limit_bytes ||
                                           container->limit_bytes < CGROUP_PROCESS_LEAST_BYTES);
}

/* usage: NULL without a group. */
static void judge_memory(const struct container *container, const struct init_end *from,
                         const struct cgroup_usage *usage, struct container_end *end)
{
    bool refused = (from->step != STEP_NONE && from->error == ENOMEM) ||
                   (from->step == STEP_EXEC && from->error == E2BIG);
    bool never = cannot_fit(container);
    if ((from->step == STEP_NONE && never) ||
        (refused && (never || (usage != NULL && usage->refused))))
        end->oom_kills = 1;
    if (!refused || end->oom_kills == 0)
        return;
    end->failure = CONTAINER_STARTED;
    end->error = 0;
    end->step = "";
    end->wait_status = SIGKILL;
}

/* Init is ours, but what it says of places and sizes is checked like anybody's. */
static int take_made(struct container *container, const struct init_made *from,
                     struct container_end *end, struct cj_error *err)
{
    for (uint32_t i = 0; i < container->made_count; i++) {
        struct container_made *made = &end->made[i];
        struct init_passed header;
        made->bytes = from[i].bytes;
        if (from[i].passed == 0) {
            if (from[i].offset < INIT_MADE_OFFSET || from[i].offset > INIT_LIVE_OFFSET ||
                from[i].bytes > INIT_LIVE_OFFSET - from[i].offset)
                return error_set(err, ERROR_INTERNAL, EPROTO, "an output beyond its place");
            made->data = container->arena + from[i].offset;
            continue;
        }
        if (channel_receive(container->run_fd, &header, sizeof(header), &container->made_fds[i],
                            MADE_TIMEOUT, err) < 0)
            return -1;
        if (header.magic != INIT_MAGIC || container->made_fds[i] < 0)
            return error_set(err, ERROR_INTERNAL, EPROTO, "an output without its descriptor");
        made->fd = container->made_fds[i];
    }
    return 0;
}

/* Who was to be the run is gone, and nothing of it has begun: with what a cold run is given. */
static int begin_again(struct container *container, const struct init_end *from,
                       struct cj_error *err)
{
    const struct init_again again = {.magic = INIT_MAGIC, .sequence = from->sequence};
    container->run_cgroup = container->cgroup;
    if (container->cgroup != NULL &&
        cgroup_begin(container->run_cgroup, &container->limits, err) < 0)
        return -1;
    __atomic_store_n(&container_live_page(container)->start_ns, 0, __ATOMIC_RELEASE);
    return channel_write(container->exec_fd, &again, sizeof(again), err);
}

int container_finish(struct container *container, int64_t timeout_ns, struct container_end *end,
                     struct cj_error *err)
{
    struct init_end from;
    struct cj_error died;
    if (channel_read(container->end_fd, &from, sizeof(from), timeout_ns, &died) < 0) {
        if (died.code == EPIPE && ended_by_memory(container, end))
            return 0;
        if (err != NULL)
            *err = died;
        return container_break(container, err, "wait for the end of a run");
    }
    *end = (struct container_end){.again = from.magic == INIT_MAGIC && from.start == START_AGAIN};
    if (end->again) {
        no_made(end);
        return begin_again(container, &from, err) < 0
                   ? container_break(container, err, "start a run again")
                   : 0;
    }
    container->running = false;
    if (from.magic != INIT_MAGIC || from.sequence > container->sequence) {
        error_set(err, ERROR_INTERNAL, EPROTO, "the end of another run");
        return container_break(container, err, "wait for the end of a run");
    }
    container->dirt |= from.dirt;
    fill_end(&from, end);
    end->warm = from.start == START_WARM;
    container_warm_end(container, &from);
    bool has_made = from.step != STEP_PROTOCOL && from.step != STEP_MAKE;
    if (has_made && take_made(container, from.made, end, err) < 0)
        return container_break(container, err, "take the outputs of a run");
    if (container->cgroup != NULL) {
        struct cgroup_usage usage;
        const struct cgroup_ended ended = {
            .unkilled = from.step == STEP_NONE &&
                        !(WIFSIGNALED(from.wait_status) && WTERMSIG(from.wait_status) == SIGKILL),
            .faults = from.faults,
        };
        if (cgroup_finish(container->run_cgroup, &ended, &usage, err) < 0)
            return container_break(container, err, "read the figures of a run");
        if (usage.somebody_left) {
            log_warn("a run has left a process: its container is replaced");
            container->dirt |= DIRT_IPC; /* nothing but a new container helps */
        }
        use_group_figures(container, &from, &usage, end);
        judge_memory(container, &from, &usage, end);
    } else {
        use_seen_figures(container, &from, end);
        judge_memory(container, &from, NULL, end);
    }
    return 0;
}

int64_t container_wall_ns(const struct container *container, int64_t now_ns)
{
    int64_t start_ns = __atomic_load_n(&container_live_page(container)->start_ns, __ATOMIC_ACQUIRE);
    return start_ns != 0 && now_ns > start_ns ? now_ns - start_ns : 0;
}

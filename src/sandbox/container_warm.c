#include "container_warm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "sandbox_private.h"

enum {
    SPEC_SIZE_MAX = 8192,
    RECENT = 8,       /* wanted ones that are remembered */
    REFUSED = 16,     /* that did not do, and are remembered */
    FAILURES_MAX = 3, /* runs in a row that fell back: then what they were of is refused */
    STREAM_BLOCK =
        4096, /* st_blksize of pipes and of files in memory, which runtimes take for their buffers */
    /* Of what it shares with its interpreter a run writes to so much, as cold ones measure: it is charged for that
     * again. */
    OWN_AGAIN_BYTES = 2048 * 1024,
    OWN_AGAIN_PRELOADED_BYTES = 7680 * 1024,
    LIMIT_LEAST_BYTES =
        8 * 1024 * 1024, /* beside what is shared; with less room a run starts cold */
    /* With modules ahead, so that an end which takes all of them apart, and copies them for that, has room. */
    LIMIT_LEAST_PRELOADED_BYTES = 24 * 1024 * 1024,
    STUB_NEW_CGROUP_NS = 2, /* of init/stub.h */
    STUB_FDS_MAX = 32,
};

/* How long what is refused stays so: what was in its way may have gone. */
#define REFUSED_NS (600 * NS_PER_S)

/* What an interpreter is started for. Compared byte by byte. */
struct spec {
    uint32_t size; /* of all of it */
    uint32_t arg_count, env_count;
    uint32_t has_preload; /* behind the arguments */
    uint32_t has_text;    /* the script is a plain text: container.h */
    uint32_t streams[3];
    uint64_t has_stack, stack_bytes;
    char strings[]; /* with their NULs */
};

struct interpreter {
    struct spec *spec; /* NULL: there is none */
    bool started;
    bool waits;        /* a process of it is ready */
    unsigned failures; /* runs in a row that fell back */
    uint64_t runs;
    uint64_t used;         /* when last, in runs of the container */
    uint64_t shared_bytes; /* that its runs are not charged for, and cold ones are */
};

struct container_warm {
    struct interpreter interpreters[INIT_WARM_MAX];
    struct cgroup *groups[INIT_WARM_MAX]; /* v2: where who waits in that one is, and its run */
    struct spec *recent[RECENT];          /* seen once, or lately to no effect: */
    uint64_t recent_at[RECENT];           /* in which run */
    unsigned recent_next;
    struct {
        struct spec *spec;
        int64_t until_ns;
    } refused[REFUSED];
    unsigned refused_next;
    struct spec *wanted; /* by the run before */
    int running;         /* which the run is of; -1 */
    uint64_t runs;
    uint64_t failures; /* in all */
};

/* ---- what a run would need ---- */

static bool stream_kind(const struct container_run *run, size_t i, uint32_t *kind)
{
    struct stat info;
    const struct container_descriptor *from = &run->descriptors[i];
    switch (from->source) {
    case CONTAINER_EMPTY:
    case CONTAINER_MADE:
        *kind = WARM_STREAM_FILE;
        return true;
    case CONTAINER_OUTPUT:
        *kind = WARM_STREAM_PIPE;
        return true;
    case CONTAINER_PASSED:
        if (fstat(from->fd, &info) < 0 || info.st_blksize != STREAM_BLOCK)
            return false;
        *kind = S_ISREG(info.st_mode) ? WARM_STREAM_FILE : WARM_STREAM_PIPE;
        return S_ISFIFO(info.st_mode) ||
               (S_ISREG(info.st_mode) && lseek(from->fd, 0, SEEK_CUR) == 0);
    default:
        return false;
    }
}

static bool add(struct spec *spec, const char *text)
{
    size_t size = strlen(text) + 1;
    if (spec->size + size > SPEC_SIZE_MAX)
        return false;
    memcpy((char *)spec + spec->size, text, size);
    spec->size += (uint32_t)size;
    return true;
}

static bool describe(const struct container *container, const struct container_run *run,
                     const char *preload, struct spec *spec)
{
    memset(spec, 0, sizeof(*spec));
    if (run->warm_program == NULL || run->tty || run->arg_count < 2 || run->descriptor_count < 3 ||
        run->descriptor_count > STUB_FDS_MAX)
        return false;
    for (size_t i = 0; i < 3; i++)
        if (!stream_kind(run, i, &spec->streams[i]))
            return false;
    spec->size = sizeof(*spec);
    spec->arg_count = (uint32_t)run->arg_count;
    spec->env_count = (uint32_t)(container->env_count + run->env_count);
    if ((run->rlimit_mask & 1U << CONTAINER_RLIMIT_STACK) != 0) {
        spec->has_stack = 1;
        spec->stack_bytes = run->rlimits[CONTAINER_RLIMIT_STACK];
    }
    bool fits = add(spec, run->warm_program);
    for (size_t i = 1; fits && i < run->arg_count; i++)
        fits = add(spec, run->args[i]);
    spec->has_preload = preload != NULL;
    spec->has_text = run->warm_text;
    if (fits && preload != NULL)
        fits = add(spec, preload);
    for (size_t i = 0; fits && i < container->env_count; i++)
        fits = add(spec, container->env[i]);
    for (size_t i = 0; fits && i < run->env_count; i++)
        fits = add(spec, run->env[i]);
    return fits;
}

static bool same(const struct spec *left, const struct spec *right)
{
    return left != NULL && left->size == right->size && memcmp(left, right, left->size) == 0;
}

static struct spec *copy_of(const struct spec *spec)
{
    struct spec *copy = malloc(spec->size);
    if (copy != NULL)
        memcpy(copy, spec, spec->size);
    return copy;
}

/* ---- a run ---- */

static struct container_warm *warm_of(struct container *container)
{
    if (container->warm == NULL) {
        container->warm = calloc(1, sizeof(*container->warm));
        if (container->warm != NULL)
            container->warm->running = -1;
    }
    return container->warm;
}

static bool is_refused(const struct container_warm *warm, const struct spec *spec)
{
    int64_t now_ns = monotonic_ns();
    for (unsigned i = 0; i < REFUSED; i++)
        if (same(warm->refused[i].spec, spec) && now_ns < warm->refused[i].until_ns)
            return true;
    return false;
}

void container_warm_begin(struct container *container, const struct container_run *run,
                          struct init_exec *request, struct cgroup_limits *limits)
{
    char room[SPEC_SIZE_MAX] __attribute__((aligned(8)));
    struct spec *spec = (struct spec *)(void *)room;
    if (!container->sandbox->warm || !describe(container, run, run->warm_preload, spec))
        return;
    struct container_warm *warm = warm_of(container);
    if (warm == NULL)
        return;
    if (run->warm_preload != NULL && is_refused(warm, spec) &&
        !describe(container, run, NULL, spec)) /* the plain one is as good */
        return;
    warm->runs++;
    for (int i = 0; i < INIT_WARM_MAX; i++) {
        struct interpreter *interpreter = &warm->interpreters[i];
        if (!same(interpreter->spec, spec))
            continue;
        interpreter->used = warm->runs;
        uint64_t least = spec->has_preload != 0 ? LIMIT_LEAST_PRELOADED_BYTES : LIMIT_LEAST_BYTES;
        if (!interpreter->waits || limits->memory_bytes < interpreter->shared_bytes + least)
            return;
        interpreter->runs++;
        interpreter->waits = false;
        warm->running = i;
        request->flags |= RUN_WARM;
        request->warm = (uint32_t)i;
        if (warm->groups[i] != NULL)
            container->run_cgroup = warm->groups[i];
        limits->first_is_there = true;
        limits->forked_bytes = interpreter->shared_bytes;
        return;
    }
    free(warm->wanted);
    warm->wanted = copy_of(spec);
}

void container_warm_withdraw(struct container *container)
{
    struct container_warm *warm = container->warm;
    container->run_cgroup = container->cgroup;
    if (warm == NULL || warm->running < 0)
        return;
    warm->interpreters[warm->running].waits = true;
    warm->interpreters[warm->running].runs--;
    warm->running = -1;
}

void container_warm_forgo(struct container *container, struct init_exec *request)
{
    int number = container->warm->running;
    container_warm_withdraw(container);
    container->warm->interpreters[number].waits = false;
    request->flags &= ~(uint32_t)RUN_WARM;
}

static void drop(struct interpreter *interpreter)
{
    free(interpreter->spec);
    *interpreter = (struct interpreter){0};
}

/* Forgets the interpreter, and does not begin with its like again soon: others are not to pay for it. */
static void refuse(struct container_warm *warm, struct interpreter *interpreter, const char *why)
{
    uint64_t failures = ++warm->failures;
    if (interpreter->spec == NULL)
        return;
    if ((failures & (failures - 1)) == 0) /* more and more seldom */
        log_warn("an interpreter is not kept warm",
                 log_text("interpreter", interpreter->spec->strings), log_text("because", why));
    free(warm->refused[warm->refused_next].spec);
    warm->refused[warm->refused_next].spec = interpreter->spec;
    warm->refused[warm->refused_next].until_ns = monotonic_ns() + REFUSED_NS;
    warm->refused_next = (warm->refused_next + 1) % REFUSED;
    *interpreter = (struct interpreter){0};
}

void container_warm_end(struct container *container, const struct init_end *end)
{
    struct container_warm *warm = container->warm;
    if (warm == NULL)
        return;
    if (warm->running >= 0 && end->start == START_FELL_BACK)
        warm->interpreters[warm->running].failures++;
    else if (warm->running >= 0)
        warm->interpreters[warm->running].failures = 0;
    warm->running = -1;
    for (int i = 0; i < INIT_WARM_MAX; i++) {
        if ((end->warm & 1U << i) == 0)
            warm->interpreters[i].started = false;
        if (((end->warm & end->waits) & 1U << i) == 0)
            warm->interpreters[i].waits = false;
    }
}

/* ---- between runs ---- */

static const char *obstacle_text(const struct init_answer *answer)
{
    switch ((enum init_warm_obstacle)answer->detail) {
    case WARM_ENDED:
        return "it ends before it comes to its program";
    case WARM_THREADS:
        return "it has threads or children before it comes to its program";
    case WARM_DESCRIPTORS:
        return "it has files open before it comes to its program";
    case WARM_SILENT:
        return "it does not answer";
    default:
        return strerror(answer->error);
    }
}

/* *done: false where the interpreter does not do it; it is gone then. group_fd: to be passed; -1. */
static int ask(struct container *container, struct init_request *request, int group_fd, bool *done,
               struct cj_error *err)
{
    struct init_answer answer;
    struct interpreter *interpreter = &container->warm->interpreters[request->index];
    request->op = INIT_OP_WARM;
    cgroup_populated(container->cgroup);
    if (container_ask(container, request, group_fd, &answer, NULL, err) < 0) {
        refuse(container->warm, interpreter, "init does not answer"); /* nor the next one's */
        return -1;
    }
    *done = answer.detail == WARM_NONE && answer.error == 0;
    if (*done && request->warm_action == WARM_START) {
        uint64_t again = request->has_preload != 0 ? OWN_AGAIN_PRELOADED_BYTES : OWN_AGAIN_BYTES;
        interpreter->shared_bytes = answer.memory_bytes > again ? answer.memory_bytes - again : 0;
    }
    if (answer.detail == WARM_CHANGED)
        interpreter->started = false; /* it is due */
    if (*done || answer.detail == WARM_CHANGED)
        return 0;
    refuse(container->warm, interpreter, obstacle_text(&answer));
    return 0;
}

/* As put_strings() lays out a run's. */
static void put_spec(struct container *container, const struct spec *spec,
                     struct init_request *request)
{
    uint32_t arg_count = spec->arg_count + spec->has_preload;
    uint32_t count = arg_count + spec->env_count;
    uint64_t *slot = (uint64_t *)(void *)container->arena;
    uint32_t table = (count + 2) * (uint32_t)sizeof(uint64_t);
    uint32_t strings = spec->size - (uint32_t)sizeof(*spec);
    memcpy(container->arena + table, spec->strings, strings);
    uint32_t at = table;
    for (uint32_t i = 0; i < count; i++) {
        if (i == arg_count)
            *slot++ = 0;
        *slot++ = at;
        at += (uint32_t)strlen(container->arena + at) + 1;
    }
    if (spec->env_count == 0)
        *slot++ = 0;
    *slot = 0;
    container->arena[at++] = '\0';
    request->arg_count = arg_count;
    request->has_preload = spec->has_preload;
    request->has_text = spec->has_text;
    request->env_count = spec->env_count;
    request->arena_used = container->arena_used = at;
    memcpy(request->streams, spec->streams, sizeof(request->streams));
    request->has_stack = (uint32_t)spec->has_stack;
    request->stack_bytes = spec->stack_bytes;
}

static int begin_one(struct container *container, unsigned number, struct cj_error *err)
{
    struct interpreter *interpreter = &container->warm->interpreters[number];
    struct init_request request = {.index = number, .warm_action = WARM_START};
    bool done, there;
    /* It starts among no file of a stranger's. */
    if (container_want_held(container, "", 0, &there, err) < 0)
        return -1;
    interpreter->runs = 0;
    put_spec(container, interpreter->spec, &request);
    if (ask(container, &request, -1, &done, err) < 0)
        return -1;
    interpreter->started = done;
    return done ? cgroup_learn_init(container->cgroup, err) : 0;
}

static int stop_one(struct container *container, unsigned number, const char *why,
                    struct cj_error *err)
{
    struct init_request request = {.index = number, .warm_action = WARM_STOP};
    bool done;
    refuse(container->warm, &container->warm->interpreters[number], why);
    return ask(container, &request, -1, &done, err);
}

/* v2: a group of its own is where its run's process is to wait. */
static int ready_group(struct container *container, unsigned number, int *fd, struct cj_error *err)
{
    struct cgroup **group = &container->warm->groups[number];
    if (*group == NULL && cgroup_new_beside(container->cgroup, number, group, err) < 0)
        return -1;
    if (cgroup_await_first(*group, container->pid, err) < 0) {
        cgroup_free(*group);
        *group = NULL;
        return -1;
    }
    *fd = cgroup_clone_fd(*group);
    return 0;
}

static int prepare(struct container *container, unsigned number, struct cj_error *err)
{
    struct interpreter *interpreter = &container->warm->interpreters[number];
    bool into = container->sandbox->into_cgroup;
    bool moved = container->cgroup_generation > 1; /* since the keeper's namespace was made */
    struct init_request request = {.index = number, .warm_action = WARM_PREPARE};
    request.dirt = into || moved ? STUB_NEW_CGROUP_NS : 0U;
    int group_fd = -1;
    struct cj_error why;
    bool done;
    if (into && ready_group(container, number, &group_fd, &why) < 0)
        return stop_one(container, number, why.message, err);
    if (ask(container, &request, group_fd, &done, err) < 0)
        return -1;
    if (done)
        interpreter->waits = true;
    return 0;
}

/* What is wanted twice is worth an interpreter: which takes the place of the one that was used the longest time
 * ago, if that is longer than this one was not wanted: where more are wanted than can be kept, each would make room for the
 * next. */
static void choose(struct container_warm *warm)
{
    struct spec *wanted = warm->wanted;
    unsigned seen = 0, number = 0;
    if (wanted == NULL)
        return;
    warm->wanted = NULL;
    if (is_refused(warm, wanted)) {
        free(wanted);
        return;
    }
    while (seen < RECENT && !same(warm->recent[seen], wanted))
        seen++;
    if (seen == RECENT) {
        free(warm->recent[warm->recent_next]);
        warm->recent[warm->recent_next] = wanted;
        warm->recent_at[warm->recent_next] = warm->runs;
        warm->recent_next = (warm->recent_next + 1) % RECENT;
        return;
    }
    for (unsigned i = 1; i < INIT_WARM_MAX; i++)
        if (warm->interpreters[i].used < warm->interpreters[number].used)
            number = i;
    uint64_t idle = warm->runs - warm->interpreters[number].used;
    if (warm->interpreters[number].spec != NULL &&
        idle <= 2 * (warm->runs - warm->recent_at[seen])) {
        warm->recent_at[seen] = warm->runs;
        free(wanted);
        return;
    }
    free_pointer(&warm->recent[seen]);
    drop(&warm->interpreters[number]); /* WARM_START ends it */
    warm->interpreters[number] = (struct interpreter){.spec = wanted, .used = warm->runs};
}

static bool is_due(const struct container *container, unsigned number)
{
    const struct interpreter *interpreter = &container->warm->interpreters[number];
    return !interpreter->started || interpreter->runs >= container->sandbox->warm_runs;
}

/* v1: of the last run, in whose group interpreters are. */
static int lift_limits(struct cgroup *cg, struct cj_error *err)
{
    if (cgroup_lift_memory(cg, err) < 0 || cgroup_lift_tasks(cg, err) < 0)
        return -1;
    return cgroup_lift_rate(cg, err);
}

int container_warm_up(struct container *container, struct cj_error *err)
{
    struct container_warm *warm = container->warm;
    if (warm == NULL)
        return 0;
    choose(warm);
    for (unsigned i = 0; i < INIT_WARM_MAX; i++) {
        struct interpreter *interpreter = &warm->interpreters[i];
        if (interpreter->spec == NULL || interpreter->waits)
            continue;
        if (!container->sandbox->into_cgroup && lift_limits(container->cgroup, err) < 0)
            return -1;
        if (interpreter->failures >= FAILURES_MAX) {
            if (stop_one(container, i, "its runs fall back", err) < 0)
                return -1;
            continue;
        }
        if (is_due(container, i) && begin_one(container, i, err) < 0)
            return -1;
        if (interpreter->spec != NULL && prepare(container, i, err) < 0)
            return -1;
    }
    return 0;
}

bool container_warm_waits(const struct container *container)
{
    bool waits = false;
    for (unsigned i = 0; container->warm != NULL && i < INIT_WARM_MAX; i++)
        waits = waits || container->warm->interpreters[i].waits;
    return waits;
}

void container_warm_lost(struct container *container)
{
    struct container_warm *warm = container->warm;
    for (unsigned i = 0; warm != NULL && i < INIT_WARM_MAX; i++) {
        warm->interpreters[i].started = warm->interpreters[i].waits = false;
        cgroup_free(warm->groups[i]);
        warm->groups[i] = NULL;
    }
}

void container_warm_free(struct container *container)
{
    struct container_warm *warm = container->warm;
    if (warm == NULL)
        return;
    for (unsigned i = 0; i < INIT_WARM_MAX; i++)
        drop(&warm->interpreters[i]);
    for (unsigned i = 0; i < RECENT; i++)
        free(warm->recent[i]);
    for (unsigned i = 0; i < REFUSED; i++)
        free(warm->refused[i].spec);
    free(warm->wanted);
    free_pointer(&container->warm);
}

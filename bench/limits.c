/* How exactly limits are enforced and figures are told.
 *
 * Overshoot: what a run that passes a limit is reported to have used, beyond that limit; for wall time
 * also as the caller sees it, from the call to the result. Accuracy: what is reported against what the
 * program measured of itself (CPU time) or was told to touch (memory). */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "exec/exec.h"
#include "options.h"
#include "support.h"

enum { MIB = 1024 * 1024, KIB = 1024, ARGS_MAX = 4 };

#define VICTIM BENCH_INSIDE "/bench_victim"

struct config {
    bool json, goals, help;
    uint64_t runs;
};

static const struct option_spec specs[] = {
    {.name = "runs",
     .type = OPTION_COUNT,
     .offset = offsetof(struct config, runs),
     .default_text = "200",
     .help = "runs for each overshoot; accuracy takes a fifth of them"},
    BENCH_OPTIONS,
};
static const struct option_table table = {.specs = specs, .count = COUNT_OF(specs)};

/* What is looked at. */
enum subject {
    WALL_OVERSHOOT,    /* reported wall time - limit */
    OUTSIDE_OVERSHOOT, /* wall time around the call - limit */
    CPU_OVERSHOOT,     /* reported CPU time - limit */
    CPU_ERROR,         /* |reported - what the program says| */
    MEMORY_ERROR,      /* |reported - amount|, above that of the same program with nothing */
};

struct experiment {
    const char *name;
    enum subject subject;
    const char *args[ARGS_MAX];
    struct exec_limits limits; /* wall_ns, cpu_ns; the rest is generous */
    int64_t amount;            /* MEMORY_ERROR: bytes */
    const char
        *empty_script; /* MEMORY_ERROR: the last argument of a run that touches nothing; NULL */
};

struct outcome {
    struct samples values; /* ns or bytes */
    int64_t goal;          /* of p99 */
};

#define PYTHON_TOUCH(mib)                                                                          \
    "n = " #mib " << 20; b = bytearray(n); b[::4096] = bytes([1]) * len(range(0, n, 4096))"

#define SPIN(cpu_ms)                                                                               \
    {                                                                                              \
        .cpu_ns = (cpu_ms)*NS_PER_MS, .wall_ns = 20 * NS_PER_S                                     \
    }
#define WAIT(wall_ms)                                                                              \
    {                                                                                              \
        .cpu_ns = 10 * NS_PER_S, .wall_ns = (wall_ms)*NS_PER_MS                                    \
    }
#define TOUCH(kind, mib)                                                                           \
    {                                                                                              \
        kind " " #mib " MiB", MEMORY_ERROR, {VICTIM, kind, #mib}, {0}, (int64_t)(mib)*MIB, NULL    \
    }
#define PYTHON(mib)                                                                                \
    {                                                                                              \
        "python " #mib " MiB", MEMORY_ERROR, {"/usr/bin/python3", "-c", PYTHON_TOUCH(mib)}, {0},   \
            (int64_t)(mib)*MIB, "pass"                                                             \
    }

static const struct experiment experiments[] = {
    {"wall, sleeps", WALL_OVERSHOOT, {VICTIM, "sleep"}, WAIT(50), 0, NULL},
    {"wall, sleeps, outside", OUTSIDE_OVERSHOOT, {VICTIM, "sleep"}, WAIT(50), 0, NULL},
    {"wall, spins", WALL_OVERSHOOT, {VICTIM, "spin", "1"}, WAIT(50), 0, NULL},
    {"wall, spins, outside", OUTSIDE_OVERSHOOT, {VICTIM, "spin", "1"}, WAIT(50), 0, NULL},
    {"CPU, 1 thread", CPU_OVERSHOOT, {VICTIM, "spin", "1"}, SPIN(50), 0, NULL},
    {"CPU, 4 threads", CPU_OVERSHOOT, {VICTIM, "spin", "4"}, SPIN(50), 0, NULL},
    {"CPU of 20 ms", CPU_ERROR, {VICTIM, "cpu", "20"}, {0}, 0, NULL},
    {"CPU of 4 threads, 80 ms", CPU_ERROR, {VICTIM, "cpu", "20", "4"}, {0}, 0, NULL},
    {"CPU of 4 children, 80 ms", CPU_ERROR, {VICTIM, "children", "20", "4"}, {0}, 0, NULL},
    TOUCH("heap", 1),
    TOUCH("heap", 8),
    TOUCH("heap", 64),
    TOUCH("file", 1),
    TOUCH("file", 8),
    TOUCH("file", 64),
    TOUCH("shm", 1),
    TOUCH("shm", 8),
    TOUCH("shm", 64),
    PYTHON(1),
    PYTHON(8),
    PYTHON(64),
};

struct bench {
    struct container *container;
    struct exec_settings settings;
    uint64_t runs;
};

/* ---- one run ---- */

struct measured {
    int64_t cpu_ns, wall_ns, outside_ns, said;
    int64_t memory_bytes;
};

static void run_once(struct bench *bench, const struct experiment *experiment, const char *script,
                     enum exec_status expected, struct measured *measured)
{
    const char *args[ARGS_MAX];
    size_t count = 0;
    while (count < ARGS_MAX && experiment->args[count] != NULL) {
        args[count] = experiment->args[count];
        count++;
    }
    if (script != NULL)
        args[count - 1] = script;
    static const char *const environment[] = {"PATH=/usr/local/bin:/usr/bin:/bin"};
    const struct exec_file files[] = {
        {.kind = EXEC_FILE_CONTENT},
        {.kind = EXEC_FILE_COLLECT, .name = "stdout", .max = 64 * KIB},
        {.kind = EXEC_FILE_COLLECT, .name = "stderr", .max = 64 * KIB},
    };
    struct exec_request request = {
        .args = args,
        .arg_count = count,
        .env = environment,
        .env_count = COUNT_OF(environment),
        .files = files,
        .file_count = COUNT_OF(files),
        .limits = experiment->limits,
    };
    request.limits.memory_bytes = 256 * MIB;
    struct exec_result result;
    int64_t begin_ns = monotonic_ns();
    exec_run(bench->container, &bench->settings, &request, -1, &result);
    measured->outside_ns = monotonic_ns() - begin_ns;
    if (result.status != expected) {
        fprintf(stderr, "%s: %s: %s\n", experiment->name, exec_status_name(result.status),
                result.error != NULL ? result.error : "");
        exit(1);
    }
    measured->cpu_ns = result.cpu_ns;
    measured->wall_ns = result.wall_ns;
    measured->memory_bytes = (int64_t)result.memory_bytes;
    measured->said = result.files[0].size > 0 ? strtoll(result.files[0].data, NULL, 10) : 0;
    exec_result_free(&result);
    struct cj_error err;
    if (container_reset(bench->container, &err) < 0)
        bench_fail(&err);
}

/* ---- experiments ---- */

/* The scheduler's tick: what CPU time of others steps by. The coarse clock's resolution is 1/CONFIG_HZ,
 * clock_getres(2). */
static int64_t tick_ns(void)
{
    struct timespec resolution;
    clock_getres(CLOCK_MONOTONIC_COARSE, &resolution);
    return resolution.tv_sec * NS_PER_S + resolution.tv_nsec;
}

static bool is_overshoot(enum subject subject)
{
    return subject <= CPU_OVERSHOOT;
}

static int64_t value_of(const struct experiment *experiment, const struct measured *measured,
                        int64_t empty_bytes)
{
    switch (experiment->subject) {
    case WALL_OVERSHOOT:
        return measured->wall_ns - experiment->limits.wall_ns;
    case OUTSIDE_OVERSHOOT:
        return measured->outside_ns - experiment->limits.wall_ns;
    case CPU_OVERSHOOT:
        return measured->cpu_ns - experiment->limits.cpu_ns;
    case CPU_ERROR:
        return llabs(measured->cpu_ns - measured->said);
    case MEMORY_ERROR:
        break;
    }
    return llabs(measured->memory_bytes - empty_bytes - experiment->amount);
}

static int64_t goal_of(const struct experiment *experiment, int64_t said_ns)
{
    switch (experiment->subject) {
    case WALL_OVERSHOOT:
    case OUTSIDE_OVERSHOOT:
        return 2 * NS_PER_MS;
    case CPU_OVERSHOOT:
        return tick_ns() + 2 * NS_PER_MS;
    case CPU_ERROR:
        return 2 * NS_PER_MS + said_ns / 50;
    case MEMORY_ERROR:
        break;
    }
    return 256 * KIB + experiment->amount / 50;
}

static int64_t empty_bytes(struct bench *bench, const struct experiment *experiment)
{
    struct samples samples = {0};
    struct measured measured;
    if (experiment->empty_script == NULL)
        return 0;
    for (int i = 0; i < 9; i++) {
        run_once(bench, experiment, experiment->empty_script, EXEC_ACCEPTED, &measured);
        samples_add(&samples, measured.memory_bytes);
    }
    int64_t median = samples_quantile(&samples, 0.5);
    samples_free(&samples);
    return median;
}

static void measure(struct bench *bench, const struct experiment *experiment,
                    struct outcome *outcome)
{
    bool over = is_overshoot(experiment->subject);
    uint64_t runs = over ? bench->runs : (bench->runs + 4) / 5;
    int64_t empty = empty_bytes(bench, experiment);
    struct measured measured = {0};
    for (uint64_t i = 0; i < runs; i++) {
        run_once(bench, experiment, NULL, over ? EXEC_TIME_LIMIT : EXEC_ACCEPTED, &measured);
        samples_add(&outcome->values, value_of(experiment, &measured, empty));
    }
    outcome->goal = goal_of(experiment, measured.said);
}

/* ---- the answer ---- */

static bool is_memory(size_t i)
{
    return experiments[i].subject == MEMORY_ERROR;
}

static void print_text(struct outcome *outcomes)
{
    for (size_t i = 0; i < COUNT_OF(experiments); i++) {
        bool memory = is_memory(i);
        bool first = i == 0 || experiments[i].subject == CPU_ERROR
                         ? i == 0 || experiments[i - 1].subject != CPU_ERROR
                         : memory && !is_memory(i - 1);
        if (first)
            printf("%s%-26s %9s %9s %9s  %9s\n", i > 0 ? "\n" : "",
                   memory                                ? "error of memory, KiB"
                   : experiments[i].subject == CPU_ERROR ? "error of CPU time, ms"
                                                         : "overshoot, ms",
                   "p50", "p99", "max", "goal, p99");
        double unit = memory ? KIB : NS_PER_MS;
        struct samples *values = &outcomes[i].values;
        printf("%-26s %9.2f %9.2f %9.2f  %9.2f\n", experiments[i].name,
               (double)samples_quantile(values, 0.5) / unit,
               (double)samples_quantile(values, 0.99) / unit,
               (double)samples_quantile(values, 1) / unit, (double)outcomes[i].goal / unit);
    }
}

static void print_json(struct outcome *outcomes)
{
    auto_buf struct buf text = {0};
    struct json_writer json = json_writer_to(&text, JSON_PRETTY);
    json_array_begin(&json);
    for (size_t i = 0; i < COUNT_OF(experiments); i++) {
        struct samples *values = &outcomes[i].values;
        const struct {
            const char *key;
            int64_t value;
        } figures[] = {
            {"p50", samples_quantile(values, 0.5)}, {"p99", samples_quantile(values, 0.99)},
            {"max", samples_quantile(values, 1)},   {"goal_p99", outcomes[i].goal},
            {"runs", (int64_t)values->count},
        };
        json_object_begin(&json);
        json_key(&json, "name");
        json_string(&json, experiments[i].name);
        json_key(&json, "unit");
        json_string(&json, is_memory(i) ? "bytes" : "ns");
        for (size_t k = 0; k < COUNT_OF(figures); k++) {
            json_key(&json, figures[k].key);
            json_int(&json, figures[k].value);
        }
        json_object_end(&json);
    }
    json_array_end(&json);
    printf("%.*s\n", (int)text.size, text.data);
}

static int check_goals(struct outcome *outcomes)
{
    int missed = 0;
    for (size_t i = 0; i < COUNT_OF(experiments); i++) {
        if (samples_quantile(&outcomes[i].values, 0.99) <= outcomes[i].goal)
            continue;
        fprintf(stderr, "missed: %s\n", experiments[i].name);
        missed++;
    }
    return missed;
}

int main(int argc, char **argv)
{
    struct config config = {0};
    struct cj_error err;
    bench_options_load(&table, argc, argv, &config, &config.help);
    struct sandbox *sandbox;
    struct bench bench = {.runs = config.runs};
    exec_settings_default(&bench.settings);
    const int cpu = sched_getcpu();
    if (bench_open(&sandbox, &err) < 0 ||
        container_new(sandbox, 0, cpu, &bench.container, &err) < 0)
        bench_fail(&err);
    bench_be_slot(cpu);
    static struct outcome outcomes[COUNT_OF(experiments)];
    for (size_t i = 0; i < COUNT_OF(experiments); i++)
        measure(&bench, &experiments[i], &outcomes[i]);
    if (config.json)
        print_json(outcomes);
    else
        print_text(outcomes);
    int missed = config.goals ? check_goals(outcomes) : 0;
    container_free(bench.container);
    sandbox_close(sandbox);
    return missed > 0;
}

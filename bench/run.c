/* What a run costs, as a ratio to what it costs without a sandbox.
 *
 * The baseline is posix_spawn(3) and waitpid(2) of the same program, standard input from /dev/null,
 * standard output and error into a pipe each that stays open for all runs and is never read. The
 * sandboxed run has everything on: all limits, empty input, both outputs collected, and
 * container_reset() afterwards, which counts for throughput (latency ends with the answer).
 *
 * Each slot is a thread, pinned to one CPU with its container, as the service has it. All threads go
 * through blocks together: bare, sandboxed, sandboxed, bare, ... so that what else the machine does
 * meets both; each pair of neighbours gives one ratio.
 *
 * Throughput is by the clock on the wall; "cost" is the CPU time of everybody concerned (slot, init,
 * program), which tells the same on a machine that has other things to do. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "exec/exec.h"
#include "options.h"
#include "support.h"

enum { SLOTS_MAX = 256, WARM_UP_RUNS = 20, MIB = 1024 * 1024 };

enum mode { BARE, SANDBOXED, MODES };

struct program {
    const char *name;
    const char *bare_path;
    const char *inside_path;
};

struct config {
    bool json, goals, help;
    int64_t block_ns;
    uint64_t pairs, idle, slots;
    int64_t idle_gap_ns;
    int only;
    char *program;
};

/* One thread with its container. */
struct slot {
    const struct config *config;
    const struct program *program;
    struct container *container;
    struct exec_settings settings;
    int cpu;
    pthread_t thread;
    pthread_barrier_t *barrier;
    posix_spawn_file_actions_t actions;
    int64_t programs_cpu_ns; /* of all programs so far */
    double *rates[MODES];    /* runs per second, per pair */
    double *costs[MODES];    /* ns of CPU time per run, per pair */
    struct samples latencies[MODES];
};

struct spread {
    double median, q1, q3;
};

struct outcome {
    const struct program *program;
    unsigned slots;
    double rate[MODES];       /* median, all slots together */
    double cost[MODES];       /* median, ns of CPU time per run */
    struct spread throughput; /* sandboxed / bare, over the pairs */
    struct spread thrift;     /* bare cost / sandboxed cost */
    struct samples latencies[MODES];
    struct samples idle[MODES];
};

static const char *const mode_names[] = {"both", "bare", "sandboxed", NULL};

static const struct option_spec specs[] = {
    {.name = "pairs",
     .type = OPTION_COUNT,
     .offset = offsetof(struct config, pairs),
     .default_text = "60",
     .help = "pairs of blocks for each figure"},
    {.name = "block",
     .type = OPTION_DURATION,
     .offset = offsetof(struct config, block_ns),
     .default_text = "100ms",
     .help = "length of a block"},
    {.name = "idle",
     .type = OPTION_COUNT,
     .offset = offsetof(struct config, idle),
     .default_text = "100",
     .help = "idle runs of each kind; 0: none"},
    {.name = "idle-gap",
     .type = OPTION_DURATION,
     .offset = offsetof(struct config, idle_gap_ns),
     .default_text = "100ms",
     .help = "time between idle runs"},
    {.name = "slots",
     .type = OPTION_COUNT,
     .offset = offsetof(struct config, slots),
     .default_text = "0",
     .help = "slots; 0: one, then one for each CPU"},
    {.name = "program",
     .type = OPTION_STRING,
     .offset = offsetof(struct config, program),
     .help = "only this one: true, static"},
    {.name = "only",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct config, only),
     .choices = mode_names,
     .default_text = "both",
     .help = "one kind of run only, for profilers"},
    BENCH_OPTIONS,
};
static const struct option_table table = {.specs = specs, .count = COUNT_OF(specs)};

static const char *const environment[] = {"PATH=/usr/local/bin:/usr/bin:/bin", NULL};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- one run ---- */

static void open_bare(struct slot *slot)
{
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int out[2], err[2];
    if (null_fd < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0 ||
        posix_spawn_file_actions_init(&slot->actions) != 0 ||
        posix_spawn_file_actions_adddup2(&slot->actions, null_fd, 0) != 0 ||
        posix_spawn_file_actions_adddup2(&slot->actions, out[1], 1) != 0 ||
        posix_spawn_file_actions_adddup2(&slot->actions, err[1], 2) != 0)
        die("prepare bare runs");
}

static int64_t timeval_ns(struct timeval time)
{
    return time.tv_sec * NS_PER_S + time.tv_usec * NS_PER_US;
}

static void run_bare(struct slot *slot)
{
    char *const args[] = {(char *)(uintptr_t)slot->program->bare_path, NULL};
    pid_t pid;
    int status;
    errno = posix_spawn(&pid, args[0], &slot->actions, NULL, args, (char *const *)environment);
    if (errno != 0)
        die(args[0]);
    struct rusage usage;
    if (wait4(pid, &status, 0, &usage) != pid || status != 0)
        die("a bare run");
    slot->programs_cpu_ns += timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime);
}

static void run_sandboxed(struct slot *slot)
{
    const char *const args[] = {slot->program->inside_path};
    const struct exec_file files[] = {
        {.kind = EXEC_FILE_CONTENT},
        {.kind = EXEC_FILE_COLLECT, .name = "stdout", .max = 64 * 1024},
        {.kind = EXEC_FILE_COLLECT, .name = "stderr", .max = 64 * 1024},
    };
    const struct exec_request request = {
        .args = args,
        .arg_count = 1,
        .env = environment,
        .env_count = 1,
        .files = files,
        .file_count = COUNT_OF(files),
        .limits = {.cpu_ns = NS_PER_S,
                   .wall_ns = 3 * NS_PER_S,
                   .memory_bytes = 64 * MIB,
                   .processes = 16,
                   .stack_bytes = 64 * MIB,
                   .file_size_bytes = 16 * MIB,
                   .open_files = 64},
    };
    struct exec_result result;
    exec_run(slot->container, &slot->settings, &request, -1, &result);
    if (result.status != EXEC_ACCEPTED) {
        fprintf(stderr, "%s: %s: %s\n", args[0], exec_status_name(result.status),
                result.error != NULL ? result.error : "");
        exit(1);
    }
    slot->programs_cpu_ns += result.cpu_ns;
    exec_result_free(&result);
}

/* Returns the time until the answer. */
static int64_t run_once(struct slot *slot, enum mode mode)
{
    int64_t begin_ns = monotonic_ns();
    if (mode == BARE) {
        run_bare(slot);
        return monotonic_ns() - begin_ns;
    }
    run_sandboxed(slot);
    int64_t answered_ns = monotonic_ns();
    struct cj_error err;
    if (container_reset(slot->container, &err) < 0)
        bench_fail(&err);
    return answered_ns - begin_ns;
}

/* ---- busy ---- */

static bool wanted(const struct slot *slot, enum mode mode)
{
    return slot->config->only == 0 || slot->config->only == (int)mode + 1;
}

/* What this slot has cost so far: itself, its programs, its container's init. */
static int64_t cpu_so_far_ns(const struct slot *slot)
{
    clockid_t init_clock;
    errno = clock_getcpuclockid(container_init_pid(slot->container), &init_clock);
    if (errno != 0)
        die("clock of a container's init");
    return clock_ns(CLOCK_THREAD_CPUTIME_ID) + slot->programs_cpu_ns + clock_ns(init_clock);
}

static void run_block(struct slot *slot, enum mode mode, uint64_t pair)
{
    pthread_barrier_wait(slot->barrier);
    int64_t cpu_ns = cpu_so_far_ns(slot);
    int64_t begin_ns = monotonic_ns(), now_ns;
    uint64_t runs = 0;
    do {
        samples_add(&slot->latencies[mode], run_once(slot, mode));
        runs++;
        now_ns = monotonic_ns();
    } while (now_ns - begin_ns < slot->config->block_ns);
    slot->rates[mode][pair] = (double)runs * NS_PER_S / (double)(now_ns - begin_ns);
    slot->costs[mode][pair] = (double)(cpu_so_far_ns(slot) - cpu_ns) / (double)runs;
}

static void *slot_main(void *argument)
{
    struct slot *slot = argument;
    bench_be_slot(slot->cpu);
    for (int i = 0; i < WARM_UP_RUNS; i++)
        for (enum mode mode = BARE; mode < MODES; mode++)
            if (wanted(slot, mode))
                run_once(slot, mode);
    for (uint64_t pair = 0; pair < slot->config->pairs; pair++) {
        enum mode first = pair % 2 == 0 ? BARE : SANDBOXED;
        for (int i = 0; i < MODES; i++) {
            enum mode mode = i == 0 ? first : (enum mode)(MODES - 1 - first);
            if (wanted(slot, mode))
                run_block(slot, mode, pair);
        }
    }
    return NULL;
}

static void make_slots(struct slot *slots, unsigned count, struct sandbox *sandbox,
                       const struct config *config)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
        die("sched_getaffinity");
    int cpu = -1;
    for (unsigned i = 0; i < count; i++) {
        do
            cpu++;
        while (cpu < CPU_SETSIZE && !CPU_ISSET(cpu, &allowed));
        struct slot *slot = &slots[i];
        *slot = (struct slot){.config = config, .cpu = cpu};
        exec_settings_default(&slot->settings);
        open_bare(slot);
        struct cj_error err;
        if (container_new(sandbox, i, cpu, &slot->container, &err) < 0)
            bench_fail(&err);
        for (enum mode mode = BARE; mode < MODES; mode++) {
            slot->rates[mode] = calloc(config->pairs, sizeof(double));
            slot->costs[mode] = calloc(config->pairs, sizeof(double));
            if (slot->rates[mode] == NULL || slot->costs[mode] == NULL)
                abort();
        }
    }
}

static struct spread spread_of(struct samples *millionths)
{
    struct spread spread = {
        .median = (double)samples_quantile(millionths, 0.5) / 1e6,
        .q1 = (double)samples_quantile(millionths, 0.25) / 1e6,
        .q3 = (double)samples_quantile(millionths, 0.75) / 1e6,
    };
    samples_free(millionths);
    return spread;
}

static void summarize(struct slot *slots, unsigned count, uint64_t pairs, struct outcome *outcome)
{
    struct samples throughput = {0}, thrift = {0}, rates[MODES] = {0}, costs[MODES] = {0};
    for (uint64_t pair = 0; pair < pairs; pair++) {
        double rate[MODES] = {0}, cost[MODES] = {0};
        for (enum mode mode = BARE; mode < MODES; mode++) {
            for (unsigned i = 0; i < count; i++) {
                rate[mode] += slots[i].rates[mode][pair];
                cost[mode] += slots[i].costs[mode][pair] / count;
            }
            samples_add(&rates[mode], (int64_t)(rate[mode] * 1e6));
            samples_add(&costs[mode], (int64_t)(cost[mode] * 1e6));
        }
        if (rate[BARE] > 0 && cost[SANDBOXED] > 0) {
            samples_add(&throughput, (int64_t)(rate[SANDBOXED] / rate[BARE] * 1e6));
            samples_add(&thrift, (int64_t)(cost[BARE] / cost[SANDBOXED] * 1e6));
        }
    }
    outcome->throughput = spread_of(&throughput);
    outcome->thrift = spread_of(&thrift);
    for (enum mode mode = BARE; mode < MODES; mode++) {
        outcome->rate[mode] = spread_of(&rates[mode]).median;
        outcome->cost[mode] = spread_of(&costs[mode]).median;
        for (unsigned i = 0; i < count; i++) {
            samples_join(&outcome->latencies[mode], &slots[i].latencies[mode]);
            samples_free(&slots[i].latencies[mode]);
        }
    }
}

static void measure_busy(struct slot *slots, unsigned count, const struct program *program,
                         struct outcome *outcome)
{
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, count);
    *outcome = (struct outcome){.program = program, .slots = count};
    for (unsigned i = 0; i < count; i++) {
        slots[i].program = program;
        slots[i].barrier = &barrier;
        errno = pthread_create(&slots[i].thread, NULL, slot_main, &slots[i]);
        if (errno != 0)
            die("pthread_create");
    }
    for (unsigned i = 0; i < count; i++)
        pthread_join(slots[i].thread, NULL);
    pthread_barrier_destroy(&barrier);
    summarize(slots, count, slots[0].config->pairs, outcome);
}

/* ---- idle ---- */

struct idle_job {
    struct slot *slot;
    struct outcome *outcome;
};

static void *idle_main(void *argument)
{
    struct idle_job *job = argument;
    bench_be_slot(job->slot->cpu);
    int64_t at_ns = monotonic_ns();
    for (uint64_t i = 0; i < job->slot->config->idle; i++) {
        for (enum mode mode = BARE; mode < MODES; mode++) {
            at_ns += job->slot->config->idle_gap_ns;
            struct timespec at = timespec_from_ns(at_ns);
            while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
                continue;
            if (wanted(job->slot, mode))
                samples_add(&job->outcome->idle[mode], run_once(job->slot, mode));
        }
    }
    return NULL;
}

static void measure_idle(struct slot *slot, struct outcome *outcome)
{
    struct idle_job job = {slot, outcome};
    errno = pthread_create(&slot->thread, NULL, idle_main, &job);
    if (errno != 0)
        die("pthread_create");
    pthread_join(slot->thread, NULL);
}

/* ---- the answer ---- */

static double us(int64_t ns)
{
    return (double)ns / 1000;
}

static void print_text(struct outcome *outcomes, size_t count)
{
    printf("ratios to bare runs (1 = free): median (quartiles); times in us: bare / sandboxed\n");
    printf("%-7s %5s  %-19s  %-19s  %11s  %11s  %11s  %11s  %11s  %11s\n", "program", "slots",
           "throughput", "CPU cost", "runs/s", "CPU/run", "busy p50", "busy p99", "idle p50",
           "idle p99");
    for (size_t i = 0; i < count; i++) {
        struct outcome *o = &outcomes[i];
        const struct spread *t = &o->throughput, *c = &o->thrift;
        printf("%-7s %5u  %.3f (%.3f-%.3f)  %.3f (%.3f-%.3f)  %5.0f/%-5.0f  %5.0f/%-5.0f",
               o->program->name, o->slots, t->median, t->q1, t->q3, c->median, c->q1, c->q3,
               o->rate[BARE], o->rate[SANDBOXED], o->cost[BARE] / 1000, o->cost[SANDBOXED] / 1000);
        for (int k = 0; k < 4; k++) {
            struct samples *samples = k < 2 ? o->latencies : o->idle;
            double q = k % 2 == 0 ? 0.5 : 0.99;
            if (samples[BARE].count + samples[SANDBOXED].count > 0)
                printf("  %5.0f/%-5.0f", us(samples_quantile(&samples[BARE], q)),
                       us(samples_quantile(&samples[SANDBOXED], q)));
        }
        printf("\n");
    }
}

static void json_latency(struct json_writer *json, const char *key, struct samples *samples)
{
    json_key(json, key);
    json_object_begin(json);
    for (enum mode mode = BARE; mode < MODES; mode++) {
        json_key(json, mode_names[mode + 1]);
        json_object_begin(json);
        json_us(json, "p50_us", samples_quantile(&samples[mode], 0.5));
        json_us(json, "p99_us", samples_quantile(&samples[mode], 0.99));
        json_key(json, "runs");
        json_uint(json, samples[mode].count);
        json_object_end(json);
    }
    json_object_end(json);
}

static void print_json(struct outcome *outcomes, size_t count)
{
    auto_buf struct buf text = {0};
    struct json_writer json = json_writer_to(&text, JSON_PRETTY);
    json_array_begin(&json);
    for (size_t i = 0; i < count; i++) {
        struct outcome *o = &outcomes[i];
        json_object_begin(&json);
        json_key(&json, "program");
        json_string(&json, o->program->name);
        json_key(&json, "slots");
        json_uint(&json, o->slots);
        const struct {
            const char *key;
            double value;
        } figures[] = {
            {"throughput_ratio", o->throughput.median},
            {"throughput_ratio_q1", o->throughput.q1},
            {"throughput_ratio_q3", o->throughput.q3},
            {"cost_ratio", o->thrift.median},
            {"cost_ratio_q1", o->thrift.q1},
            {"cost_ratio_q3", o->thrift.q3},
            {"bare_per_second", o->rate[BARE]},
            {"sandboxed_per_second", o->rate[SANDBOXED]},
            {"bare_cpu_us", o->cost[BARE] / 1000},
            {"sandboxed_cpu_us", o->cost[SANDBOXED] / 1000},
        };
        for (size_t k = 0; k < COUNT_OF(figures); k++) {
            json_key(&json, figures[k].key);
            json_double(&json, figures[k].value);
        }
        json_latency(&json, "busy", o->latencies);
        if (o->idle[BARE].count > 0)
            json_latency(&json, "idle", o->idle);
        json_object_end(&json);
    }
    json_array_end(&json);
    printf("%.*s\n", (int)text.size, text.data);
}

/* At least 0.95 of the bare throughput; p50 at most 1.1 x bare, when idle at most bare + 0.3 ms. */
static int check_goals(struct outcome *outcomes, size_t count)
{
    int missed = 0;
    for (size_t i = 0; i < count; i++) {
        struct outcome *o = &outcomes[i];
        double busy = us(samples_quantile(&o->latencies[SANDBOXED], 0.5)) /
                      us(samples_quantile(&o->latencies[BARE], 0.5));
        int64_t idle_ns =
            samples_quantile(&o->idle[SANDBOXED], 0.5) - samples_quantile(&o->idle[BARE], 0.5);
        if (o->throughput.median >= 0.95 && busy <= 1.1 && idle_ns <= 300 * NS_PER_US)
            continue;
        fprintf(stderr,
                "missed: %s, %u slots: throughput %.3f (>= 0.95), busy p50 %.3f (<= 1.1), "
                "idle p50 +%.0f us (<= 300)\n",
                o->program->name, o->slots, o->throughput.median, busy, us(idle_ns));
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
    if (bench_open(&sandbox, &err) < 0)
        bench_fail(&err);
    char *tiny = bench_host_path("bench_tiny");
    const struct program programs[] = {
        {"true", "/bin/true", "/bin/true"},
        {"static", tiny, BENCH_INSIDE "/bench_tiny"},
    };
    cpu_set_t allowed;
    sched_getaffinity(0, sizeof(allowed), &allowed);
    unsigned all = (unsigned)CPU_COUNT(&allowed);
    if (all > SLOTS_MAX)
        all = SLOTS_MAX;
    static struct slot slots[SLOTS_MAX];
    make_slots(slots, all, sandbox, &config);

    struct outcome outcomes[2 * COUNT_OF(programs)];
    size_t count = 0;
    for (size_t i = 0; i < COUNT_OF(programs); i++) {
        if (config.program[0] != '\0' && strcmp(config.program, programs[i].name) != 0)
            continue;
        for (int many = 0; many < (config.slots == 0 && all > 1 ? 2 : 1); many++) {
            unsigned used = config.slots != 0 ? (unsigned)config.slots : many ? all : 1;
            measure_busy(slots, used < all ? used : all, &programs[i], &outcomes[count]);
            if (many == 0)
                measure_idle(&slots[0], &outcomes[count]);
            count++;
        }
    }
    if (config.json)
        print_json(outcomes, count);
    else
        print_text(outcomes, count);
    int missed = config.goals ? check_goals(outcomes, count) : 0;
    for (unsigned i = 0; i < all; i++)
        container_free(slots[i].container);
    sandbox_close(sandbox);
    free(tiny);
    return missed > 0;
}

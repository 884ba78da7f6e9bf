/* What a round trip between two programs costs that talk through pipes.
 *
 * One program writes a few bytes and waits for as many, the other one sends back what it gets. Bare: two
 * processes, two pipes, one CPU. Then the same two programs as a group, in two containers on that CPU, with
 * direct and with relayed pipes. The kinds take turns, and each turn gives one ratio to the bare one of
 * that turn. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "exec/exec.h"
#include "options.h"
#include "support.h"

#define PLAYER BENCH_INSIDE "/bench_player"

enum { GOAL_PERCENT = 150 };

struct config {
    bool json, goals, help;
    uint64_t turns, rounds, size;
};

static const struct option_spec specs[] = {
    {.name = "turns",
     .type = OPTION_COUNT,
     .offset = offsetof(struct config, turns),
     .default_text = "20",
     .help = "turns of each kind"},
    {.name = "rounds",
     .type = OPTION_COUNT,
     .offset = offsetof(struct config, rounds),
     .default_text = "10000",
     .help = "round trips in a turn"},
    {.name = "size",
     .type = OPTION_COUNT,
     .offset = offsetof(struct config, size),
     .default_text = "8",
     .help = "bytes of a message"},
    BENCH_OPTIONS,
};
static const struct option_table table = {.specs = specs, .count = COUNT_OF(specs)};

/* How two programs are joined. */
struct kind {
    const char *name;
    bool bare;
    struct exec_pipe pipe; /* what both have in common */
    struct samples times;  /* ns of a round trip */
    struct samples ratios; /* millionths of the bare one */
};

static struct kind kinds[] = {
    {.name = "bare", .bare = true},
    {.name = "direct"},
    {.name = "proxied", .pipe = {.proxy = true}},
    {.name = "proxied, copied", .pipe = {.proxy = true, .copy = true}},
    {.name = "proxied, kept", .pipe = {.proxy = true, .name = "p", .max = 1 << 30}},
};

struct bench {
    const struct config *config;
    char rounds[32], size[32];
    struct container *containers[2];
    struct exec_settings settings;
};

static NORETURN void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static void make_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) < 0)
        die("pipe");
}

/* ---- a turn ---- */

static pid_t spawn(char *const *args, int in, int out, int told)
{
    posix_spawn_file_actions_t actions;
    pid_t pid;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_adddup2(&actions, told, 2);
    errno = posix_spawn(&pid, args[0], &actions, NULL, args, NULL);
    if (errno != 0)
        die(args[0]);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

static void await(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) != pid || status != 0)
        die("a bare program");
}

static int64_t turn_bare(struct bench *bench)
{
    auto_free char *path = bench_host_path("bench_player");
    char *const ping[] = {path, (char[]){"ping"}, bench->rounds, bench->size, NULL};
    char *const pong[] = {path, (char[]){"pong"}, NULL};
    int forth[2], back[2], told[2];
    char text[32] = "";
    make_pipe(forth);
    make_pipe(back);
    make_pipe(told);
    pid_t first = spawn(ping, back[0], forth[1], told[1]);
    pid_t second = spawn(pong, forth[0], back[1], told[1]);
    for (int i = 0; i < 2; i++) {
        close(forth[i]);
        close(back[i]);
    }
    close(told[1]);
    await(first);
    await(second);
    if (read(told[0], text, sizeof(text) - 1) <= 0)
        die("a bare program said nothing");
    close(told[0]);
    return atoll(text);
}

static int64_t told_by(const struct exec_result *results)
{
    for (size_t i = 0; i < 2; i++)
        if (results[i].status != EXEC_ACCEPTED) {
            fprintf(stderr, "program %zu: %s: %s\n", i, exec_status_name(results[i].status),
                    results[i].error != NULL ? results[i].error : "");
            exit(1);
        }
    for (size_t i = 0; i < results[0].file_count; i++)
        if (strcmp(results[0].files[i].name, "stderr") == 0 && results[0].files[i].size > 0)
            return atoll(results[0].files[i].data);
    fprintf(stderr, "a program said nothing\n");
    exit(1);
}

static int64_t turn_group(struct bench *bench, const struct kind *kind)
{
    const char *const ping[] = {PLAYER, "ping", bench->rounds, bench->size};
    const char *const pong[] = {PLAYER, "pong"};
    const struct exec_file files[] = {
        {.kind = EXEC_FILE_NULL},
        {.kind = EXEC_FILE_NULL},
        {.kind = EXEC_FILE_COLLECT, .name = "stderr", .max = 4096},
    };
    const struct exec_limits limits = {.cpu_ns = 60 * NS_PER_S,
                                       .wall_ns = 120 * NS_PER_S,
                                       .memory_bytes = 64 << 20,
                                       .processes = 4};
    const struct exec_request commands[] = {
        {.args = ping, .arg_count = 4, .files = files, .file_count = 3, .limits = limits},
        {.args = pong, .arg_count = 2, .files = files, .file_count = 3, .limits = limits},
    };
    struct exec_pipe pipes[] = {kind->pipe, kind->pipe};
    pipes[0].writer = pipes[1].writer = (struct exec_pipe_end){0, 1};
    pipes[0].reader = pipes[1].reader = (struct exec_pipe_end){1, 0};
    pipes[1].writer.index = 1;
    pipes[1].reader.index = 0;
    const struct exec_group group = {commands, 2, pipes, 2};
    struct exec_result results[2];
    exec_run_group(bench->containers, &bench->settings, &group, -1, results);
    int64_t round_ns = told_by(results);
    for (size_t i = 0; i < 2; i++) {
        struct cj_error err;
        exec_result_free(&results[i]);
        if (container_reset(bench->containers[i], &err) < 0)
            bench_fail(&err);
    }
    return round_ns;
}

static void take_turns(struct bench *bench)
{
    for (uint64_t turn = 0; turn <= bench->config->turns; turn++) {
        int64_t bare_ns = 0;
        for (size_t i = 0; i < COUNT_OF(kinds); i++) {
            int64_t round_ns = kinds[i].bare ? turn_bare(bench) : turn_group(bench, &kinds[i]);
            bare_ns = kinds[i].bare ? round_ns : bare_ns;
            if (turn == 0) /* everything is cold yet */
                continue;
            samples_add(&kinds[i].times, round_ns);
            samples_add(&kinds[i].ratios, round_ns * 1000000 / (bare_ns > 0 ? bare_ns : 1));
        }
    }
}

/* ---- what is said ---- */

static double ratio(struct kind *kind, double quantile)
{
    return (double)samples_quantile(&kind->ratios, quantile) / 1e6;
}

static void print_text(void)
{
    printf("%-16s %12s %12s   ratio to bare: median (quartiles)\n", "pipes", "round trip",
           "fastest");
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        printf("%-16s %9.2f us %9.2f us   %.2f (%.2f-%.2f)\n", kinds[i].name,
               (double)samples_quantile(&kinds[i].times, 0.5) / 1e3,
               (double)samples_quantile(&kinds[i].times, 0) / 1e3, ratio(&kinds[i], 0.5),
               ratio(&kinds[i], 0.25), ratio(&kinds[i], 0.75));
}

static void print_json(void)
{
    auto_buf struct buf text = {0};
    struct json_writer json = json_writer_to(&text, JSON_PRETTY);
    json_array_begin(&json);
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        json_object_begin(&json);
        json_key(&json, "name");
        json_string(&json, kinds[i].name);
        json_us(&json, "round_trip_us", samples_quantile(&kinds[i].times, 0.5));
        json_key(&json, "ratio");
        json_double(&json, ratio(&kinds[i], 0.5));
        json_object_end(&json);
    }
    json_array_end(&json);
    printf("%.*s\n", (int)text.size, text.data);
}

static int check_goals(void)
{
    int missed = 0;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (ratio(&kinds[i], 0.5) * 100 <= GOAL_PERCENT)
            continue;
        fprintf(stderr, "missed: %s\n", kinds[i].name);
        missed++;
    }
    return missed;
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0)
        die("sched_setaffinity");
}

int main(int argc, char **argv)
{
    struct config config = {0};
    struct cj_error err;
    bench_options_load(&table, argc, argv, &config, &config.help);
    signal(SIGPIPE, SIG_IGN);
    struct sandbox *sandbox;
    struct bench bench = {.config = &config};
    snprintf(bench.rounds, sizeof(bench.rounds), "%llu", (unsigned long long)config.rounds);
    snprintf(bench.size, sizeof(bench.size), "%llu", (unsigned long long)config.size);
    exec_settings_default(&bench.settings);
    if (bench_open(&sandbox, &err) < 0)
        bench_fail(&err);
    for (unsigned i = 0; i < 2; i++)
        if (container_new(sandbox, i, 0, &bench.containers[i], &err) < 0)
            bench_fail(&err);
    pin(0); /* the bare ones inherit it */
    take_turns(&bench);
    if (config.json)
        print_json();
    else
        print_text();
    int missed = config.goals ? check_goals() : 0;
    for (size_t i = 0; i < 2; i++)
        container_free(bench.containers[i]);
    sandbox_close(sandbox);
    return missed > 0;
}

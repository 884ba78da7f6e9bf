/* What a run costs through the whole service, as a ratio to what it costs without any.
 *
 * The baseline is posix_spawn(3) and wait4(2) of /bin/true, by as many threads as there are connections
 * but no more than CPUs, each pinned to one. The service is a `cjudge serve` of our own with its
 * defaults; one thread here keeps one request going on each of its connections, over keep-alive.
 *
 * Blocks alternate: bare, served, served, bare, ... so that what else the machine does meets both; each
 * pair of neighbours gives one ratio. Throughput is by the clock on the wall. "Cost" is the CPU time of
 * everybody concerned (client, service, inits, programs), which tells the same on a machine that has
 * other things to do. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "options.h"
#include "service.h"
#include "support.h"

enum {
    THREADS_MAX = 64,
    CONNECTIONS_MAX = 64,
    ANSWER_MAX = 4096,
    WARM_UP_ROUNDS = 20,
    MIB = 1 << 20
};

enum mode { BARE, SERVED, MODES };

/* Goals. */
#define THROUGHPUT_GOAL  0.85 /* of bare, on two connections and more */
#define LATENCY_GOAL     1.35 /* x bare, p50 on one connection */
#define MEMORY_GOAL      (8 * MIB)
#define MEMORY_SLOT_GOAL (3 * MIB)

struct config {
    bool json, goals, help;
    int64_t block_ns;
    uint64_t pairs;
    struct option_list connections;
    char *cjudge;
    struct option_list service_options;
    bool pipes;
    int only;
};

static const char *const mode_names[] = {"both", "bare", "served", NULL};

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
    {.name = "connections",
     .type = OPTION_LIST,
     .offset = offsetof(struct config, connections),
     .default_text = "1,2,4,8",
     .help = "how many connections, one after the other"},
    {.name = "cjudge",
     .type = OPTION_STRING,
     .offset = offsetof(struct config, cjudge),
     .default_note = "the one that was built with this",
     .metavar = "FILE",
     .help = "the program to serve"},
    {.name = "option",
     .type = OPTION_REPEAT,
     .offset = offsetof(struct config, service_options),
     .metavar = "WORD",
     .help = "one more word of the service's command line"},
    {.name = "pipes",
     .type = OPTION_BOOL,
     .offset = offsetof(struct config, pipes),
     .help = "collect outputs by pipes instead of files"},
    {.name = "only",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct config, only),
     .choices = mode_names,
     .default_text = "both",
     .help = "one kind of run only, for profilers"},
    BENCH_OPTIONS,
};
static const struct option_table table = {.specs = specs, .count = COUNT_OF(specs)};

/* Standard output and error are collected by files, which is what go-judge's clients get that do not ask
 * for pipes, or by pipes. */
static const char body_format[] =
    "{\"cmd\":[{\"args\":[\"/bin/true\"],\"files\":[{\"content\":\"\"},"
    "{\"name\":\"stdout\",\"max\":10240%s},{\"name\":\"stderr\",\"max\":10240%s}],"
    "\"env\":[\"PATH=/usr/bin:/bin\"],\"cpuLimit\":1000000000,\"memoryLimit\":67108864,"
    "\"procLimit\":16}]}";

/* What a block did. */
struct block {
    uint64_t runs;
    int64_t wall_ns;
    int64_t client_ns, service_ns, inits_ns,
        programs_ns; /* CPU time; of bare runs all is the client's
                                                             and the programs' */
    struct samples latencies;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- bare runs ---- */

struct spawner {
    pthread_t thread;
    int cpu;
    int64_t until_ns;
    posix_spawn_file_actions_t actions;
    struct block block;
};

static int64_t timeval_ns(struct timeval time)
{
    return time.tv_sec * NS_PER_S + time.tv_usec * NS_PER_US;
}

static void run_bare(struct spawner *spawner)
{
    static char *const args[] = {(char *)"/bin/true", NULL};
    static char *const environment[] = {(char *)"PATH=/usr/bin:/bin", NULL};
    int status;
    pid_t pid;
    struct rusage usage;
    errno = posix_spawn(&pid, args[0], &spawner->actions, NULL, args, environment);
    if (errno != 0)
        die(args[0]);
    if (wait4(pid, &status, 0, &usage) != pid || status != 0)
        die("a bare run");
    spawner->block.programs_ns += timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime);
}

static void *spawner_main(void *arg)
{
    struct spawner *spawner = arg;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)spawner->cpu, &set);
    (void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
    int64_t now_ns = monotonic_ns();
    do {
        int64_t begun_ns = now_ns;
        run_bare(spawner);
        now_ns = monotonic_ns();
        samples_add(&spawner->block.latencies, now_ns - begun_ns);
        spawner->block.runs++;
    } while (now_ns < spawner->until_ns);
    spawner->block.client_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    return NULL;
}

static void open_spawner(struct spawner *spawner)
{
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int out[2], err[2];
    if (null_fd < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0 ||
        posix_spawn_file_actions_init(&spawner->actions) != 0 ||
        posix_spawn_file_actions_adddup2(&spawner->actions, null_fd, 0) != 0 ||
        posix_spawn_file_actions_adddup2(&spawner->actions, out[1], 1) != 0 ||
        posix_spawn_file_actions_adddup2(&spawner->actions, err[1], 2) != 0)
        die("prepare bare runs");
}

static unsigned open_spawners(struct spawner *spawners)
{
    cpu_set_t allowed;
    unsigned count = 0;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
        die("sched_getaffinity");
    for (int cpu = 0; cpu < CPU_SETSIZE && count < THREADS_MAX; cpu++) {
        if (!CPU_ISSET((size_t)cpu, &allowed))
            continue;
        spawners[count].cpu = cpu;
        open_spawner(&spawners[count++]);
    }
    return count;
}

static void join_block(struct block *block, struct block *part)
{
    block->runs += part->runs;
    block->client_ns += part->client_ns;
    block->programs_ns += part->programs_ns;
    samples_join(&block->latencies, &part->latencies);
    samples_free(&part->latencies);
    *part = (struct block){0};
}

static void bare_block(struct spawner *spawners, unsigned count, int64_t block_ns,
                       struct block *block)
{
    int64_t begin_ns = monotonic_ns();
    for (unsigned i = 0; i < count; i++) {
        spawners[i].until_ns = begin_ns + block_ns;
        errno = pthread_create(&spawners[i].thread, NULL, spawner_main, &spawners[i]);
        if (errno != 0)
            die("pthread_create");
    }
    for (unsigned i = 0; i < count; i++)
        pthread_join(spawners[i].thread, NULL);
    block->wall_ns = monotonic_ns() - begin_ns;
    for (unsigned i = 0; i < count; i++)
        join_block(block, &spawners[i].block);
}

/* ---- served runs ---- */

struct connection {
    int fd;
    bool busy;
    int64_t begun_ns;
    size_t size; /* of the answer so far */
    char answer[ANSWER_MAX];
};

struct client {
    struct service *service;
    struct connection connections[CONNECTIONS_MAX];
    unsigned count;
    int epoll_fd;
    char request[1024];
    size_t request_size;
};

static void open_client(struct client *client, struct service *service, unsigned count, bool pipes)
{
    struct cj_error err;
    char body[512];
    const char *pipe = pipes ? ",\"pipe\":true" : "";
    int body_size = snprintf(body, sizeof(body), body_format, pipe, pipe);
    *client = (struct client){.service = service, .count = count};
    client->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    client->request_size = (size_t)snprintf(
        client->request, sizeof(client->request),
        "POST /run HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: %d\r\n\r\n%s",
        body_size, body);
    for (unsigned i = 0; i < count; i++) {
        struct connection *connection = &client->connections[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        connection->fd = service_connect(service, &err);
        if (connection->fd < 0)
            bench_fail(&err);
        if (epoll_ctl(client->epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) < 0)
            die("epoll_ctl");
    }
}

static void close_client(struct client *client)
{
    for (unsigned i = 0; i < client->count; i++)
        close(client->connections[i].fd);
    close(client->epoll_fd);
}

static void send_request(const struct client *client, struct connection *connection)
{
    connection->begun_ns = monotonic_ns();
    connection->busy = true;
    connection->size = 0;
    if (send(connection->fd, client->request, client->request_size, MSG_NOSIGNAL) !=
        (ssize_t)client->request_size)
        die("send a request");
}

/* The number behind a name in the answer. */
static int64_t number_behind(const struct connection *connection, const char *name)
{
    const char *found = strstr(connection->answer, name);
    if (found == NULL) {
        fprintf(stderr, "no %s in the answer: %s\n", name, connection->answer);
        exit(1);
    }
    return atoll(found + strlen(name));
}

/* Returns whether the answer is there as a whole. */
static bool receive_answer(struct connection *connection, struct block *block)
{
    ssize_t got = recv(connection->fd, connection->answer + connection->size,
                       ANSWER_MAX - 1 - connection->size, 0);
    if (got <= 0)
        die("receive an answer");
    connection->size += (size_t)got;
    connection->answer[connection->size] = '\0';
    const char *content = strstr(connection->answer, "\r\n\r\n");
    if (content == NULL)
        return false;
    int64_t length = number_behind(connection, "\r\nContent-Length: ");
    if (connection->size < (size_t)(content + 4 - connection->answer) + (size_t)length)
        return false;
    if (strstr(content, "\"status\":\"Accepted\"") == NULL) {
        fprintf(stderr, "a served run: %s\n", connection->answer);
        exit(1);
    }
    connection->busy = false;
    block->runs++;
    block->programs_ns += number_behind(connection, "\"time\":");
    samples_add(&block->latencies, monotonic_ns() - connection->begun_ns);
    return true;
}

/* One connection needs no epoll. */
static void serve_one(struct client *client, int64_t until_ns, struct block *block)
{
    struct connection *connection = &client->connections[0];
    do {
        send_request(client, connection);
        while (!receive_answer(connection, block))
            continue;
    } while (monotonic_ns() < until_ns);
}

static void serve_many(struct client *client, int64_t until_ns, struct block *block)
{
    struct epoll_event events[CONNECTIONS_MAX];
    unsigned busy = client->count;
    for (unsigned i = 0; i < client->count; i++)
        send_request(client, &client->connections[i]);
    while (busy > 0) {
        int ready = epoll_wait(client->epoll_fd, events, CONNECTIONS_MAX, -1);
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!receive_answer(connection, block))
                continue;
            if (monotonic_ns() < until_ns)
                send_request(client, connection);
            else
                busy--;
        }
    }
}

static void served_block(struct client *client, int64_t block_ns, struct block *block)
{
    int64_t service_ns = service_own_cpu_ns(client->service);
    int64_t all_ns = service_cpu_ns(client->service);
    int64_t client_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    int64_t begin_ns = monotonic_ns();
    if (client->count == 1)
        serve_one(client, begin_ns + block_ns, block);
    else
        serve_many(client, begin_ns + block_ns, block);
    block->wall_ns = monotonic_ns() - begin_ns;
    block->client_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - client_ns;
    block->service_ns = service_own_cpu_ns(client->service) - service_ns;
    block->inits_ns = service_cpu_ns(client->service) - all_ns - block->service_ns;
}

/* ---- the measurement ---- */

struct spread {
    double median, q1, q3;
};

/* Where the CPU time of a run goes, in ns. */
struct cost {
    double all, client, service, inits, programs;
};

struct outcome {
    unsigned connections;
    struct spread throughput; /* served / bare, over the pairs */
    struct spread thrift;     /* bare cost / served cost */
    double rate[MODES];       /* median */
    struct cost cost[MODES];  /* over all blocks */
    struct samples latencies[MODES];
};

static double cost_of(const struct block *block)
{
    return (double)(block->client_ns + block->service_ns + block->inits_ns + block->programs_ns) /
           (double)block->runs;
}

static double rate_of(const struct block *block)
{
    return (double)block->runs * NS_PER_S / (double)block->wall_ns;
}

static void add_cost(struct cost *cost, const struct block *block)
{
    cost->client += (double)block->client_ns;
    cost->service += (double)block->service_ns;
    cost->inits += (double)block->inits_ns;
    cost->programs += (double)block->programs_ns;
}

static void divide_cost(struct cost *cost, uint64_t runs)
{
    double count = runs > 0 ? (double)runs : 1;
    cost->client /= count;
    cost->service /= count;
    cost->inits /= count;
    cost->programs /= count;
    cost->all = cost->client + cost->service + cost->inits + cost->programs;
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

static bool wanted(const struct config *config, enum mode mode)
{
    return config->only == 0 || config->only == (int)mode + 1;
}

static void measure(const struct config *config, struct service *service, struct spawner *spawners,
                    unsigned threads, struct outcome *outcome)
{
    static struct client client;
    struct samples throughput = {0}, thrift = {0}, rates[MODES] = {0};
    uint64_t runs[MODES] = {0};
    if (threads > outcome->connections)
        threads = outcome->connections;
    open_client(&client, service, outcome->connections, config->pipes);
    struct block warm_up = {0};
    for (int i = 0; i < WARM_UP_ROUNDS; i++)
        served_block(&client, 0, &warm_up);
    samples_free(&warm_up.latencies);
    for (uint64_t pair = 0; pair < config->pairs; pair++) {
        struct block blocks[MODES] = {0};
        for (int i = 0; i < MODES; i++) {
            enum mode mode = (pair + (uint64_t)i) % 2 == 0 ? BARE : SERVED;
            if (!wanted(config, mode))
                continue;
            if (mode == BARE)
                bare_block(spawners, threads, config->block_ns, &blocks[BARE]);
            else
                served_block(&client, config->block_ns, &blocks[SERVED]);
            runs[mode] += blocks[mode].runs;
            add_cost(&outcome->cost[mode], &blocks[mode]);
            samples_add(&rates[mode], (int64_t)(rate_of(&blocks[mode]) * 1e6));
        }
        if (config->only == 0) {
            samples_add(&throughput,
                        (int64_t)(rate_of(&blocks[SERVED]) / rate_of(&blocks[BARE]) * 1e6));
            samples_add(&thrift,
                        (int64_t)(cost_of(&blocks[BARE]) / cost_of(&blocks[SERVED]) * 1e6));
        }
        for (enum mode mode = BARE; mode < MODES; mode++) {
            samples_join(&outcome->latencies[mode], &blocks[mode].latencies);
            samples_free(&blocks[mode].latencies);
        }
    }
    close_client(&client);
    outcome->throughput = spread_of(&throughput);
    outcome->thrift = spread_of(&thrift);
    for (enum mode mode = BARE; mode < MODES; mode++) {
        outcome->rate[mode] = spread_of(&rates[mode]).median;
        divide_cost(&outcome->cost[mode], runs[mode]);
    }
}

/* ---- the answer ---- */

struct memory {
    uint64_t fresh, after, goal; /* bytes */
};

static double quantile_us(struct outcome *outcome, enum mode mode, double q)
{
    return (double)samples_quantile(&outcome->latencies[mode], q) / 1000;
}

static void print_text(struct outcome *outcomes, size_t count, const struct memory *memory)
{
    printf("ratios to bare runs (1 = free): median (quartiles); times in us: bare / served\n");
    printf("%5s  %-19s  %-19s  %11s  %11s  %11s  %11s  %s\n", "conns", "throughput", "CPU cost",
           "runs/s", "CPU/run", "p50", "p99",
           "CPU/run of bare: spawner, programs; served: client, service, inits, programs");
    for (size_t i = 0; i < count; i++) {
        struct outcome *o = &outcomes[i];
        const struct spread *t = &o->throughput, *c = &o->thrift;
        const struct cost *cost = &o->cost[SERVED];
        printf("%5u  %.3f (%.3f-%.3f)  %.3f (%.3f-%.3f)  %5.0f/%-5.0f  %5.0f/%-5.0f",
               o->connections, t->median, t->q1, t->q3, c->median, c->q1, c->q3, o->rate[BARE],
               o->rate[SERVED], o->cost[BARE].all / 1000, cost->all / 1000);
        for (int k = 0; k < 2; k++)
            printf("  %5.0f/%-5.0f", quantile_us(o, BARE, k == 0 ? 0.5 : 0.99),
                   quantile_us(o, SERVED, k == 0 ? 0.5 : 0.99));
        printf("  %.0f, %.0f; %.0f, %.0f, %.0f, %.0f\n", o->cost[BARE].client / 1000,
               o->cost[BARE].programs / 1000, cost->client / 1000, cost->service / 1000,
               cost->inits / 1000, cost->programs / 1000);
    }
    printf("memory, idle: %.1f MiB when fresh, %.1f MiB afterwards (goal: <= %.1f MiB)\n",
           (double)memory->fresh / MIB, (double)memory->after / MIB, (double)memory->goal / MIB);
}

static void json_number(struct json_writer *json, const char *key, double value)
{
    json_key(json, key);
    json_double(json, value);
}

static void json_outcome(struct json_writer *json, struct outcome *o)
{
    json_object_begin(json);
    json_number(json, "connections", o->connections);
    json_number(json, "throughput_ratio", o->throughput.median);
    json_number(json, "throughput_ratio_q1", o->throughput.q1);
    json_number(json, "throughput_ratio_q3", o->throughput.q3);
    json_number(json, "cost_ratio", o->thrift.median);
    json_number(json, "cost_ratio_q1", o->thrift.q1);
    json_number(json, "cost_ratio_q3", o->thrift.q3);
    json_number(json, "bare_per_second", o->rate[BARE]);
    json_number(json, "served_per_second", o->rate[SERVED]);
    json_number(json, "bare_cpu_us", o->cost[BARE].all / 1000);
    json_number(json, "served_cpu_us", o->cost[SERVED].all / 1000);
    json_number(json, "served_cpu_client_us", o->cost[SERVED].client / 1000);
    json_number(json, "served_cpu_service_us", o->cost[SERVED].service / 1000);
    json_number(json, "served_cpu_inits_us", o->cost[SERVED].inits / 1000);
    json_number(json, "served_cpu_programs_us", o->cost[SERVED].programs / 1000);
    json_number(json, "bare_p50_us", quantile_us(o, BARE, 0.5));
    json_number(json, "bare_p99_us", quantile_us(o, BARE, 0.99));
    json_number(json, "served_p50_us", quantile_us(o, SERVED, 0.5));
    json_number(json, "served_p99_us", quantile_us(o, SERVED, 0.99));
    json_object_end(json);
}

static void print_json(struct outcome *outcomes, size_t count, const struct memory *memory)
{
    auto_buf struct buf text = {0};
    struct json_writer json = json_writer_to(&text, JSON_PRETTY);
    json_object_begin(&json);
    json_key(&json, "connections");
    json_array_begin(&json);
    for (size_t i = 0; i < count; i++)
        json_outcome(&json, &outcomes[i]);
    json_array_end(&json);
    json_key(&json, "idle_memory_bytes");
    json_uint(&json, memory->fresh);
    json_key(&json, "idle_memory_afterwards_bytes");
    json_uint(&json, memory->after);
    json_key(&json, "idle_memory_goal_bytes");
    json_uint(&json, memory->goal);
    json_object_end(&json);
    printf("%.*s\n", (int)text.size, text.data);
}

static int check_goals(struct outcome *outcomes, size_t count, const struct memory *memory)
{
    int missed = 0;
    for (size_t i = 0; i < count; i++) {
        struct outcome *o = &outcomes[i];
        double latency = quantile_us(o, SERVED, 0.5) / quantile_us(o, BARE, 0.5);
        if (o->connections == 1 ? latency <= LATENCY_GOAL : o->throughput.median >= THROUGHPUT_GOAL)
            continue;
        missed++;
        fprintf(
            stderr,
            "missed: %u connections: throughput %.3f (>= %.2f on two and more), p50 %.3f x bare "
            "(<= %.2f on one)\n",
            o->connections, o->throughput.median, THROUGHPUT_GOAL, latency, LATENCY_GOAL);
    }
    if (memory->fresh > memory->goal || memory->after > memory->goal) {
        missed++;
        fprintf(stderr, "missed: memory of the idle service\n");
    }
    return missed;
}

static void start(const struct config *config, struct service *service)
{
    struct cj_error err;
    const char *options[32] = {NULL};
    for (size_t i = 0; i < config->service_options.count && i < COUNT_OF(options) - 1; i++)
        options[i] = config->service_options.items[i];
    char *built = bench_host_path("../cjudge");
    if (service_start(service, config->cjudge[0] != '\0' ? config->cjudge : built, options, &err) <
        0)
        bench_fail(&err);
    free(built);
}

int main(int argc, char **argv)
{
    static struct outcome outcomes[16];
    static struct spawner spawners[THREADS_MAX];
    static struct service service;
    struct config config = {0};
    bench_options_load(&table, argc, argv, &config, &config.help);
    unsigned threads = open_spawners(spawners);
    start(&config, &service);
    struct memory memory = {.fresh = service_memory_bytes(&service),
                            .goal = MEMORY_GOAL + (uint64_t)service.slots * MEMORY_SLOT_GOAL};
    size_t count = 0;
    for (size_t i = 0; i < config.connections.count && count < COUNT_OF(outcomes); i++) {
        int connections = atoi(config.connections.items[i]);
        if (connections < 1 || connections > CONNECTIONS_MAX)
            continue;
        outcomes[count].connections = (unsigned)connections;
        measure(&config, &service, spawners, threads, &outcomes[count++]);
    }
    memory.after = service_memory_bytes(&service);
    if (config.json)
        print_json(outcomes, count, &memory);
    else
        print_text(outcomes, count, &memory);
    int missed = config.goals ? check_goals(outcomes, count, &memory) : 0;
    options_free(&table, &config);
    return service_stop(&service) != 0 || missed > 0;
}

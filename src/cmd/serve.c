/* `cjudge serve`: the service. One loop for the clients, a slot for each program that runs at once.
 *
 *     settings ─► sandbox ─► store ─► slots ─► loop, doors ─► serve ─► drain ─► end
 *
 * The sandbox comes first: it forks the spawner, which must not have threads. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/rest.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/priority.h"
#include "command.h"
#include "judge/warm_places.h"
#include "net/http.h"
#include "net/loop.h"
#include "sandbox/mount_config.h"
#include "sandbox/sandbox.h"
#include "sched/sched.h"
#include "serve_judge.h"
#include "settings.h"
#include "store/store.h"

#define SWEEP_PERIOD (5 * NS_PER_S)
#define LOOK_AGAIN   (10 * NS_PER_MS) /* whether the last run has ended */
#define LAST_WORDS   (2 * NS_PER_S)   /* for answers, after what still ran was cancelled */
#define GIVE_UP      (30 * NS_PER_S)  /* more than killing and reaping a run may take */

struct service {
    struct settings settings;
    struct mount_config mounts;
    struct sandbox *sandbox;
    struct store *store;
    struct sched *sched;
    struct net_loop *loop;
    struct net_signal *interrupt, *terminate;
    struct net_timer *sweep; /* of the store */
    struct net_timer *drain; /* rings when draining has taken long enough */
    struct net_timer *last;  /* waits for runs, after the server has stopped */
    struct rest *rest;
    struct http_server *server;
    struct serve_judge *judge; /* NULL: no such door */
    struct exec_settings exec;
    struct exec_warm warm;
    unsigned stopping_servers;
    bool stopping;
    int64_t give_up_ns; /* monotonic */
};

static uint64_t at_work(const struct service *service)
{
    return rest_at_work(service->rest) + serve_judge_at_work(service->judge);
}

static void cancel_all(struct service *service)
{
    rest_cancel(service->rest);
    serve_judge_cancel(service->judge);
}

/* ---- the end ---- */

/* The server has stopped: whoever is still at work has no client any more. What hangs in the kernel (a
 * host file on a dead server) cannot be waited for; whatever of ours lives dies with us. */
static void await_runs(void *arg)
{
    struct service *service = arg;
    if (at_work(service) == 0) {
        net_loop_stop(service->loop);
    } else if (monotonic_ns() < service->give_up_ns) {
        net_timer_set(service->last, LOOK_AGAIN);
    } else {
        log_error("requests do not end", log_uint("requests", at_work(service)));
        _exit(EXIT_FAILURE);
    }
}

static void server_stopped(void *arg)
{
    struct service *service = arg;
    if (--service->stopping_servers > 0)
        return;
    cancel_all(service);
    service->give_up_ns = monotonic_ns() + GIVE_UP;
    await_runs(service);
}

static void drained_long_enough(void *arg)
{
    struct service *service = arg;
    log_warn("cancelling what still runs", log_uint("requests", at_work(service)));
    cancel_all(service);
}

/* The first one lets go on what was taken, the second one does not wait. */
static void stop(int number, void *arg)
{
    struct service *service = arg;
    int64_t patience_ns = service->stopping ? 0 : service->settings.drain_timeout_ns;
    log_info("stopping", log_text("signal", sigabbrev_np(number)),
             log_uint("requests", at_work(service)), log_duration("patience", patience_ns));
    service->stopping = true;
    net_timer_set(service->drain, patience_ns);
    service->stopping_servers =
        service->judge != NULL ? 2 : 1; /* of two calls the last one counts */
    http_server_stop(service->server, patience_ns + LAST_WORDS, server_stopped, service);
    if (service->judge != NULL)
        serve_judge_stop(service->judge, patience_ns + LAST_WORDS, server_stopped, service);
}

/* ---- the beginning, in order ---- */

static int open_sandbox(struct service *service, struct cj_error *err)
{
    const struct settings *settings = &service->settings;
    if (mount_config_load(settings->mount_conf, settings->tmpfs_data, &service->mounts, err) < 0 ||
        serve_judge_prepare(settings, &service->mounts, &service->judge, err) < 0)
        return -1;
    const struct sandbox_options options = {
        .mounts = &service->mounts,
        .seccomp_file = settings->seccomp_conf[0] != '\0' ? settings->seccomp_conf : NULL,
        .cgroup_prefix = settings->cgroup_prefix,
        .cgroup_root = settings->cgroup_root[0] != '\0' ? settings->cgroup_root : NULL,
        .id_base = (uint32_t)settings->id_base,
        .share_net = settings->net_share,
        .loopback = settings->net_loopback,
        .warm_runs = settings->warm_runs,
        .required = (enum protection_level)settings->require,
        .highest = PROTECTION_FULL,
    };
    return sandbox_open(&options, &service->sandbox, err);
}

/* Which interpreters may be kept warm; without the judging API the built-in languages say so. */
static int find_warm(struct service *service, struct cj_error *err)
{
    const struct sandbox_facts *facts = sandbox_facts(service->sandbox);
    const struct languages *languages = serve_judge_languages(service->judge);
    struct languages *own = NULL;
    if (!facts->warm) {
        log_info("no interpreter is kept warm", log_text("because", facts->warm_reason));
        return 0;
    }
    if (languages == NULL && languages_load(NULL, &own, err) < 0)
        return -1;
    int found = warm_places_find(languages != NULL ? languages : own, &service->mounts, NULL,
                                 &service->warm, err);
    languages_free(own);
    if (!service->settings.warm_preload)
        service->warm.preload = NULL;
    return found;
}

static int open_store(struct service *service, struct cj_error *err)
{
    const struct store_settings options = {
        .directory = service->settings.dir,
        .expiry_ns = service->settings.file_timeout_ns,
        .max_bytes = service->settings.file_store_bytes,
    };
    return store_open(&options, &service->store, err);
}

/* Requests that wait hold their files open. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Signals before threads: these inherit that they are blocked, so that only the loop hears them. */
static int open_loop(struct service *service, struct cj_error *err)
{
    bool under_pm2 =
        getenv("PM2_HOME") || getenv("PM2_JSON_PROCESSING") || getenv("NODE_APP_INSTANCE");
    signal(SIGPIPE, SIG_IGN);
    if (net_loop_new(&service->loop, err) < 0 ||
        net_signal_new(&service->interrupt, service->loop, SIGINT, stop, service, err) < 0)
        return -1;
    if (under_pm2) { /* it sends SIGTERM to every process it knows, then SIGINT to stop us */
        signal(SIGTERM, SIG_IGN);
        return 0;
    }
    return net_signal_new(&service->terminate, service->loop, SIGTERM, stop, service, err);
}

static int open_slots(struct service *service, struct cj_error *err)
{
    const struct settings *settings = &service->settings;
    const struct sched_settings options = {
        .slots = (unsigned)settings->parallelism,
        .queue_max = settings->queue_length,
        .no_pinning = settings->no_pinning,
        .cpu_sets = (const char *const *)settings->cpuset.items,
        .cpu_set_count = settings->cpuset.count,
    };
    return sched_new(&options, service->sandbox, &service->sched, err);
}

static struct exec_settings exec_settings_of(const struct service *service)
{
    const struct settings *settings = &service->settings;
    struct exec_settings exec;
    exec_settings_default(&exec);
    exec.defaults.cpu_ns = settings->default_cpu_ns;
    exec.defaults.wall_ns = settings->default_wall_ns;
    exec.defaults.memory_bytes = settings->default_memory_bytes;
    exec.defaults.processes = settings->default_processes;
    exec.defaults.file_size_bytes = settings->output_bytes;
    exec.defaults.open_files = settings->open_files;
    exec.extra_memory_bytes = settings->extra_memory_bytes;
    exec.copy_out_max_bytes = settings->copy_out_bytes;
    exec.cpu_period_ns = settings->cpu_period_ns;
    exec.store = service->store;
    exec.warm = service->warm.count > 0 ? &service->warm : NULL;
    return exec;
}

static int open_door(struct service *service, struct cj_error *err)
{
    const struct settings *settings = &service->settings;
    const struct rest_options rest = {
        .loop = service->loop,
        .sched = service->sched,
        .store = service->store,
        .exec = exec_settings_of(service),
        .src_prefixes = settings->src_prefixes,
        .cpu_rate = settings->enable_cpu_rate,
        .auth_token = settings->auth_token,
        .max_body_bytes = settings->max_body_bytes,
        .version = CJUDGE_VERSION,
        .facts = sandbox_facts(service->sandbox),
        .mounts = &service->mounts,
    };
    const struct http_settings http = {
        .connection_count = settings->max_connections,
        .head_timeout_ns = settings->header_timeout_ns,
        .idle_timeout_ns = settings->idle_timeout_ns,
    };
    service->exec = rest.exec;
    if (rest_new(&rest, &service->rest, err) < 0 ||
        http_server_new(&service->server, service->loop, rest_door(), service->rest, &http, err) <
            0 ||
        http_server_listen(service->server, settings->http_addr, err) < 0 ||
        serve_judge_open(service->judge, &service->exec, service->loop, service->sched,
                         service->store, service->sandbox, &http, err) < 0)
        return -1;
    return 0;
}

static void sweep(void *arg)
{
    struct service *service = arg;
    size_t removed = store_sweep(service->store, monotonic_ns());
    if (removed > 0)
        log_debug("stored files have expired", log_uint("files", removed));
    net_timer_set(service->sweep, SWEEP_PERIOD);
}

static int set_timers(struct service *service, struct cj_error *err)
{
    if (net_timer_new(&service->sweep, service->loop, sweep, service, err) < 0 ||
        net_timer_new(&service->drain, service->loop, drained_long_enough, service, err) < 0 ||
        net_timer_new(&service->last, service->loop, await_runs, service, err) < 0)
        return -1;
    if (service->settings.file_timeout_ns > 0)
        net_timer_set(service->sweep, SWEEP_PERIOD);
    return 0;
}

/* ---- what the log says first ---- */

static void say_protection(const struct sandbox_facts *facts)
{
    const char *reason = facts->reason[0] != '\0' ? facts->reason : "everything works";
    if (facts->level == PROTECTION_FULL)
        log_info("protection", log_text("level", protection_name(facts->level)),
                 log_text("because", reason));
    else
        log_warn("protection", log_text("level", protection_name(facts->level)),
                 log_text("because", reason), log_text("means", protection_summary(facts->level)));
}

/* An address that listens, as http_server_address() writes it: can only this machine reach it? */
static bool is_of_this_machine(const char *address)
{
    static const char *const beginnings[] = {"unix:", "127.", "[::1]:"};
    for (size_t i = 0; i < COUNT_OF(beginnings); i++)
        if (strncmp(address, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    return false;
}

/* The token is go-judge's. code-judge knows none and its clients send none: who sets one for the other door may
 * believe that it holds for this one. */
static void say_judging(const struct service *service)
{
    const char *open = NULL;
    for (size_t i = 0; serve_judge_address(service->judge, i) != NULL; i++) {
        const char *address = serve_judge_address(service->judge, i);
        log_info("judging", log_text("address", address), log_bool("token", false));
        if (open == NULL && !is_of_this_machine(address))
            open = address;
    }
    if (open != NULL && service->settings.auth_token[0] != '\0')
        log_warn("the judging API asks for no token: whoever reaches it runs programs",
                 log_text("address", open),
                 log_text("hint", "-judge-addr off, or localhost:8000 and a proxy that asks"));
}

static void say_hello(const struct service *service)
{
    const struct store_facts *store = store_facts(service->store);
    struct sched_stats slots;
    sched_stats(service->sched, &slots);
    say_protection(sandbox_facts(service->sandbox));
    log_info("file store", log_text("in", store->in_memory ? "memory" : store->directory),
             log_size("limit", store->max_bytes), log_bool("guarded", store->guarded));
    if (!store->guarded)
        log_warn("stored files are copied for each run", log_text("because", store->reason));
    for (size_t i = 0;; i++) {
        const char *address = http_server_address(service->server, i);
        if (address == NULL)
            break;
        log_info("serving", log_text("address", address),
                 log_bool("token", service->settings.auth_token[0] != '\0'));
    }
    say_judging(service);
    log_info("ready", log_text("version", CJUDGE_VERSION), log_uint("slots", slots.slots),
             log_uint("queue", service->settings.queue_length));
}

/* ---- the whole ---- */

static int begin(struct service *service, struct cj_error *err)
{
    if (open_sandbox(service, err) < 0 || find_warm(service, err) < 0 ||
        open_store(service, err) < 0)
        return -1;
    raise_descriptors();
    if (open_loop(service, err) < 0 || open_slots(service, err) < 0 ||
        set_timers(service, err) < 0 || open_door(service, err) < 0)
        return -1;
    say_hello(service);
    return 0;
}

/* In the opposite order; what was never opened is NULL. */
static void end(struct service *service)
{
    http_server_free(service->server);
    serve_judge_close_server(service->judge);
    sched_free(service->sched);
    rest_free(service->rest);
    serve_judge_free(service->judge);
    net_timer_free(service->last);
    net_timer_free(service->drain);
    net_timer_free(service->sweep);
    net_signal_free(service->terminate);
    net_signal_free(service->interrupt);
    net_loop_free(service->loop);
    store_free(service->store);
    sandbox_close(service->sandbox);
    mount_config_free(&service->mounts);
    free((void *)(uintptr_t)service->warm.places);
    settings_free(&service->settings);
}

static int fail(const struct cj_error *err)
{
    fprintf(stderr, "cjudge serve: %s\n", err->message);
    return EXIT_FAILURE;
}

static int print_help(void)
{
    auto_buf struct buf text = {0};
    buf_append_text(&text,
                    "usage: cjudge serve [OPTION]...\n\nServes clients of go-judge over HTTP "
                    "until SIGINT or SIGTERM.\n\n");
    options_help(settings_table(), 100, &text);
    return fwrite(text.data, 1, text.size, stdout) == text.size ? 0 : EXIT_FAILURE;
}

static void set_up_log(const struct settings *settings)
{
    log_setup(STDERR_FILENO, settings->release ? LOG_FORMAT_JSON : LOG_FORMAT_AUTO,
              settings->enable_debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
    if (settings->silent)
        log_silence();
}

/* Bodies and answers come and go: what is large is mapped, and returned to the kernel when freed,
 * whatever was freed before (mallopt(3): the threshold would grow to 32 MiB by itself). */
static void set_up_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, 256 * 1024);
    mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
    mallopt(M_ARENA_MAX, 4);
}

int cmd_serve(int argc, char **argv)
{
    struct service service = {0};
    struct cj_error err = {0};
    if (settings_load(argc, argv, environ, getpid() == 1, &service.settings, &err) < 0) {
        error_wrap(&err, "load config failed");
        return fail(&err);
    }
    if (service.settings.help || service.settings.version) {
        int status = service.settings.help ? print_help() : cmd_version(0, NULL);
        settings_free(&service.settings);
        return status;
    }
    set_up_memory();
    set_up_log(&service.settings);
    settings_warn(&service.settings);
    int result = begin(&service, &err);
    /* The loop works for microseconds at a time, and everybody waits for it. */
    priority_raise(0, -10);
    if (result == 0)
        result = net_loop_run(service.loop, &err);
    if (result == 0)
        log_info("stopped");
    end(&service);
    return result < 0 ? fail(&err) : EXIT_SUCCESS;
}

/* Slots with real containers: needs root (skipped otherwise). */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "exec/exec.h"
#include "sandbox/mount_config.h"
#include "sched/sched.h"
#include "store/store.h"

#define PATIENCE_NS (60 * NS_PER_S)

enum { GROUP = 5 };

static struct sandbox *sandbox;
static struct exec_settings settings;

/* ---- running one program ---- */

/* input: its standard input; -1: empty. */
static void run_shell(struct slot *slot, struct container *container, const char *script, int input,
                      struct exec_result *result)
{
    static const char *const env[] = {"PATH=/usr/bin:/bin"};
    const char *const args[] = {"/bin/sh", "-c", script};
    const struct exec_file files[] = {
        {.kind = input >= 0 ? EXEC_FILE_FD : EXEC_FILE_CONTENT, .fd = input},
        {.kind = EXEC_FILE_COLLECT, .name = "stdout", .max = 4096},
        {.kind = EXEC_FILE_COLLECT, .name = "stderr", .max = 4096},
    };
    const struct exec_request request = {
        .args = args,
        .arg_count = 3,
        .env = env,
        .env_count = 1,
        .files = files,
        .file_count = 3,
        .limits = {.cpu_ns = 60 * NS_PER_S,
                   .wall_ns = 60 * NS_PER_S,
                   .memory_bytes = UINT64_C(64) << 20,
                   .processes = 16},
    };
    exec_run(container, &settings, &request, slot_cancel_fd(slot), result);
}

/* A job that runs a script in each of its containers. */
struct task {
    struct sched_job job; /* first */
    const char *script;
    int input; /* a descriptor + 1; 0: none */
    size_t containers;
    bool kills_init; /* of the container, instead of running the script */
    bool resets;     /* between two runs of the script */
    sem_t begun, ended;
    atomic_int runs, drops;
    enum exec_status status; /* of the last */
    char output[256];
    pid_t inits[GROUP];
    struct cj_error error;
    bool failed; /* slot_containers() did */
    bool cancelled;
};

static void run_in(struct slot *slot, struct task *task, struct container *container)
{
    struct exec_result result;
    if (task->kills_init) {
        kill(container_init_pid(container), SIGKILL);
        usleep(10000);
    }
    run_shell(slot, container, task->script, task->input - 1, &result);
    task->status = result.status;
    task->cancelled = result.cancelled;
    if (result.file_count > 0)
        snprintf(task->output, sizeof(task->output), "%.*s", (int)result.files[0].size,
                 result.files[0].data != NULL ? result.files[0].data : "");
    exec_result_free(&result);
}

static void task_run(struct slot *slot, void *arg)
{
    struct task *task = arg;
    struct container **list;
    sem_post(&task->begun);
    if (task->containers > 0) {
        task->failed = slot_containers(slot, task->containers, &list, &task->error) < 0;
        for (size_t i = 0; !task->failed && i < task->containers; i++) {
            task->inits[i] = container_init_pid(list[i]);
            if (task->script != NULL)
                run_in(slot, task, list[i]);
        }
        if (!task->failed && task->resets) {
            task->failed = slot_reset(slot, &task->error) < 0;
            run_in(slot, task, list[0]);
        }
    }
    atomic_fetch_add(&task->runs, 1);
    sem_post(&task->ended);
}

static void task_dropped(void *arg, enum sched_drop reason)
{
    struct task *task = arg;
    (void)reason;
    atomic_fetch_add(&task->drops, 1);
    sem_post(&task->ended);
}

static void task_init(struct task *task, size_t containers, const char *script)
{
    memset(task, 0, sizeof(*task));
    task->job = (struct sched_job){.run = task_run, .dropped = task_dropped, .arg = task};
    task->script = script;
    task->containers = containers;
    sem_init(&task->begun, 0, 0);
    sem_init(&task->ended, 0, 0);
}

static void wait_for(sem_t *semaphore)
{
    struct timespec until = timespec_from_ns(clock_ns(CLOCK_REALTIME) + PATIENCE_NS);
    while (sem_timedwait(semaphore, &until) < 0)
        if (errno != EINTR)
            abort();
}

static void submit(struct sched *sched, struct task *task)
{
    struct cj_error err;
    if (sched_submit(sched, &task->job, &err) < 0)
        fail_msg("%s", err.message);
}

static void run_task(struct sched *sched, struct task *task)
{
    submit(sched, task);
    wait_for(&task->ended);
}

static struct sched *make(const struct sched_settings *sched_settings)
{
    struct sched *sched;
    struct cj_error err;
    if (sched_new(sched_settings, sandbox, &sched, &err) < 0)
        fail_msg("%s", err.message);
    return sched;
}

static struct sched_stats stats_of(struct sched *sched)
{
    struct sched_stats stats;
    sched_stats(sched, &stats);
    return stats;
}

static void drain(struct sched *sched)
{
    struct cj_error err;
    if (sched_drain(sched, monotonic_ns() + PATIENCE_NS, &err) < 0)
        fail_msg("%s", err.message);
}

/* ---- tests ---- */

static void test_runs_fresh(void **state)
{
    struct task task;
    struct sched *sched = make(&(struct sched_settings){.slots = 1});
    (void)state;
    assert_int_equal(stats_of(sched).containers, 1);
    for (int i = 0; i < 5; i++) {
        task_init(&task, 1,
                  "ls -A /w /tmp | grep -v : ; echo $((6*7)); echo x >/w/left; echo x >/tmp/left");
        run_task(sched, &task);
        assert_int_equal(task.status, EXEC_ACCEPTED);
        assert_string_equal(task.output, "\n42\n");
    }
    task_init(&task, 1, "ls -A /w; echo ran; echo x >/w/left");
    task.resets = true; /* twice in one job, fresh in between */
    run_task(sched, &task);
    assert_string_equal(task.output, "ran\n");
    sched_free(sched);
}

/* A stored file as input, inside a container: it can be read, again and by name, and nothing else. */
static void test_stored_input(void **state)
{
    static const char script[] =
        "cat; cat /proc/self/fd/0; echo x 2>/dev/null >/proc/self/fd/0 && echo written; "
        "chmod 777 /proc/self/fd/0 2>/dev/null && echo mode; "
        "touch /proc/self/fd/0 2>/dev/null && echo touched; "
        "truncate -s 0 /proc/self/fd/0 2>/dev/null && echo cut; cat /proc/self/fd/0";
    char directory[] = "/var/tmp/cjudge-store-XXXXXX";
    struct sched *sched = make(&(struct sched_settings){.slots = 1});
    (void)state;
    assert_non_null(mkdtemp(directory));
    const struct store_settings places[] = {{.max_bytes = 1 << 20}, {.directory = directory}};
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        struct store *store;
        struct store_draft *draft;
        struct cj_error err;
        struct task task;
        char id[STORE_ID_SIZE];
        auto_store_file struct store_file file = {.fd = -1};
        assert_int_equal(store_open(&places[i], &store, &err), 0);
        assert_int_equal(store_draft_new(store, &draft, &err), 0);
        assert_int_equal(store_draft_write(draft, "input\n", 6, &err), 0);
        assert_int_equal(store_draft_commit(draft, "in", id, &err), 0);
        assert_int_equal(store_get(store, id, &file, &err), 0);
        task_init(&task, 1, script);
        task.input = file.fd + 1;
        run_task(sched, &task);
        assert_string_equal(task.output, "input\ninput\ninput\n");
        assert_int_equal(store_remove(store, id, &err), 0);
        store_free(store);
    }
    assert_int_equal(rmdir(directory), 0);
    sched_free(sched);
}

static void test_pinned_together(void **state)
{
    struct task task;
    cpu_set_t allowed;
    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    size_t first = 0;
    while (!CPU_ISSET(first, &allowed))
        first++;
    char expected[32], list[16];
    snprintf(list, sizeof(list), "%zu", first);
    snprintf(expected, sizeof(expected), "Cpus_allowed_list:\t%zu\n", first);
    const char *const lists[] = {list};
    const struct sched_settings ways[] = {{.slots = 1}, {.cpu_sets = lists, .cpu_set_count = 1}};
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        struct sched *sched = make(&ways[i]);
        task_init(&task, 2, "grep Cpus_allowed_list /proc/self/status");
        run_task(sched, &task);
        assert_string_equal(task.output, expected);
        sched_free(sched);
    }
}

static void test_groups_and_spares(void **state)
{
    struct task task;
    struct sched *sched =
        make(&(struct sched_settings){.slots = 2, .spare_idle_ns = 300 * NS_PER_MS});
    (void)state;
    for (int round = 0; round < 2; round++) {
        task_init(&task, GROUP, "hostname >/w/x");
        run_task(sched, &task);
        assert_false(task.failed);
        assert_int_equal(task.status, EXEC_ACCEPTED);
        for (int i = 0; i < GROUP; i++)
            for (int k = 0; k < i; k++)
                assert_int_not_equal(task.inits[i], task.inits[k]);
    }
    /* Those beyond the spare ones go when nobody has needed them for a while. */
    int64_t until_ns = monotonic_ns() + PATIENCE_NS;
    while (stats_of(sched).containers > 2 + 2 * SCHED_SPARE_DEFAULT && monotonic_ns() < until_ns)
        usleep(20000);
    usleep(100000);
    unsigned left = stats_of(sched).containers; /* one or both slots have had the group */
    assert_true(left == 2 + SCHED_SPARE_DEFAULT || left == 2 + 2 * SCHED_SPARE_DEFAULT);
    task_init(&task, SCHED_GROUP_MAX + 1, NULL);
    run_task(sched, &task);
    assert_true(task.failed);
    assert_int_equal(task.error.code, E2BIG);
    sched_free(sched);
}

static void test_dead_init_is_replaced(void **state)
{
    struct task task;
    struct sched *sched = make(&(struct sched_settings){.slots = 1});
    (void)state;
    for (int i = 0; i < 3; i++) {
        task_init(&task, 1, "true");
        task.kills_init = true;
        run_task(sched, &task);
        assert_int_equal(task.status, EXEC_INTERNAL_ERROR);
        task_init(&task, 1, "echo well");
        run_task(sched, &task);
        assert_int_equal(task.status, EXEC_ACCEPTED);
        assert_string_equal(task.output, "well\n");
    }
    drain(sched);
    assert_int_equal(stats_of(sched).broken_slots, 0);
    sched_free(sched);
}

/* Out of descriptors no container can be made: the jobs that need one fail, others run, and when descriptors
 * are there again the slot works again. */
static void test_tries_again(void **state)
{
    struct task task;
    struct rlimit limit;
    struct sched *sched = make(&(struct sched_settings){.slots = 1});
    (void)state;
    log_silence(); /* it would say so */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit none = {.rlim_cur = 1, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    task_init(&task, 2, NULL);
    run_task(sched, &task);
    assert_true(task.failed);
    assert_int_equal(task.error.code, EMFILE);
    assert_int_equal(stats_of(sched).broken_slots, 1);
    int64_t begin_ns = monotonic_ns();
    for (int i = 0; i < 20; i++) { /* at once, while it waits before the next try */
        task_init(&task, 2, NULL);
        run_task(sched, &task);
        assert_true(task.failed);
    }
    assert_true(monotonic_ns() - begin_ns < 10 * NS_PER_S);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int64_t until_ns = monotonic_ns() + PATIENCE_NS;
    do {
        usleep(50000);
        task_init(&task, 2, "echo well");
        run_task(sched, &task);
    } while (task.failed && monotonic_ns() < until_ns);
    if (task.failed)
        fail_msg("%s", task.error.message);
    assert_int_equal(task.status, EXEC_ACCEPTED);
    assert_int_equal(stats_of(sched).broken_slots, 0);
    sched_free(sched);
}

static void test_start_fails(void **state)
{
    struct rlimit limit;
    struct sched *sched;
    struct cj_error err;
    const struct sched_settings two = {.slots = 2};
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    /* Enough for the slots, not for their containers. */
    DIR *directory = opendir("/proc/self/fd");
    rlim_t open_now = 0;
    while (readdir(directory) != NULL)
        open_now++;
    closedir(directory);
    const struct rlimit few = {.rlim_cur = open_now + 4, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    int result = sched_new(&two, sandbox, &sched, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(result, -1);
    assert_int_equal(err.code, EMFILE);
    assert_non_null(strstr(err.message, "make the slots: make container "));
}

static void test_cancels_a_program(void **state)
{
    struct task task;
    struct sched *sched = make(&(struct sched_settings){.slots = 1});
    (void)state;
    for (int i = 0; i < 5; i++) {
        task_init(&task, 1, "sleep 50 & sleep 50");
        submit(sched, &task);
        wait_for(&task.begun);
        usleep((useconds_t)i * 5000);
        int64_t begin_ns = monotonic_ns();
        sched_cancel(sched, &task.job);
        wait_for(&task.ended);
        assert_true(monotonic_ns() - begin_ns < 10 * NS_PER_S);
        assert_true(task.cancelled);
    }
    task_init(&task, 1, "echo well");
    run_task(sched, &task);
    assert_string_equal(task.output, "well\n");
    sched_free(sched);
}

static void test_drain_cancels(void **state)
{
    struct task running, waiting;
    struct cj_error err;
    struct sched *sched = make(&(struct sched_settings){.slots = 1});
    (void)state;
    task_init(&running, 1, "sleep 50");
    submit(sched, &running);
    wait_for(&running.begun);
    task_init(&waiting, 1, "sleep 50");
    submit(sched, &waiting);
    assert_int_equal(sched_drain(sched, monotonic_ns() + 100 * NS_PER_MS, &err), -1);
    assert_int_equal(err.code, ETIMEDOUT);
    assert_true(running.cancelled);
    assert_int_equal(waiting.drops, 1);
    sched_free(sched);
}

/* ---- many ---- */

enum { STORM_THREADS = 8, STORM_JOBS = 10000, STORM_BATCH = 10 };

struct storm {
    struct sched *sched;
    pthread_t thread;
    unsigned number;
    const char *failure;
};

/* One in 16 runs a program, one in 64 one that lasts and is cancelled; the rest only takes its containers. */
static void storm_batch(struct storm *storm, unsigned *seed)
{
    static const char *const scripts[] = {"true", "sleep 50"};
    struct task tasks[STORM_BATCH];
    for (int i = 0; i < STORM_BATCH; i++) {
        int dice = rand_r(seed) % 64;
        const char *script = dice < 4 ? scripts[0] : dice == 4 ? scripts[1] : NULL;
        task_init(&tasks[i], script != NULL || dice % 2 == 0, script);
        tasks[i].job.source = storm->number;
        tasks[i].job.follows = true; /* none is refused */
        submit(storm->sched, &tasks[i]);
        if (dice == 5) /* any of them, whatever it does */
            sched_cancel(storm->sched, &tasks[rand_r(seed) % (i + 1)].job);
    }
    for (int i = 0; i < STORM_BATCH; i++) {
        bool lasts = tasks[i].script == scripts[1];
        if (lasts) {
            if (rand_r(seed) % 2 == 0)
                wait_for(&tasks[i].begun);
            sched_cancel(storm->sched, &tasks[i].job);
        }
        wait_for(&tasks[i].ended);
        if (tasks[i].runs + tasks[i].drops != 1)
            storm->failure = "a job was lost, or ended twice";
        if (tasks[i].failed)
            storm->failure = tasks[i].error.message[0] != '\0' ? "no container" : "failed";
        if (lasts && tasks[i].runs == 1 && !tasks[i].cancelled)
            storm->failure = "a cancelled program was not cancelled";
    }
}

static void *storm_main(void *arg)
{
    struct storm *storm = arg;
    unsigned seed = storm->number + 1;
    for (int i = 0; i < STORM_JOBS / STORM_THREADS / STORM_BATCH; i++)
        storm_batch(storm, &seed);
    return NULL;
}

static void test_storm(void **state)
{
    struct storm storms[STORM_THREADS];
    struct sched *sched = make(&(struct sched_settings){.slots = 3});
    (void)state;
    for (unsigned i = 0; i < STORM_THREADS; i++) {
        storms[i] = (struct storm){.sched = sched, .number = i};
        assert_int_equal(pthread_create(&storms[i].thread, NULL, storm_main, &storms[i]), 0);
    }
    for (unsigned i = 0; i < STORM_THREADS; i++) {
        pthread_join(storms[i].thread, NULL);
        if (storms[i].failure != NULL)
            fail_msg("%s", storms[i].failure);
    }
    drain(sched);
    struct sched_stats stats = stats_of(sched);
    assert_int_equal(stats.done + stats.dropped, STORM_JOBS);
    assert_int_equal(stats.containers, 3);
    assert_int_equal(stats.broken_slots, 0);
    sched_free(sched);
}

/* ---- main ---- */

static int descriptor_count(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

static void test_nothing_is_left(void **state)
{
    int before = descriptor_count();
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct task task;
        struct sched *sched = make(&(struct sched_settings){.slots = 2});
        task_init(&task, 3, "true");
        run_task(sched, &task);
        sched_free(sched);
    }
    assert_int_equal(descriptor_count(), before);
}

static int open_sandbox(void)
{
    struct mount_config mounts = {0};
    struct cj_error err;
    if (mount_config_default("size=16m,nr_inodes=4k", &mounts, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return -1;
    }
    const struct sandbox_options options = {
        .mounts = &mounts, .required = PROTECTION_NO_CGROUP, .highest = PROTECTION_FULL};
    int result = sandbox_open(&options, &sandbox, &err);
    mount_config_free(&mounts);
    if (result < 0)
        fprintf(stderr, "%s\n", err.message);
    return result;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_fresh),
        cmocka_unit_test(test_stored_input),
        cmocka_unit_test(test_pinned_together),
        cmocka_unit_test(test_groups_and_spares),
        cmocka_unit_test(test_dead_init_is_replaced),
        cmocka_unit_test(test_start_fails),
        cmocka_unit_test(test_cancels_a_program),
        cmocka_unit_test(test_drain_cancels),
        cmocka_unit_test(test_nothing_is_left),
        cmocka_unit_test(test_storm),
        cmocka_unit_test(test_tries_again), /* the last: it silences the log */
    };
    if (geteuid() != 0) {
        fprintf(stderr, "containers with uids of their own need root: skipped\n");
        return 77;
    }
    exec_settings_default(&settings);
    if (open_sandbox() < 0)
        return 77;
    int failed = cmocka_run_group_tests_name("sched_live", tests, NULL, NULL);
    sandbox_close(sandbox);
    return failed;
}

/* judge/build_cache.h, digest.h and identity.h: what is kept, what goes, who waits, and what makes a build
 * another one. Without containers. */
#include <fcntl.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/io.h"
#include "judge/build_cache.h"
#include "judge/identity.h"
#include "judge/program.h"

static struct digest key_of(unsigned number)
{
    struct digest key;
    struct digest_state *state = digest_begin();
    digest_add_number(state, number);
    assert_int_equal(digest_end(state, &key), 0);
    return key;
}

static struct build_cache *make(uint64_t bytes, struct sched *sched)
{
    struct build_cache *cache;
    struct cj_error err;
    assert_int_equal(build_cache_new(bytes, sched, &cache, &err), 0);
    return cache;
}

/* A record whose only file has so many bytes of this kind. */
static struct build_record *record_of(char kind, size_t size)
{
    static const struct language language = {.id = "test"};
    struct judge_artefact *artefact;
    struct cj_error err;
    char *data = malloc(size);
    memset(data, kind, size);
    const struct exec_output file = {.name = (char *)"main", .data = data, .size = size};
    assert_int_equal(judge_artefact_new(&language, &file, 1, &artefact, &err), 0);
    struct exec_output said = {.name = (char *)"stderr", .data = (char *)"hm", .size = 2};
    const struct exec_result result = {
        .status = EXEC_ACCEPTED, .cpu_ns = 5, .files = &said, .file_count = 1};
    struct build_record *record = build_record_new(artefact, &result);
    assert_non_null(record);
    judge_artefact_release(artefact);
    free(data);
    return record;
}

/* Whether there is one; kind of the file that it has. */
static bool has(struct build_cache *cache, unsigned number, char *kind)
{
    struct build_record *record;
    struct build_flight *flight;
    struct judge_artefact *artefact;
    struct exec_result result;
    const struct digest key = key_of(number);
    size_t count;
    if (build_cache_claim(cache, &key, NULL, &record, &flight) != BUILD_HIT) {
        build_cache_finish(cache, flight, NULL, true);
        return false;
    }
    assert_int_equal(build_record_get(record, &artefact, &result), 0);
    *kind = judge_artefact_files(artefact, &count)[0].data[0];
    assert_int_equal(result.cpu_ns, 5);
    assert_memory_equal(judge_output(&result, "stderr")->data, "hm", 2);
    judge_artefact_release(artefact);
    exec_result_free(&result);
    build_record_release(record);
    return true;
}

static void put(struct build_cache *cache, unsigned number, char kind, size_t size)
{
    struct build_record *none, *record = record_of(kind, size);
    struct build_flight *flight;
    const struct digest key = key_of(number);
    assert_int_equal(build_cache_claim(cache, &key, NULL, &none, &flight), BUILD_TO_MAKE);
    assert_non_null(flight);
    build_cache_finish(cache, flight, record, false);
    build_record_release(record);
}

/* ---- what is kept ---- */

/* A list of keys by use is the model; all records are of one size. */
static void test_least_used_goes_first(void **state)
{
    enum { KEYS = 40, ROOM = 10, STEPS = 5000, SIZE = 3000 };
    unsigned model[ROOM], kept = 0;
    struct build_cache *cache = make(ROOM * (SIZE + 1100), NULL);
    (void)state;
    srandom(3);
    for (int step = 0; step < STEPS; step++) {
        unsigned key = (unsigned)random() % KEYS, at = 0;
        char kind = 0;
        while (at < kept && model[at] != key)
            at++;
        assert_int_equal(has(cache, key, &kind), at < kept);
        if (at == kept) {
            put(cache, key, (char)('A' + key), SIZE);
            if (kept == ROOM)
                at = 0;
            else
                kept++;
        } else {
            assert_int_equal(kind, 'A' + (int)key);
        }
        memmove(&model[at], &model[at + 1], (kept - 1 - at) * sizeof(model[0]));
        model[kept - 1] = key;
        struct build_cache_stats stats;
        build_cache_stats(cache, &stats);
        assert_int_equal(stats.entries, kept);
        assert_true(stats.bytes <= stats.bytes_max);
    }
    build_cache_free(cache);
}

static void test_too_large_is_not_kept(void **state)
{
    struct build_cache *cache = make(10000, NULL);
    char kind;
    (void)state;
    put(cache, 1, 'a', 2000);
    put(cache, 2, 'b', 20000);
    assert_false(has(cache, 2, &kind));
    assert_true(has(cache, 1, &kind));
    build_cache_free(cache);
}

/* One that is in use lives on when it has to go. */
static void test_used_while_it_goes(void **state)
{
    struct build_cache *cache = make(5000, NULL);
    struct build_record *record;
    struct build_flight *flight;
    const struct digest key = key_of(1);
    char kind;
    (void)state;
    put(cache, 1, 'a', 3000);
    assert_int_equal(build_cache_claim(cache, &key, NULL, &record, &flight), BUILD_HIT);
    put(cache, 2, 'b', 3000);
    assert_false(has(cache, 1, &kind));
    struct judge_artefact *artefact;
    struct exec_result result;
    size_t count;
    assert_int_equal(build_record_get(record, &artefact, &result), 0);
    assert_int_equal(judge_artefact_files(artefact, &count)[0].data[2999], 'a');
    judge_artefact_release(artefact);
    exec_result_free(&result);
    build_record_release(record);
    build_cache_free(cache);
}

static void test_damage_is_noticed(void **state)
{
    struct build_cache *cache = make(10000, NULL);
    struct build_record *record = record_of('a', 100), *none;
    struct build_flight *flight;
    struct build_cache_stats stats;
    struct judge_artefact *artefact;
    struct exec_result result;
    const struct digest key = key_of(1);
    size_t count;
    char kind;
    (void)state;
    assert_int_equal(build_cache_claim(cache, &key, NULL, &none, &flight), BUILD_TO_MAKE);
    build_cache_finish(cache, flight, record, false);
    assert_true(has(cache, 1, &kind));
    assert_int_equal(build_record_get(record, &artefact, &result), 0);
    ((char *)judge_artefact_files(artefact, &count)[0].data)[50] ^= 1;
    judge_artefact_release(artefact);
    exec_result_free(&result);
    build_record_release(record);
    assert_false(has(cache, 1, &kind));
    build_cache_stats(cache, &stats);
    assert_int_equal(stats.damaged, 1);
    assert_int_equal(stats.entries, 0);
    build_cache_free(cache);
}

/* ---- who waits ---- */

/* A job that claims one key, and comes again until it is told or builds; who builds waits for the gate. */
struct builder {
    struct sched_job job;
    struct build_wait wait;
    struct build_cache *cache;
    unsigned key;
    sem_t *gate;
    bool succeeds;
    bool is_cut_off; /* its first build is cancelled */
    sem_t begun, ended;
    int built, hits, waits, drops;
};

static void wait_for(sem_t *semaphore)
{
    struct timespec until = timespec_from_ns(clock_ns(CLOCK_REALTIME) + 30 * NS_PER_S);
    if (sem_timedwait(semaphore, &until) < 0)
        abort();
}

static void builder_run(struct slot *slot, void *arg)
{
    struct builder *builder = arg;
    struct build_record *record;
    struct build_flight *flight;
    const struct digest key = key_of(builder->key);
    switch (build_cache_claim(builder->cache, &key, &builder->wait, &record, &flight)) {
    case BUILD_WAITS:
        builder->waits++;
        slot_park(slot);
        sem_post(&builder->begun);
        return;
    case BUILD_HIT:
        builder->hits++;
        build_record_release(record);
        break;
    case BUILD_TO_MAKE:
        builder->built++;
        sem_post(&builder->begun);
        if (builder->gate != NULL)
            wait_for(builder->gate);
        record = builder->succeeds && !builder->is_cut_off ? record_of('x', 10) : NULL;
        build_cache_finish(builder->cache, flight, record, builder->is_cut_off);
        build_record_release(record);
        break;
    }
    sem_post(&builder->ended);
}

static void builder_dropped(void *arg, enum sched_drop reason)
{
    struct builder *builder = arg;
    (void)reason;
    build_cache_leave(builder->cache, &builder->wait);
    builder->drops++;
    sem_post(&builder->ended);
}

static void begin(struct builder *builder, struct sched *sched, struct build_cache *cache,
                  sem_t *gate, bool succeeds)
{
    struct cj_error err;
    *builder =
        (struct builder){.job = {.run = builder_run, .dropped = builder_dropped, .arg = builder},
                         .cache = cache,
                         .key = 7,
                         .gate = gate,
                         .succeeds = succeeds};
    builder->wait.job = &builder->job;
    sem_init(&builder->begun, 0, 0);
    sem_init(&builder->ended, 0, 0);
    assert_int_equal(sched_submit(sched, &builder->job, &err), 0);
    wait_for(&builder->begun);
}

struct yard {
    struct sched *sched;
    struct build_cache *cache;
    sem_t gate;
};

static void yard_open(struct yard *yard, uint64_t bytes)
{
    struct cj_error err;
    assert_int_equal(sched_new(&(struct sched_settings){.slots = 2}, NULL, &yard->sched, &err), 0);
    yard->cache = make(bytes, yard->sched);
    sem_init(&yard->gate, 0, 0);
}

static void yard_close(struct yard *yard)
{
    sched_free(yard->sched);
    build_cache_free(yard->cache);
}

static void test_joined(void **state)
{
    struct yard yard;
    struct builder first, others[5];
    (void)state;
    for (int round = 0; round < 2; round++) { /* also where nothing can be kept */
        yard_open(&yard, round == 0 ? 100000 : 1);
        begin(&first, yard.sched, yard.cache, &yard.gate, true);
        for (int i = 0; i < 5; i++)
            begin(&others[i], yard.sched, yard.cache, NULL, false);
        sem_post(&yard.gate);
        wait_for(&first.ended);
        assert_int_equal(first.built, 1);
        for (int i = 0; i < 5; i++) {
            wait_for(&others[i].ended);
            assert_int_equal(others[i].waits, 1);
            assert_int_equal(others[i].hits, 1);
            assert_true(others[i].wait.cached);
        }
        struct build_cache_stats stats;
        build_cache_stats(yard.cache, &stats);
        assert_int_equal(stats.made, 1);
        assert_int_equal(stats.joined, 5);
        yard_close(&yard);
    }
}

/* Of those who wait one builds, and the others wait for that one. */
static void test_handed_over(void **state)
{
    struct yard yard;
    struct builder first, others[4];
    int built = 0, hits = 0;
    (void)state;
    yard_open(&yard, 100000);
    begin(&first, yard.sched, yard.cache, &yard.gate, true);
    first.is_cut_off = true;
    for (int i = 0; i < 4; i++)
        begin(&others[i], yard.sched, yard.cache, NULL, true);
    sem_post(&yard.gate);
    for (int i = 0; i < 4; i++) {
        wait_for(&others[i].ended);
        built += others[i].built;
        hits += others[i].hits;
    }
    assert_int_equal(built, 1);
    assert_int_equal(hits, 3);
    yard_close(&yard);
}

/* What holds for nobody else is built by each, without waiting for each other. */
static void test_each_alone(void **state)
{
    struct yard yard;
    struct builder first, others[3];
    (void)state;
    yard_open(&yard, 100000);
    begin(&first, yard.sched, yard.cache, &yard.gate, false);
    for (int i = 0; i < 3; i++)
        begin(&others[i], yard.sched, yard.cache, NULL, false);
    sem_post(&yard.gate);
    for (int i = 0; i < 3; i++) {
        wait_for(&others[i].ended);
        assert_int_equal(others[i].built, 1);
        assert_int_equal(others[i].waits, 1);
    }
    yard_close(&yard);
}

static void test_who_waits_is_dropped(void **state)
{
    struct yard yard;
    struct builder first, second;
    (void)state;
    yard_open(&yard, 100000);
    begin(&first, yard.sched, yard.cache, &yard.gate, true);
    begin(&second, yard.sched, yard.cache, NULL, true);
    sched_cancel(yard.sched, &second.job);
    wait_for(&second.ended);
    assert_int_equal(second.drops, 1);
    memset(&second, 0xff, sizeof(second)); /* nobody looks at it any more */
    sem_post(&yard.gate);
    wait_for(&first.ended);
    yard_close(&yard);
}

/* Dropped after it was told, before it came again. */
static void test_told_and_dropped(void **state)
{
    struct yard yard;
    struct builder first, second;
    (void)state;
    yard_open(&yard, 100000);
    begin(&first, yard.sched, yard.cache, &yard.gate, true);
    begin(&second, yard.sched, yard.cache, NULL, true);
    struct sched_stats stats;
    do
        sched_stats(yard.sched, &stats);
    while (stats.waiting == 0);
    sem_post(&yard.gate);
    sched_cancel(yard.sched, &second.job); /* before, between, or after */
    wait_for(&first.ended);
    wait_for(&second.ended);
    assert_int_equal(second.hits + second.drops, 1);
    assert_null(second.wait.own.record); /* or it would never be freed */
    yard_close(&yard);
}

/* ---- what makes a build another one ---- */

struct host {
    char folder[64];
    struct languages *languages;
    struct identities *identities;
    struct mount_config mounts;
    struct judge_settings settings;
};

static void write_text(const struct host *host, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", host->folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    assert_true(fd >= 0);
    assert_int_equal(write_full(fd, text, strlen(text)), 0);
    close(fd);
}

static void host_open(struct host *host)
{
    static const char yaml[] =
        "languages:\n"
        "  - {id: one, source: main.x, exe: main, build: 'tool {source}', run: ./main,\n"
        "     needs: [%1$s/needed], inputs: [%1$s/include]}\n"
        "  - {id: two, source: main.x, exe: main, build: 'tool {source}', run: ./main}\n";
    char path[128], text[1024];
    struct cj_error err;
    memset(host, 0, sizeof(*host));
    strcpy(host->folder, "/tmp/cjudge-identity-XXXXXX");
    assert_non_null(mkdtemp(host->folder));
    snprintf(path, sizeof(path), "%s/include", host->folder);
    assert_int_equal(mkdir(path, 0755), 0);
    write_text(host, "needed", "1");
    write_text(host, "include/a.h", "1");
    snprintf(text, sizeof(text), yaml, host->folder);
    write_text(host, "languages.yaml", text);
    snprintf(path, sizeof(path), "%s/languages.yaml", host->folder);
    if (languages_load(path, &host->languages, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(mount_config_default("size=1m", &host->mounts, &err), 0);
    assert_int_equal(mount_config_show(&host->mounts, host->folder, &err), 0);
    judge_settings_default(&host->settings);
    host->settings.mounts = &host->mounts;
    assert_int_equal(identities_new(host->languages, &host->identities, &err), 0);
}

static void host_close(struct host *host)
{
    char command[128];
    identities_free(host->identities);
    languages_free(host->languages);
    mount_config_free(&host->mounts);
    assert_true(strncmp(host->folder, "/tmp/cjudge-identity-", 21) == 0);
    snprintf(command, sizeof(command), "rm -r %s", host->folder);
    assert_int_equal(system(command), 0);
}

static struct digest build_key(struct host *host, const char *language,
                               const struct judge_file *files, size_t count)
{
    struct digest key;
    const struct judge_program program = {languages_find(host->languages, language), files, count};
    assert_int_equal(identity_build_key(host->identities, &host->settings, &program, &key), 0);
    return key;
}

static bool same(struct digest one, struct digest other)
{
    return memcmp(&one, &other, sizeof(one)) == 0;
}

static void test_keys(void **state)
{
    struct host host;
    const struct judge_file plain[] = {{"main.x", "text", 4}, {"b", "", 0}};
    const struct judge_file renamed[] = {{"main.x", "text", 4}, {"c", "", 0}};
    const struct judge_file moved[] = {{"main.x", "tex", 3}, {"b", "t", 1}};
    const struct judge_file other_main[] = {{"else", "text", 4}, {"b", "", 0}};
    (void)state;
    host_open(&host);
    struct digest key = build_key(&host, "one", plain, 1);
    assert_true(same(key, build_key(&host, "one", plain, 1)));
    assert_true(same(key, build_key(&host, "one", other_main, 1)));
    assert_false(same(key, build_key(&host, "two", plain, 1)));
    struct digest two = build_key(&host, "one", plain, 2);
    assert_false(same(key, two));
    assert_false(same(two, build_key(&host, "one", renamed, 2)));
    assert_false(same(two, build_key(&host, "one", moved, 2)));
    const char *const env[] = {"A=1"};
    host.settings.env = env;
    host.settings.env_count = 1;
    assert_false(same(key, build_key(&host, "one", plain, 1)));
    host_close(&host);
}

static void test_toolchains(void **state)
{
    struct host host;
    struct cj_error err;
    const struct judge_file file = {"main.x", "text", 4};
    (void)state;
    host_open(&host);
    struct digest first = build_key(&host, "one", &file, 1);
    write_text(&host, "needed", "22");
    struct digest second = build_key(&host, "one", &file, 1);
    assert_false(same(first, second));
    write_text(&host, "include/b.h", "1"); /* folders are walked now and then */
    assert_true(same(second, build_key(&host, "one", &file, 1)));
    identities_free(host.identities);
    assert_int_equal(identities_new(host.languages, &host.identities, &err), 0);
    assert_false(same(second, build_key(&host, "one", &file, 1)));
    host_close(&host);
}

static void test_time_has_no_key(void **state)
{
    struct host host;
    struct digest key;
    static const char *const texts[] = {"a __TIME__", "__DATE__", "x__TIMESTAMP__x"};
    (void)state;
    host_open(&host);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        const struct judge_file files[] = {{"main.x", "", 0}, {"b", texts[i], strlen(texts[i])}};
        const struct judge_program program = {languages_at(host.languages, 0), files, 2};
        assert_int_equal(identity_build_key(host.identities, &host.settings, &program, &key), -1);
    }
    host_close(&host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_least_used_goes_first),
        cmocka_unit_test(test_too_large_is_not_kept),
        cmocka_unit_test(test_used_while_it_goes),
        cmocka_unit_test(test_damage_is_noticed),
        cmocka_unit_test(test_joined),
        cmocka_unit_test(test_handed_over),
        cmocka_unit_test(test_each_alone),
        cmocka_unit_test(test_who_waits_is_dropped),
        cmocka_unit_test(test_told_and_dropped),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_toolchains),
        cmocka_unit_test(test_time_has_no_key),
    };
    return cmocka_run_group_tests_name("build_cache", tests, NULL, NULL);
}

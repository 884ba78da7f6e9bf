#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/log.h"
#include "settings.h"

enum { WORDS_MAX = 16 };

static int load(const char *words, const char *environment, bool is_first_process,
                struct settings *settings, struct cj_error *err)
{
    char text[2][512];
    char program[] = "cjudge";
    char *argv[WORDS_MAX] = {program};
    char *envp[WORDS_MAX] = {NULL};
    int argc = 1;
    char *rest = NULL;
    strcpy(text[0], words);
    for (char *word = strtok_r(text[0], " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    int count = 0;
    strcpy(text[1], environment);
    for (char *word = strtok_r(text[1], " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        envp[count++] = word;
    *err = (struct cj_error){0};
    return settings_load(argc, argv, envp, is_first_process, settings, err);
}

static void defaults_are_the_reference_s(void **state)
{
    (void)state;
    struct settings s;
    struct cj_error err;
    if (load("", "", false, &s, &err) < 0)
        fail_msg("%s", err.message);
    assert_string_equal(s.http_addr, "localhost:5050");
    assert_string_equal(s.judge_addr, "localhost:8000");
    assert_string_equal(s.grpc_addr, "localhost:5051");
    assert_string_equal(s.monitor_addr, "localhost:5052");
    assert_string_equal(s.auth_token, "");
    assert_true(s.max_body_bytes == 1073741824);
    assert_true(s.max_connections == 4096 && s.queue_length == 512 && !s.no_pinning);
    assert_true(s.header_timeout_ns == INT64_C(30000000000));
    assert_true(s.idle_timeout_ns == INT64_C(120000000000));
    assert_true(s.drain_timeout_ns == INT64_C(8000000000));
    assert_true(s.file_store_bytes == 0);
    assert_true(s.grpc_message_bytes == 67108864);
    assert_false(s.enable_grpc || s.enable_metrics || s.enable_debug);
    cpu_set_t cpus;
    assert_int_equal(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
    assert_int_equal(s.parallelism, CPU_COUNT(&cpus));
    assert_int_equal(s.cpuset.count, 0);
    assert_false(s.enable_cpu_rate);
    assert_true(s.cpu_period_ns == 100000000);
    assert_true(s.default_cpu_ns == INT64_C(10000000000));
    assert_true(s.default_wall_ns == 0);
    assert_true(s.default_memory_bytes == 268435456);
    assert_int_equal(s.default_processes, 64);
    assert_int_equal(s.extra_memory_bytes, 16384);
    assert_true(s.output_bytes == 268435456);
    assert_true(s.copy_out_bytes == 268435456);
    assert_int_equal(s.open_files, 256);
    assert_int_equal(s.pass_env.count, 0);
    assert_string_equal(s.dir, "");
    assert_true(s.file_timeout_ns == 0);
    assert_int_equal(s.src_prefixes.count, 0);
    assert_int_equal(s.require, PROTECTION_NO_USERNS);
    assert_string_equal(s.mount_conf, "mount.yaml");
    assert_string_equal(s.seccomp_conf, "seccomp.yaml");
    assert_string_equal(s.tmpfs_data, "size=128m,nr_inodes=4k");
    assert_false(s.net_share || s.net_loopback || s.no_fallback);
    assert_true(s.id_base == 1879048192);
    assert_string_equal(s.cgroup_prefix, "cjudge");
    assert_string_equal(s.cgroup_root, "");
    assert_false(s.release || s.silent || s.version || s.help);
    assert_int_equal(settings_warn(&s), 0);
    settings_free(&s);
}

static void the_first_process_opens_its_doors(void **state)
{
    (void)state;
    struct settings s;
    struct cj_error err;
    assert_int_equal(
        load("-http-addr 127.0.0.1:1", "ES_GRPC_ADDR=:2 ES_RELEASE=false", true, &s, &err), 0);
    assert_string_equal(s.http_addr, "127.0.0.1:1");
    assert_string_equal(s.grpc_addr, ":2");
    assert_string_equal(s.judge_addr, ":8000");
    assert_string_equal(s.monitor_addr, ":5052");
    assert_false(s.release);
    settings_free(&s);
    assert_int_equal(load("", "", true, &s, &err), 0);
    assert_string_equal(s.http_addr, ":5050");
    assert_string_equal(s.grpc_addr, ":5051");
    assert_true(s.release);
    settings_free(&s);
}

static void values_that_hang_together(void **state)
{
    (void)state;
    struct settings s;
    struct cj_error err;
    assert_int_equal(load("-cpuset 0-1,3 -parallelism 9 -no-fallback -require none "
                          "-container-cred-start=0 -src-prefix /a,/b",
                          "ES_FILE_TIMEOUT=30m ES_ENABLE_CPU_RATE=1", false, &s, &err),
                     0);
    assert_int_equal(s.parallelism, 2);
    assert_string_equal(s.cpuset.items[0], "0-1");
    assert_int_equal(s.require, PROTECTION_FULL);
    assert_true(s.id_base == 1879048192);
    assert_int_equal(s.src_prefixes.count, 2);
    assert_true(s.file_timeout_ns == INT64_C(1800000000000));
    assert_true(s.enable_cpu_rate);
    settings_free(&s);
    assert_int_equal(load("-parallelism 3 -require=no-cgroup", "", false, &s, &err), 0);
    assert_int_equal(s.parallelism, 3);
    assert_int_equal(s.require, PROTECTION_NO_CGROUP);
    settings_free(&s);
}

static void levels_are_named_as_the_sandbox_names_them(void **state)
{
    (void)state;
    const struct option_spec *spec = options_find(settings_table(), "require");
    for (int level = 0; level < PROTECTION_LEVELS; level++)
        assert_string_equal(spec->choices[level], protection_name((enum protection_level)level));
    assert_null(spec->choices[PROTECTION_LEVELS]);
}

static void bad_settings_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *words, *environment, *message;
    } cases[] = {
        {"-parallelism 0", "", "-parallelism: 1 to 4096 programs can run at once"},
        {"-parallelism 4097", "", "-parallelism: 1 to 4096 programs can run at once"},
        {"", "ES_PARALLELISM=0", "-parallelism: 1 to 4096 programs can run at once"},
        {"-container-cred-start 999", "",
         "-container-cred-start: uids below 1000 are the system's, and 4096 must follow below "
         "2^32"},
        {"-container-cred-start 4294967200", "",
         "-container-cred-start: uids below 1000 are the system's, and 4096 must follow below "
         "2^32"},
        {"-default-cpu-limit 0", "", "-default-cpu-limit: at least 1ms is needed"},
        {"-default-memory-limit 0", "", "-default-memory-limit: at least 1m is needed"},
        {"-default-proc-limit 0", "", "-default-proc-limit: at least 1 is needed"},
        {"-output-limit 0", "", "-output-limit: at least 1b is needed"},
        {"-open-file-limit 2", "",
         "-open-file-limit: at least 3 (standard input, output, error) and at most 1048576"},
        {"-cpu-cfs-period 2s", "", "-cpu-cfs-period: the kernel takes 1ms to 1s"},
        {"-max-connections 0", "", "-max-connections: 1 to 1048576 can be connected"},
        {"-header-timeout 0", "", "-header-timeout: at least 1ms is needed"},
        {"-idle-timeout 1us", "", "-idle-timeout: at least 1ms is needed"},
        {"-queue-length 0", "", "-queue-length: 1 to 16777216 can wait"},
        {"-cpuset 0,x", "", "-cpuset: 'x' is no CPU or range of CPUs: write 2 or 0-3"},
        {"-cpuset 3-1", "", "-cpuset: '3-1' is no CPU or range of CPUs: write 2 or 0-3"},
        {"-cpuset 1-", "", "-cpuset: '1-' is no CPU or range of CPUs: write 2 or 0-3"},
        {"-cpuset 1-2-3", "", "-cpuset: '1-2-3' is no CPU or range of CPUs: write 2 or 0-3"},
        {"-cgroup-prefix ../x", "",
         "-cgroup-prefix: '../x' is not a name of 1 to 100 letters, digits, '_', '-', '.'"},
        {"-cgroup-prefix=", "",
         "-cgroup-prefix: '' is not a name of 1 to 100 letters, digits, '_', '-', '.'"},
        {"-seccomp-conf /no/such/file", "",
         "-seccomp-conf: '/no/such/file': No such file or directory"},
        {"", "ES_MOUNT_CONF=/no/such/file",
         "-mount-conf: '/no/such/file': No such file or directory"},
        {"-silent false", "", "'false' is no option; booleans are written -name=false"},
        {"serve", "", "'serve' is no option"},
        {"-output-limit=", "",
         "-output-limit : '' is not a size: write an integer and perhaps k, m "
         "or g, such as 64m"},
        {"-require most", "", "-require most: 'most' is none of full, no-cgroup, no-userns, none"},
        {"-no-such-flag", "", "-no-such-flag: no such option"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct settings s;
        struct cj_error err;
        assert_int_equal(load(cases[i].words, cases[i].environment, false, &s, &err), -1);
        assert_string_equal(err.message, cases[i].message);
        assert_int_equal(err.domain, ERROR_CONFIG);
    }
}

static void flags_without_effect_are_said_once(void **state)
{
    (void)state;
    struct settings s;
    struct cj_error err;
    int ends[2];
    assert_int_equal(load("-force-gc-target 1m -pre-fork=2 -pre-fork=3 -silent -enable-debug",
                          "ES_ENABLE_GRPC=true ES_FORCE_GC_INTERVAL=1s", false, &s, &err),
                     0);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    log_setup(ends[1], LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    assert_int_equal(settings_warn(&s), 5);
    close(ends[1]);
    log_silence();
    settings_free(&s);
    char text[2048];
    ssize_t length = read_full(ends[0], text, sizeof(text) - 1);
    close(ends[0]);
    assert_true(length > 0);
    text[length] = '\0';
    assert_non_null(strstr(text, " warn  option is not built yet option=enable-grpc\n"));
    assert_non_null(strstr(text, " warn  option has no effect here option=force-gc-target "
                                 "because=\"there is no garbage collector\"\n"));
    assert_non_null(strstr(text, " warn  option does less here option=enable-debug "
                                 "because=\"details are logged; there is no pprof\"\n"));
}

/* The flags of go-judge v1.12.2, without exception. */
static void every_flag_of_the_reference_is_there(void **state)
{
    (void)state;
    static const char *const flags[] = {"container-init-path",
                                        "pre-fork",
                                        "tmp-fs-param",
                                        "net-share",
                                        "mount-conf",
                                        "seccomp-conf",
                                        "parallelism",
                                        "cgroup-prefix",
                                        "container-cred-start",
                                        "no-fallback",
                                        "src-prefix",
                                        "dir",
                                        "time-limit-checker-interval",
                                        "extra-memory-limit",
                                        "output-limit",
                                        "copy-out-limit",
                                        "open-file-limit",
                                        "cpuset",
                                        "enable-cpu-rate",
                                        "cpu-cfs-period",
                                        "file-timeout",
                                        "http-addr",
                                        "enable-grpc",
                                        "grpc-addr",
                                        "monitor-addr",
                                        "auth-token",
                                        "grpc-msg-size",
                                        "enable-debug",
                                        "enable-metrics",
                                        "release",
                                        "silent",
                                        "force-gc-target",
                                        "force-gc-interval",
                                        "version"};
    for (size_t i = 0; i < COUNT_OF(flags); i++)
        if (options_find(settings_table(), flags[i]) == NULL)
            fail_msg("%s is missing", flags[i]);
}

static void the_table_is_sound(void **state)
{
    (void)state;
    const struct option_table *table = settings_table();
    for (size_t i = 0; i < table->count; i++) {
        const struct option_spec *spec = &table->specs[i];
        assert_non_null(spec->help);
        assert_non_null(spec->group);
        assert_true(spec->offset < sizeof(struct settings));
        assert_ptr_equal(options_find(table, spec->name), spec); /* no name twice */
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(table->specs[k].offset, spec->offset);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_reference_s),
        cmocka_unit_test(the_first_process_opens_its_doors),
        cmocka_unit_test(values_that_hang_together),
        cmocka_unit_test(levels_are_named_as_the_sandbox_names_them),
        cmocka_unit_test(bad_settings_are_named),
        cmocka_unit_test(flags_without_effect_are_said_once),
        cmocka_unit_test(every_flag_of_the_reference_is_there),
        cmocka_unit_test(the_table_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

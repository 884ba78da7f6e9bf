#include <errno.h>
#include <fcntl.h>
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

#include "base/fd.h"
#include "base/io.h"
#include "base/log.h"
#include "sandbox/mount_config.h"

static const char tmpfs_data[] = "size=128m,nr_inodes=4k";

/* Each test lives in a new directory that is the current one. */
static char directory[64];

static int enter_directory(void **state)
{
    (void)state;
    log_silence();
    strcpy(directory, "/tmp/cjudge-test-XXXXXX");
    return mkdtemp(directory) == NULL || chdir(directory) < 0 ? -1 : 0;
}

static int leave_directory(void **state)
{
    (void)state;
    (void)unlink("m.yaml");
    (void)unlink("here");
    return chdir("/") < 0 || rmdir(directory) < 0 ? -1 : 0;
}

static int load(const char *text, struct mount_config *config, struct cj_error *err)
{
    auto_fd int fd = open("m.yaml", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write_full(fd, text, strlen(text)), 0);
    *err = (struct cj_error){0};
    return mount_config_load("m.yaml", tmpfs_data, config, err);
}

static const struct mount_item *find(const struct mount_config *config, const char *target)
{
    for (size_t i = 0; i < config->mount_count; i++)
        if (strcmp(config->mounts[i].target, target) == 0)
            return &config->mounts[i];
    return NULL;
}

static void assert_default(const struct mount_config *config)
{
    static const char *const read_only[] = {"bin", "lib", "usr"};
    for (size_t i = 0; i < COUNT_OF(read_only); i++) {
        const struct mount_item *mount = find(config, read_only[i]);
        assert_non_null(mount);
        assert_int_equal(mount->kind, MOUNT_BIND);
        assert_true(mount->read_only);
        assert_string_equal(mount->source + 1, read_only[i]);
        assert_string_equal(mount->data, "");
    }
    static const char *const devices[] = {"dev/null", "dev/zero", "dev/full", "dev/random",
                                          "dev/urandom"};
    for (size_t i = 0; i < COUNT_OF(devices); i++) {
        assert_non_null(find(config, devices[i]));
        assert_false(find(config, devices[i])->read_only);
    }
    static const char *const tmpfs[] = {"w", "tmp", "dev/shm"};
    for (size_t i = 0; i < COUNT_OF(tmpfs); i++) {
        const struct mount_item *mount = &config->mounts[config->mount_count - 3 + i];
        assert_int_equal(mount->kind, MOUNT_TMPFS);
        assert_string_equal(mount->target, tmpfs[i]);
        assert_string_equal(mount->data, tmpfs_data);
        assert_string_equal(mount->source, "");
    }
    assert_int_equal(config->link_count, 4);
    assert_string_equal(config->links[1].path, "/dev/stdin");
    assert_string_equal(config->links[1].target, "/proc/self/fd/0");
    assert_int_equal(config->mask_count, 17);
    assert_string_equal(config->masks[0], "/sys/firmware");
    assert_string_equal(config->masks[16], "/usr/lib/wsl/lib");
    assert_true(config->proc);
    assert_false(config->proc_writable);
    assert_string_equal(config->work_dir, "/w");
    assert_string_equal(config->host_name, "executor_server");
    assert_string_equal(config->domain_name, "executor_server");
    assert_string_equal(config->init_command, "");
    assert_int_equal(config->uid, 1000);
    assert_int_equal(config->gid, 1000);
}

static void the_built_in_table_starts_languages(void **state)
{
    (void)state;
    struct mount_config config;
    assert_int_equal(mount_config_default(tmpfs_data, &config, NULL), 0);
    assert_default(&config);
    mount_config_free(&config);
    assert_int_equal(mount_config_load("absent.yaml", tmpfs_data, &config, NULL), 0);
    assert_default(&config);
    mount_config_free(&config);
}

static void the_built_in_table_shows_no_secrets(void **state)
{
    (void)state;
    static const char *const hidden[] = {
        "etc", "etc/passwd", "etc/shadow", "etc/ssl", "etc/hosts", "root",  "home",          "opt",
        "var", "proc",       "sys",        "dev",     "etc/php",   "etc/R", "etc/localtime", ""};
    struct mount_config config;
    assert_int_equal(mount_config_default(tmpfs_data, &config, NULL), 0);
    for (size_t i = 0; i < COUNT_OF(hidden); i++)
        assert_null(find(&config, hidden[i]));
    for (size_t i = 0; i < config.mount_count; i++) {
        struct stat facts;
        if (config.mounts[i].kind == MOUNT_BIND)
            assert_int_equal(stat(config.mounts[i].source, &facts), 0);
        assert_true(config.mounts[i].target[0] != '/');
    }
    mount_config_free(&config);
}

static void a_whole_file_is_read(void **state)
{
    (void)state;
    struct mount_config config;
    struct cj_error err;
    auto_fd int fd = open("here", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    int result = load("mount:\n"
                      "  - {type: bind, source: /usr, target: /usr, readonly: true, data: junk}\n"
                      "  - {type: bind, source: here, target: //etc/./passwd}\n"
                      "  - {type: bind, source: /nonexistent, target: /x}\n"
                      "  - {type: bind, source: here/below, target: /x}\n"
                      "  - type: tmpfs\n"
                      "    target: w/\n"
                      "    data: 'size=25%,nr_inodes=4K,mode=0755'\n"
                      "    readonly: true\n"
                      "  - {type: tmpfs, target: a..b}\n"
                      "proc: true\n"
                      "procrw: true\n"
                      "symLink: [{linkPath: dev/fd, target: '../proc/self/fd'}]\n"
                      "maskPath: [/usr/bin/../x]\n",
                      &config, &err);
    assert_int_equal(result, -1);
    assert_string_equal(err.message, "m.yaml:14: maskPath[0]: the path must not contain '..'");
    result = load("mount:\n"
                  "  - {type: bind, source: /usr, target: /usr, readonly: true, data: junk}\n"
                  "  - {type: bind, source: here, target: //etc/./passwd}\n"
                  "  - {type: bind, source: /nonexistent, target: /x}\n"
                  "  - {type: bind, source: here/below, target: /x}\n"
                  "  - type: tmpfs\n"
                  "    target: w/\n"
                  "    data: 'size=25%,nr_inodes=4K,mode=0755'\n"
                  "    readonly: true\n"
                  "  - {type: tmpfs, target: a..b}\n"
                  "proc: true\n"
                  "procrw: true\n"
                  "symLink: [{linkPath: dev/fd, target: '../proc/self/fd'}]\n"
                  "maskPath: [usr//share/, /b]\n"
                  "workDir: /work//dir/\n"
                  "hostName: h\n"
                  "domainName: d\n"
                  "uid: 1536\n"
                  "gid: 1537\n"
                  "initCmd: sh -c 'echo $(id)'\n"
                  "unknown: ignored\n",
                  &config, &err);
    if (result < 0)
        fail_msg("%s", err.message);
    assert_int_equal(config.mount_count, 4);
    assert_string_equal(config.mounts[0].source, "/usr");
    assert_string_equal(config.mounts[0].target, "usr");
    assert_string_equal(config.mounts[0].data, "");
    assert_true(config.mounts[0].read_only);
    char here[128];
    snprintf(here, sizeof(here), "%s/here", directory);
    assert_string_equal(config.mounts[1].source, here);
    assert_string_equal(config.mounts[1].target, "etc/passwd");
    assert_false(config.mounts[1].read_only);
    assert_int_equal(config.mounts[2].kind, MOUNT_TMPFS);
    assert_string_equal(config.mounts[2].target, "w");
    assert_string_equal(config.mounts[2].data, "size=25%,nr_inodes=4K,mode=0755");
    assert_false(config.mounts[2].read_only);
    assert_string_equal(config.mounts[3].target, "a..b");
    assert_string_equal(config.mounts[3].data, tmpfs_data);
    assert_true(config.proc);
    assert_true(config.proc_writable);
    assert_int_equal(config.link_count, 1);
    assert_string_equal(config.links[0].path, "/dev/fd");
    assert_string_equal(config.links[0].target, "../proc/self/fd");
    assert_int_equal(config.mask_count, 2);
    assert_string_equal(config.masks[0], "/usr/share");
    assert_string_equal(config.work_dir, "/work/dir");
    assert_string_equal(config.host_name, "h");
    assert_string_equal(config.domain_name, "d");
    assert_string_equal(config.init_command, "sh -c 'echo $(id)'");
    assert_int_equal(config.uid, 1536);
    assert_int_equal(config.gid, 1537);
    mount_config_free(&config);
}

static void an_empty_file_mounts_nothing(void **state)
{
    (void)state;
    struct mount_config config;
    struct cj_error err;
    static const char *const empty[] = {"", "mount: []\nsymLink: []\nmaskPath: ~\nuid: 0\ngid: 0\n",
                                        "workDir: ''\nhostName: ''\nproc: false\n"};
    for (size_t i = 0; i < COUNT_OF(empty); i++) {
        assert_int_equal(load(empty[i], &config, &err), 0);
        assert_int_equal(config.mount_count, 0);
        assert_int_equal(config.link_count, 4);
        assert_int_equal(config.mask_count, 17);
        assert_false(config.proc);
        assert_string_equal(config.work_dir, "/w");
        assert_string_equal(config.host_name, "executor_server");
        assert_int_equal(config.uid, 1000);
        assert_int_equal(config.gid, 1000);
        mount_config_free(&config);
    }
}

#define LONG_NAME "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" /* 65 */

static void errors_name_file_line_and_key(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[]", "m.yaml:1: a map is needed here, not a list"},
        {"mount: yes", "m.yaml:1: mount: a list is needed here, not a single value"},
        {"mount:\n- x", "m.yaml:2: mount[0]: a map is needed here, not a single value"},
        {"mount:\n-\n", "m.yaml:2: mount: entry 0 is empty"},
        {"mount:\n- {target: /x}", "m.yaml:2: mount[0]: type is missing"},
        {"mount:\n- {type: nfs, target: /x}",
         "m.yaml:2: mount[0].type: 'nfs' is not a type of mount: write bind or tmpfs"},
        {"mount:\n- {type: bind, target: /x}", "m.yaml:2: mount[0]: source is missing"},
        {"mount:\n- {type: bind, source: '', target: /x}", "m.yaml:2: mount[0]: source is missing"},
        {"mount:\n- {type: bind, source: /usr}", "m.yaml:2: mount[0]: target is missing"},
        {"mount:\n- type: bind\n  source: /usr\n  target: /a/../../etc\n",
         "m.yaml:4: mount[0].target: the path must not contain '..'"},
        {"mount:\n- {type: bind, source: /usr, target: ..}",
         "m.yaml:2: mount[0].target: the path must not contain '..'"},
        {"mount:\n- {type: bind, source: /usr, target: /}",
         "m.yaml:2: mount[0].target: the path is the container's root itself"},
        {"mount:\n- {type: bind, source: /usr, target: ./.}",
         "m.yaml:2: mount[0].target: the path is the container's root itself"},
        {"mount:\n- {type: bind, source: /usr, target: \"/x\\0y\"}",
         "m.yaml:2: mount[0].target: a NUL byte is not allowed"},
        {"mount:\n- {type: bind, source: /usr, target: /x, readonly: maybe}",
         "m.yaml:2: mount[0].readonly: 'maybe' is not true or false"},
        {"proc: true\nworkDir: proc/self/",
         "m.yaml:2: workDir: programs cannot work in /proc/self"},
        {"mount:\n- {type: tmpfs, target: /x, data: 'size=1m,exec'}",
         "m.yaml:2: mount[0].data: 'exec' is not an option of tmpfs: write size=128m, "
         "nr_inodes=4k, nr_blocks=4k or mode=1777, separated by commas"},
        {"symLink: [{linkPath: /a/.., target: x}]",
         "m.yaml:1: symLink[0].linkPath: the path must not contain '..'"},
        {"symLink: [{linkPath: /a}]", "m.yaml:1: symLink[0]: target is missing"},
        {"maskPath: [/]", "m.yaml:1: maskPath[0]: the path is the container's root itself"},
        {"maskPath: [[x]]", "m.yaml:1: maskPath[0]: a single value is needed here, not a list"},
        {"proc: 1", "m.yaml:1: proc: '1' is not true or false"},
        {"workDir: /w/..", "m.yaml:1: workDir: the path must not contain '..'"},
        {"\nhostName: " LONG_NAME, "m.yaml:2: hostName: the name is longer than 64 bytes"},
        {"uid: -1", "m.yaml:1: uid: '-1' is not a whole number"},
        {"gid: 65534", "m.yaml:1: gid: 65534 is above 65533"},
        {"proc: true\nproc: false", "m.yaml:2: proc: given twice, first in line 1"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct mount_config config;
        struct cj_error err;
        assert_int_equal(load(cases[i].text, &config, &err), -1);
        assert_string_equal(err.message, cases[i].message);
        assert_int_equal(err.domain, ERROR_CONFIG);
    }
    struct mount_config config;
    struct cj_error err;
    assert_int_equal(mount_config_load("/", tmpfs_data, &config, &err), -1);
    assert_int_equal(err.domain, ERROR_CONFIG);
}

static void tmpfs_options_limit(void **state)
{
    (void)state;
    static const char *const good[] = {"",         "size=1",          "size=128M",     "size=2g",
                                       "size=50%", "nr_inodes=4k",    "nr_blocks=100", "mode=1777",
                                       "mode=700", "size=1t,mode=755"};
    static const char *const bad[] = {
        "size",        "size=",           "size=0",      "size=0m",     "size=-1",
        "size=1x",     "size=1.5m",       "size=1mb",    "size=m",      "=1",
        "size=1m,",    ",size=1m",        "nr_inodes=0", "nr_inodes=%", "mode=8",
        "mode=",       "mode=177777",     "uid=0",       "suid",        "mpol=bind:0",
        "size=1m;x=1", "size=1m size=2m", "sizes=1",     "siz=1",       "size=9999999999999999"};
    struct mount_config config;
    struct cj_error err;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        assert_int_equal(mount_config_default(good[i], &config, &err), 0);
        mount_config_free(&config);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(mount_config_default(bad[i], &config, &err), -1);
        assert_int_equal(err.domain, ERROR_CONFIG);
    }
    assert_string_equal(err.message,
                        "built-in mounts: 'size=9999999999999999' is not an option of tmpfs: write "
                        "size=128m, nr_inodes=4k, nr_blocks=4k or mode=1777, separated by commas");
}

static void lists_are_bounded(void **state)
{
    (void)state;
    char text[256 * 16 + 64] = "maskPath:\n";
    for (int i = 0; i < 257; i++)
        strcat(text, "- /a\n");
    struct mount_config config;
    struct cj_error err;
    assert_int_equal(load(text, &config, &err), -1);
    assert_string_equal(err.message, "m.yaml:258: maskPath[256]: more than 256 entries");
}

#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, enter_directory, leave_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIRECTORY(the_built_in_table_starts_languages),
        IN_DIRECTORY(the_built_in_table_shows_no_secrets),
        IN_DIRECTORY(a_whole_file_is_read),
        IN_DIRECTORY(an_empty_file_mounts_nothing),
        IN_DIRECTORY(errors_name_file_line_and_key),
        IN_DIRECTORY(tmpfs_options_limit),
        IN_DIRECTORY(lists_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

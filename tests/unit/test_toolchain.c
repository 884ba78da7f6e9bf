/* judge/toolchain.h, judge/roster.h: what a language needs of the host, as a container sees it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/attr.h"
#include "judge/roster.h"
#include "judge/toolchain.h"

/* ---- a host of a test's own ---- */

static char host[] = "/tmp/cjudge-toolchain-XXXXXX";
static char sources[4][sizeof(host) + 32];
static char targets[4][32];
static struct mount_item mounts[] = {
    {.kind = MOUNT_BIND}, {.kind = MOUNT_BIND}, {.kind = MOUNT_BIND}, {.kind = MOUNT_TMPFS}};
static char link_path[] = "/dev/in", link_target[] = "/usr/share/words";
static struct symlink_item links[] = {{link_path, link_target}};
static const struct mount_config config = {
    .mounts = mounts, .mount_count = COUNT_OF(mounts), .links = links, .link_count = 1};

static void path_of(const char *name, char out[static 300])
{
    snprintf(out, 300, "%s/%s", host, name);
}

static void make_directory(const char *name)
{
    char path[300];
    path_of(name, path);
    assert_int_equal(mkdir(path, 0755), 0);
}

static void make_file(const char *name, mode_t mode)
{
    char path[300];
    path_of(name, path);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

static void make_link(const char *name, const char *target)
{
    char path[300];
    path_of(name, path);
    assert_int_equal(symlink(target, path), 0);
}

/* host/usr is /usr, host/tool is /opt/tool, host/bin (a link to usr/bin) is /bin; /tmp is empty. */
static int make_host(void **state)
{
    (void)state;
    static const char *const shown[][2] = {
        {"usr", "usr"}, {"tool", "opt/tool"}, {"bin", "bin"}, {"", "tmp"}};
    assert_non_null(mkdtemp(host));
    for (size_t i = 0; i < COUNT_OF(shown); i++) {
        snprintf(sources[i], sizeof(sources[i]), "%s/%s", host, shown[i][0]);
        snprintf(targets[i], sizeof(targets[i]), "%s", shown[i][1]);
        mounts[i].source = sources[i];
        mounts[i].target = targets[i];
    }
    make_directory("usr");
    make_directory("usr/bin");
    make_directory("usr/share");
    make_directory("tool");
    make_directory("etc");
    make_file("usr/bin/cc-12", 0755);
    make_file("usr/bin/notes", 0644);
    make_directory("usr/bin/folder");
    make_file("usr/share/words", 0644);
    make_file("tool/run", 0755);
    make_file("etc/hidden", 0755);
    make_link("bin", "usr/bin");
    make_link("usr/bin/cc", "cc-12");
    make_link("usr/bin/c99", "/usr/bin/cc");
    make_link("usr/bin/up", "../share/../bin/cc");
    make_link("usr/bin/tool", "/opt/tool/run");
    make_link("usr/bin/gone", "/etc/hidden"); /* there on the host, and not in the container */
    make_link("usr/bin/loop", "loop");
    make_link("usr/bin/out", "../../../../../../usr/bin/cc"); /* no way out of the root */
    make_link("usr/bin/secret", "/tmp/secret");
    return 0;
}

static int remove_host(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof(command), "rm -r %s", host);
    return system(command);
}

/* ---- paths ---- */

static void paths_lead_where_a_container_sees_them(void **state)
{
    (void)state;
    static const struct {
        const char *path, *found; /* below host; NULL: nothing; "": made for mounts */
    } rows[] = {
        {"/usr/bin/cc-12", "usr/bin/cc-12"},
        {"/usr/bin/cc", "usr/bin/cc-12"},
        {"/bin/cc", "bin/cc-12"},
        {"/usr/bin/c99", "usr/bin/cc-12"},
        {"/usr/bin/up", "usr/bin/cc-12"},
        {"/usr/bin/tool", "tool/run"},
        {"/usr/bin/out", "usr/bin/cc-12"},
        {"//usr/./bin//cc-12", "usr/bin/cc-12"},
        {"/usr/bin/../share/words", "usr/share/words"},
        {"/dev/in", "usr/share/words"},
        {"/opt", ""},
        {"/opt/tool", "tool"},
        {"/opt/other", NULL},
        {"/usr/bin/gone", NULL},
        {"/usr/bin/loop", NULL},
        {"/usr/bin/secret", NULL},
        {"/usr/bin/nosuch", NULL},
        {"/usrx", NULL},
        {"/etc/hidden", NULL},
        {"/tmp/x", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char found[300], expected[300] = "";
        bool is = toolchain_path(&config, rows[i].path, found, sizeof(found));
        if (is != (rows[i].found != NULL))
            fail_msg("%s: %s", rows[i].path, is ? found : "nothing");
        if (rows[i].found == NULL)
            continue;
        if (rows[i].found[0] != '\0')
            path_of(rows[i].found, expected);
        assert_string_equal(found, expected);
    }
}

/* ---- languages ---- */

static void load(const char *text, struct languages **out)
{
    char path[] = "/tmp/cjudge-languages-XXXXXX";
    struct cj_error err = {0};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    int done = languages_load(path, out, &err);
    unlink(path);
    if (done < 0)
        fail_msg("%s", err.message);
}

static void what_is_missing_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *keys, *missing;
    } rows[] = {
        {"run: 'cc {source}'", ""},
        {"run: 'tool x'", ""},
        {"run: /usr/bin/cc", ""},
        {"run: /etc/hidden", "/etc/hidden"},
        {"run: nosuch", "nosuch"},
        {"run: gone", "gone"},
        {"run: notes", "notes"},   /* not executable */
        {"run: folder", "folder"}, /* no file */
        {"run: './{exe}', exe: main, build: cc", ""},
        {"run: '{workdir}/{exe}', exe: main, build: cc", ""},
        {"run: '{exe}', exe: main, build: nosuch", "nosuch"},
        {"run: cc, check: nosuch", "nosuch"},
        {"run: cc, needs: [tool, /usr/share/words]", ""},
        {"run: cc, needs: [tool, /usr/share/none]", "/usr/share/none"},
        {"run: words, env: [PATH=/usr/share:/opt/tool]", "words"},
        {"run: run, env: [PATH=relative::/opt/tool]", ""},
        {"run: cc, env: [PATH=/opt/tool]", "cc"},
    };
    static const char *const env[] = {"HOME=/", "PATH=/nosuch:/bin", "PATH=/opt/tool"};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[300], missing[TOOLCHAIN_NAME_SIZE];
        struct languages *languages;
        snprintf(text, sizeof(text), "languages:\n  - {id: x, source: main.x, %s}\n", rows[i].keys);
        load(text, &languages);
        bool installed = toolchain_is_installed(languages_at(languages, 0), &config, env,
                                                COUNT_OF(env), missing);
        if (installed != (rows[i].missing[0] == '\0') || strcmp(missing, rows[i].missing) != 0)
            fail_msg("%s: '%s' is missing", rows[i].keys, missing);
        assert_true(
            toolchain_is_installed(languages_at(languages, 0), NULL, env, COUNT_OF(env), missing));
        languages_free(languages);
    }
}

static void programs_are_named_once(void **state)
{
    (void)state;
    struct languages *languages;
    const char *programs[TOOLCHAIN_PROGRAMS_MAX];
    char *room;
    load("languages:\n"
         "  - {id: x, source: a, exe: b, build: \"sh -c 'p && q'\", check: r -c, run: r b,\n"
         "     needs: [q, sh, p]}\n",
         &languages);
    assert_int_equal(toolchain_programs(languages_at(languages, 0), programs, &room), 4);
    assert_string_equal(programs[0], "sh");
    assert_string_equal(programs[1], "r");
    assert_string_equal(programs[2], "q");
    assert_string_equal(programs[3], "p");
    free(room);
    languages_free(languages);
}

static void a_lack_says_what_to_do(void **state)
{
    (void)state;
    struct languages *languages;
    char text[TOOLCHAIN_LACK_SIZE];
    load("languages:\n"
         "  - {id: x, name: X (GNU), source: a, run: x, packages: [x-base, libx-dev]}\n"
         "  - {id: y, source: a, run: y}\n",
         &languages);
    toolchain_lack(languages_at(languages, 0), "x", text);
    assert_string_equal(text, "X (GNU) is not installed: apt-get install x-base libx-dev");
    toolchain_lack(languages_at(languages, 1), "/usr/lib/y", text);
    assert_string_equal(text,
                        "y is not installed: there is no /usr/lib/y where programs look for it");
    languages_free(languages);
}

static void each_variable_is_there_once(void **state)
{
    (void)state;
    static const char *const env[] = {"PATH=/usr/bin", "HOME=/w", "PATHS=x", "HOME=/x"};
    static const char *const expected[] = {"PATH=/opt/tool", "A=b", "HOME=/w", "PATHS=x"};
    struct languages *languages;
    size_t count;
    load("languages:\n  - {id: x, source: a, run: b, env: [PATH=/opt/tool, A=b, PATH=/third]}\n",
         &languages);
    const char **joined =
        language_environment(languages_at(languages, 0), env, COUNT_OF(env), &count);
    assert_int_equal(count, COUNT_OF(expected));
    for (size_t i = 0; i < count; i++)
        assert_string_equal(joined[i], expected[i]);
    assert_null(joined[count]);
    free(joined);
    languages_free(languages);
}

/* ---- versions ---- */

static void versions_are_one_line(void **state)
{
    (void)state;
    static const struct {
        const char *output, *version;
    } rows[] = {
        {"gcc (Debian) 12.2.0\nCopyright\n", "gcc (Debian) 12.2.0"},
        {"\n \r\n\t x\ty \n", "x y"},
        {"\033[31mred\033[0m", "[31mred[0m"},
        {"Gr\xc3\xbc\xc3\x9f"
         "e 1",
         "Gr\xc3\xbc\xc3\x9f"
         "e 1"},
        {"a\xff", "a?"},
        {"", ""},
        {"\n\n", ""},
    };
    char version[LANGUAGE_VERSION_SIZE], longest[400];
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        version_from_output(rows[i].output, strlen(rows[i].output), version);
        assert_string_equal(version, rows[i].version);
    }
    memset(longest, 'x', sizeof(longest));
    version_from_output(longest, sizeof(longest), version);
    assert_int_equal(strlen(version), LANGUAGE_VERSION_SIZE - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_lead_where_a_container_sees_them),
        cmocka_unit_test(what_is_missing_is_named),
        cmocka_unit_test(programs_are_named_once),
        cmocka_unit_test(a_lack_says_what_to_do),
        cmocka_unit_test(each_variable_is_there_once),
        cmocka_unit_test(versions_are_one_line),
    };
    return cmocka_run_group_tests(tests, make_host, remove_host);
}

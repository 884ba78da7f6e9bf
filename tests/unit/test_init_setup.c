/* init's check of its setup blob: what the service writes is taken, and nothing that would make init
 * read outside of it, mount outside of the root or run programs as root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/attr.h"
#include "init.h"
#include "sandbox/mount_config.h"
#include "sandbox/seccomp_filter.h"
#include "setup_blob.h"

/* A blob with two mounts, a link, a mask and a filter, laid out by hand: every part has a name here. */
struct blob {
    struct init_setup setup;
    struct init_mount mounts[2];
    struct init_link links[1];
    struct init_text masks[1];
    struct sock_filter filter[2];
    char texts[128];
    char source[8], bind_target[8], tmpfs_target[8], data[16], empty[8];
    char path[8], target[8], mask[16], work_dir[8], host[8], domain[8], command[8];
};

#define TEXT(b, field)                                                                             \
    ((struct init_text){.offset = offsetof(struct blob, field),                                    \
                        .length = (uint32_t)strlen((b)->field)})

static void fill(struct blob *b)
{
    memset(b, 0, sizeof(*b));
    strcpy(b->source, "/usr");
    strcpy(b->bind_target, "usr");
    strcpy(b->tmpfs_target, "w");
    strcpy(b->data, "size=1m");
    strcpy(b->path, "/dev/fd");
    strcpy(b->target, "/x");
    strcpy(b->mask, "/proc/kcore");
    strcpy(b->work_dir, "/w");
    strcpy(b->host, "host");
    strcpy(b->domain, "domain");
    strcpy(b->command, "true");
    b->mounts[0] = (struct init_mount){INIT_MOUNT_BIND, 1, TEXT(b, source), TEXT(b, bind_target),
                                       TEXT(b, empty)};
    b->mounts[1] = (struct init_mount){INIT_MOUNT_TMPFS, 0, TEXT(b, empty), TEXT(b, tmpfs_target),
                                       TEXT(b, data)};
    b->links[0] = (struct init_link){TEXT(b, path), TEXT(b, target)};
    b->masks[0] = TEXT(b, mask);
    b->setup = (struct init_setup){
        .magic = INIT_MAGIC,
        .size = sizeof(*b),
        .uid = 1000,
        .gid = 1000,
        .mount_count = 2,
        .mount_offset = offsetof(struct blob, mounts),
        .link_count = 1,
        .link_offset = offsetof(struct blob, links),
        .mask_count = 1,
        .mask_offset = offsetof(struct blob, masks),
        .filter_count = 2,
        .filter_offset = offsetof(struct blob, filter),
        .work_dir = TEXT(b, work_dir),
        .host_name = TEXT(b, host),
        .domain_name = TEXT(b, domain),
        .init_command = TEXT(b, command),
    };
}

/* In a heap block of exactly size bytes: ASan sees a read beyond. */
static bool valid_of(const void *bytes, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    bool valid = setup_valid((const struct init_setup *)(void *)copy, size);
    free(copy);
    return valid;
}

static bool valid(const struct blob *b)
{
    return valid_of(b, sizeof(*b));
}

static void what_the_service_writes_is_taken(void **state)
{
    (void)state;
    static const char *const options[] = {"", "size=128m,nr_inodes=4k"};
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        struct mount_config mounts = {0};
        struct setup_filter programs = {.clone3_args_address = 0x1000};
        struct setup_filter warm = {.clone3_args_address = 0x2000};
        const struct seccomp_filter *filter = &programs.filter;
        struct cj_error err = {0};
        int fd = -1;
        assert_int_equal(mount_config_default(options[i], &mounts, &err), 0);
        assert_int_equal(seccomp_filter_default(0, &programs.filter, &err), 0);
        assert_int_equal(seccomp_filter_default(0x2000, &warm.filter, &err), 0);
        const struct setup_filter *second = i > 0 ? &warm : NULL;
        assert_int_equal(setup_blob_make(&mounts, &programs, second, SETUP_CGROUP_NS, &fd, &err),
                         0);
        off_t size = lseek(fd, 0, SEEK_END);
        char *bytes = malloc((size_t)size);
        assert_int_equal(pread(fd, bytes, (size_t)size, 0), size);
        assert_true(valid_of(bytes, (size_t)size));
        const struct init_setup *setup = (const struct init_setup *)(void *)bytes;
        assert_int_equal(setup->mount_count, mounts.mount_count);
        assert_int_equal(setup->filter_count, filter->count);
        assert_int_equal(setup->clone3_args_address, 0x1000);
        assert_int_equal(setup->warm_filter_count, i > 0 ? warm.filter.count : 0);
        assert_int_equal(setup->warm_clone3_args_address, i > 0 ? 0x2000 : 0);
        assert_memory_equal(bytes + setup->warm_filter_offset, warm.filter.code,
                            setup->warm_filter_count * sizeof(*warm.filter.code));
        assert_int_equal(setup->uid, mounts.uid);
        assert_memory_equal(bytes + setup->filter_offset, filter->code,
                            filter->count * sizeof(*filter->code));
        assert_string_equal(bytes + setup->work_dir.offset, "/w");
        free(bytes);
        close(fd);
        seccomp_filter_free(&programs.filter);
        seccomp_filter_free(&warm.filter);
        mount_config_free(&mounts);
    }
}

static void a_blob_made_by_hand_is_taken(void **state)
{
    (void)state;
    struct blob b;
    fill(&b);
    assert_true(valid(&b));
}

static void header_and_size_have_to_agree(void **state)
{
    (void)state;
    struct blob b;
    fill(&b);
    for (size_t size = 0; size < sizeof(b); size++)
        assert_false(valid_of(&b, size));
    b.setup.size--;
    assert_false(valid(&b));
    b.setup.size += 2;
    assert_false(valid(&b));
    fill(&b);
    b.setup.magic ^= 1;
    assert_false(valid(&b));
}

/* ---- arrays ---- */

static void arrays_end_inside(void **state)
{
    (void)state;
    static const struct {
        size_t offset_field, count_field;
        uint32_t item;
    } arrays[] = {
        {offsetof(struct init_setup, mount_offset), offsetof(struct init_setup, mount_count),
         sizeof(struct init_mount)},
        {offsetof(struct init_setup, link_offset), offsetof(struct init_setup, link_count),
         sizeof(struct init_link)},
        {offsetof(struct init_setup, mask_offset), offsetof(struct init_setup, mask_count),
         sizeof(struct init_text)},
        {offsetof(struct init_setup, filter_offset), offsetof(struct init_setup, filter_count),
         sizeof(struct sock_filter)},
        {offsetof(struct init_setup, warm_filter_offset),
         offsetof(struct init_setup, warm_filter_count), sizeof(struct sock_filter)},
    };
    for (size_t i = 0; i < COUNT_OF(arrays); i++) {
        struct blob b;
        uint32_t *offset = (uint32_t *)(void *)((char *)&b + arrays[i].offset_field);
        uint32_t *count = (uint32_t *)(void *)((char *)&b + arrays[i].count_field);
        const uint32_t size = sizeof(b);
        const struct {
            uint32_t offset, count;
        } outside[] = {
            {size + 8, 0},
            {size & ~7U, UINT32_MAX},
            {size & ~7U, size / arrays[i].item + 1},
            {0, UINT32_MAX},
            {0, size / arrays[i].item + 1},
            {UINT32_MAX & ~7U, 1},
            {UINT32_MAX & ~7U, UINT32_MAX},
            {8, UINT32_MAX / arrays[i].item + 1}, /* count x size wraps to little */
        };
        for (size_t k = 0; k < COUNT_OF(outside); k++) {
            fill(&b);
            *offset = outside[k].offset;
            *count = outside[k].count;
            if (valid(&b))
                fail_msg("array %zu, case %zu", i, k);
        }
        for (uint32_t misaligned = 1; misaligned < 8; misaligned++) {
            fill(&b);
            *offset += misaligned;
            assert_false(valid(&b));
        }
        fill(&b);
        *offset = size & ~7U; /* at the very end, empty */
        *count = 0;
        assert_true(valid(&b));
        fill(&b);
        *count = 0;
        assert_true(valid(&b));
    }
}

static void a_filter_is_no_longer_than_the_kernel_takes(void **state)
{
    (void)state;
    static const struct {
        uint32_t count;
        bool want;
    } cases[] = {{INIT_FILTER_MAX, true}, {INIT_FILTER_MAX + 1, false}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct blob b;
        fill(&b);
        uint32_t size = sizeof(b) + 8 * (INIT_FILTER_MAX + 2);
        char *large = calloc(1, size);
        uint32_t offset = (sizeof(b) + 7) & ~7U;
        for (int second = 0; second < 2; second++) {
            fill(&b);
            b.setup.size = size;
            *(second ? &b.setup.warm_filter_offset : &b.setup.filter_offset) = offset;
            *(second ? &b.setup.warm_filter_count : &b.setup.filter_count) = cases[i].count;
            memcpy(large, &b, sizeof(b));
            assert_int_equal(valid_of(large, size), cases[i].want);
        }
        free(large);
    }
}

/* ---- texts ---- */

static void every_text_ends_inside_and_where_it_says(void **state)
{
    (void)state;
    static const size_t texts[] = {
        offsetof(struct blob, setup.work_dir),    offsetof(struct blob, setup.host_name),
        offsetof(struct blob, setup.domain_name), offsetof(struct blob, setup.init_command),
        offsetof(struct blob, mounts[0].source),  offsetof(struct blob, mounts[0].target),
        offsetof(struct blob, mounts[0].data),    offsetof(struct blob, mounts[1].source),
        offsetof(struct blob, mounts[1].target),  offsetof(struct blob, mounts[1].data),
        offsetof(struct blob, links[0].path),     offsetof(struct blob, links[0].target),
        offsetof(struct blob, masks[0]),
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct blob b;
        fill(&b);
        struct init_text *text = (struct init_text *)(void *)((char *)&b + texts[i]);
        const struct init_text good = *text;
        const uint32_t size = sizeof(b);
        const struct init_text bad[] = {
            {size, 0},
            {size + 1, 0},
            {UINT32_MAX, 0},
            {UINT32_MAX, UINT32_MAX},
            {good.offset, UINT32_MAX},
            {good.offset, UINT32_MAX - good.offset},
            {good.offset, size - good.offset}, /* ends one byte outside */
            {good.offset, size - good.offset + 1},
            {good.offset, good.length + 1}, /* a NUL inside */
            {0, size},
            {size - 1, 1},
        };
        for (size_t k = 0; k < COUNT_OF(bad); k++) {
            *text = bad[k];
            if (valid(&b))
                fail_msg("text %zu, case %zu", i, k);
        }
        if (good.length > 0) {
            *text = (struct init_text){good.offset, good.length - 1}; /* no NUL behind it */
            assert_false(valid(&b));
        }
        *text = good;
        assert_true(valid(&b));
    }
}

static void a_text_is_no_longer_than_a_path(void **state)
{
    (void)state;
    for (uint32_t length = INIT_PATH_MAX - 1; length <= INIT_PATH_MAX; length++) {
        struct blob b;
        fill(&b);
        uint32_t size = sizeof(b) + INIT_PATH_MAX + 8;
        b.setup.size = size;
        b.setup.init_command = (struct init_text){sizeof(b), length};
        char *large = calloc(1, size);
        memcpy(large, &b, sizeof(b));
        memset(large + sizeof(b), 'x', length);
        assert_int_equal(valid_of(large, size), length < INIT_PATH_MAX);
        free(large);
    }
}

static void tmpfs_options_fit_the_place_that_is_kept_for_them(void **state)
{
    (void)state;
    const uint32_t room = sizeof(self.tmpfs[0].data);
    for (uint32_t length = room - 1; length <= room; length++) {
        for (uint32_t kind = INIT_MOUNT_BIND; kind <= INIT_MOUNT_TMPFS; kind++) {
            struct blob b;
            fill(&b);
            uint32_t size = sizeof(b) + room + 8;
            b.setup.size = size;
            b.mounts[1].kind = kind;
            b.mounts[1].data = (struct init_text){sizeof(b), length};
            char *large = calloc(1, size);
            memcpy(large, &b, sizeof(b));
            memset(large + sizeof(b), 'x', length);
            assert_int_equal(valid_of(large, size), kind == INIT_MOUNT_BIND || length < room);
            free(large);
        }
    }
}

/* ---- what the texts say ---- */

static void a_path_cannot_leave_the_root(void **state)
{
    (void)state;
    static const struct {
        const char *path; /* below the root */
        bool want;
    } cases[] = {
        {"usr", true},     {"a/b/c", true},   {"..a", true},   {"a..", true},  {".a", true},
        {"...", true},     {"", false},       {"/", false},    {"..", false},  {".", false},
        {"../etc", false}, {"a/../b", false}, {"a/..", false}, {"a/.", false}, {"./a", false},
        {"a//b", false},   {"a/", false},     {"/usr", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct blob b;
        fill(&b);
        strcpy(b.bind_target, cases[i].path);
        b.mounts[0].target = TEXT(&b, bind_target);
        if (valid(&b) != cases[i].want)
            fail_msg("mount target '%s'", cases[i].path);

        fill(&b); /* a link may be given from the root */
        snprintf(b.path, sizeof(b.path), "/%s", cases[i].path);
        b.links[0].path = TEXT(&b, path);
        if (valid(&b) != cases[i].want)
            fail_msg("link '%s'", b.path);

        fill(&b); /* the work directory may be the root itself */
        snprintf(b.work_dir, sizeof(b.work_dir), "/%s", cases[i].path);
        b.setup.work_dir = TEXT(&b, work_dir);
        if (valid(&b) != (cases[i].want || cases[i].path[0] == '\0'))
            fail_msg("work directory '%s'", b.work_dir);

        fill(&b);
        snprintf(b.mask, sizeof(b.mask), "/%s", cases[i].path);
        b.masks[0] = TEXT(&b, mask);
        if (valid(&b) != cases[i].want)
            fail_msg("mask '%s'", b.mask);
    }
}

static void relative_work_dirs_links_and_masks_are_refused(void **state)
{
    (void)state;
    struct blob b;
    fill(&b);
    strcpy(b.work_dir, "w");
    b.setup.work_dir = TEXT(&b, work_dir);
    assert_false(valid(&b));
    strcpy(b.work_dir, "");
    b.setup.work_dir = TEXT(&b, work_dir);
    assert_false(valid(&b));
    fill(&b);
    strcpy(b.path, "dev/fd");
    b.links[0].path = TEXT(&b, path);
    assert_false(valid(&b));
    fill(&b);
    strcpy(b.mask, "proc/x");
    b.masks[0] = TEXT(&b, mask);
    assert_false(valid(&b));
}

static void only_two_kinds_of_mounts_exist(void **state)
{
    (void)state;
    static const uint32_t kinds[] = {2, 3, UINT32_MAX};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct blob b;
        fill(&b);
        b.mounts[0].kind = kinds[i];
        assert_false(valid(&b));
    }
}

static void there_are_no_more_tmpfs_than_places_for_them(void **state)
{
    (void)state;
    for (uint32_t count = INIT_TMPFS_MAX; count <= INIT_TMPFS_MAX + 1; count++) {
        struct blob b;
        fill(&b);
        uint32_t at = (sizeof(b) + 7) & ~7U, size = at + (INIT_TMPFS_MAX + 1) * sizeof(b.mounts[0]);
        b.setup.size = size;
        b.setup.mount_offset = at;
        b.setup.mount_count = count;
        char *large = calloc(1, size);
        memcpy(large, &b, sizeof(b));
        for (uint32_t i = 0; i < count; i++)
            memcpy(large + at + i * sizeof(b.mounts[0]), &b.mounts[1], sizeof(b.mounts[0]));
        assert_int_equal(valid_of(large, size), count <= INIT_TMPFS_MAX);
        free(large);
    }
}

/* Inside, 0 is init's own id; -1 would leave setresuid(2) without effect: either way programs would run
 * as init does. */
static void programs_never_get_inits_ids(void **state)
{
    (void)state;
    static const uint32_t ids[] = {0, UINT32_MAX};
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        struct blob b;
        fill(&b);
        b.setup.uid = ids[i];
        assert_false(valid(&b));
        fill(&b);
        b.setup.gid = ids[i];
        assert_false(valid(&b));
        b.setup.flags = SETUP_SINGLE_ID; /* there is only one id, and it is not looked at */
        assert_true(valid(&b));
    }
}

static void flags_that_do_not_exist_are_refused(void **state)
{
    (void)state;
    struct blob b;
    fill(&b);
    b.setup.flags = SETUP_FLAGS_END - 1;
    assert_true(valid(&b));
    for (unsigned bit = 0; bit < 32; bit++) {
        if ((1U << bit) < SETUP_FLAGS_END)
            continue;
        b.setup.flags = 1U << bit;
        assert_false(valid(&b));
    }
}

/* ---- mutations ---- */

/* Each byte of a good blob in every value: what is still taken stays readable inside the blob. */
static void no_single_byte_leads_outside(void **state)
{
    (void)state;
    struct blob good;
    fill(&good);
    char *copy = malloc(sizeof(good));
    size_t taken = 0;
    for (size_t at = 0; at < offsetof(struct blob, texts); at++) {
        for (int value = 0; value < 256; value++) {
            memcpy(copy, &good, sizeof(good));
            copy[at] = (char)value;
            const struct init_setup *setup = (const struct init_setup *)(void *)copy;
            if (!setup_valid(setup, sizeof(good)))
                continue;
            taken++;
            self.setup = setup;
            volatile size_t seen =
                strlen(setup_text(setup->work_dir)) + strlen(setup_text(setup->host_name));
            const struct init_mount *mounts =
                (const struct init_mount *)(void *)(copy + setup->mount_offset);
            for (uint32_t i = 0; i < setup->mount_count; i++)
                seen += strlen(setup_text(mounts[i].source)) +
                        strlen(setup_text(mounts[i].target)) + strlen(setup_text(mounts[i].data));
            (void)seen;
        }
    }
    assert_true(taken > 1000); /* ids, flags, filter bytes */
    self.setup = NULL;
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_service_writes_is_taken),
        cmocka_unit_test(a_blob_made_by_hand_is_taken),
        cmocka_unit_test(header_and_size_have_to_agree),
        cmocka_unit_test(arrays_end_inside),
        cmocka_unit_test(a_filter_is_no_longer_than_the_kernel_takes),
        cmocka_unit_test(every_text_ends_inside_and_where_it_says),
        cmocka_unit_test(a_text_is_no_longer_than_a_path),
        cmocka_unit_test(tmpfs_options_fit_the_place_that_is_kept_for_them),
        cmocka_unit_test(a_path_cannot_leave_the_root),
        cmocka_unit_test(relative_work_dirs_links_and_masks_are_refused),
        cmocka_unit_test(only_two_kinds_of_mounts_exist),
        cmocka_unit_test(there_are_no_more_tmpfs_than_places_for_them),
        cmocka_unit_test(programs_never_get_inits_ids),
        cmocka_unit_test(flags_that_do_not_exist_are_refused),
        cmocka_unit_test(no_single_byte_leads_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

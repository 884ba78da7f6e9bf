/* init's setup blob: whatever setup_valid() takes can be walked as setup_container() walks it, without
 * a read outside of the blob, a path out of the root, or a text that is no text. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "init.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_text(struct init_text text)
{
    require(strlen(setup_text(text)) == text.length && text.length < INIT_PATH_MAX);
}

/* Relative, and no part of it leads upwards. */
static void check_below_root(const char *path)
{
    require(*path != '\0' && *path != '/');
    for (const char *part = path; part != NULL; part = strchr(part, '/')) {
        part += *part == '/';
        require(strncmp(part, "..", 2) != 0 || (part[2] != '/' && part[2] != '\0'));
        require(*part != '/' && *part != '\0');
    }
}

static void walk(const struct init_setup *setup)
{
    const char *blob = (const char *)setup;
    check_text(setup->work_dir);
    check_text(setup->host_name);
    check_text(setup->domain_name);
    check_text(setup->init_command);
    require(setup_text(setup->work_dir)[0] == '/');
    if (strcmp(setup_text(setup->work_dir), "/") != 0)
        check_below_root(setup_text(setup->work_dir) + 1);
    const struct init_mount *mounts =
        (const struct init_mount *)(const void *)(blob + setup->mount_offset);
    unsigned tmpfs = 0;
    for (uint32_t i = 0; i < setup->mount_count; i++) {
        check_text(mounts[i].source);
        check_text(mounts[i].target);
        check_text(mounts[i].data);
        check_below_root(setup_text(mounts[i].target));
        require(mounts[i].kind == INIT_MOUNT_BIND || mounts[i].kind == INIT_MOUNT_TMPFS);
        if (mounts[i].kind == INIT_MOUNT_TMPFS)
            require(++tmpfs <= INIT_TMPFS_MAX &&
                    mounts[i].data.length < sizeof(self.tmpfs[0].data));
    }
    const struct init_link *links =
        (const struct init_link *)(const void *)(blob + setup->link_offset);
    for (uint32_t i = 0; i < setup->link_count; i++) {
        check_text(links[i].path);
        check_text(links[i].target);
        require(setup_text(links[i].path)[0] == '/');
        check_below_root(setup_text(links[i].path) + 1);
    }
    const struct init_text *masks =
        (const struct init_text *)(const void *)(blob + setup->mask_offset);
    for (uint32_t i = 0; i < setup->mask_count; i++) {
        check_text(masks[i]);
        require(setup_text(masks[i])[0] == '/');
    }
    const struct sock_filter *filter =
        (const struct sock_filter *)(const void *)(blob + setup->filter_offset);
    static struct sock_filter taken[INIT_FILTER_MAX];
    require(setup->filter_count <= INIT_FILTER_MAX);
    memcpy(taken, filter, setup->filter_count * sizeof(*filter));
    require((setup->flags & SETUP_SINGLE_ID) != 0 || (setup->uid != 0 && setup->gid != 0));
}

/* magic and size are given, so that most inputs get further. */
static void sign(uint8_t *data, size_t size)
{
    struct init_setup *setup = (struct init_setup *)(void *)data;
    if (size < sizeof(*setup))
        return;
    setup->magic = INIT_MAGIC;
    setup->size = (uint32_t)size;
}

/* A small blob that is valid: where mutations begin. */
static size_t example(uint8_t *data)
{
    static const char texts[] = "/usr\0usr\0w\0size=1m\0\0/dev/fd\0/proc/kcore\0/w\0host";
    struct {
        struct init_setup setup;
        struct init_mount mounts[2];
        struct init_link link;
        struct init_text mask;
        struct sock_filter filter[2];
        char texts[sizeof(texts)];
    } blob = {0};
    const uint32_t at = offsetof(__typeof__(blob), texts);
    const struct init_text usr = {at, 4}, usr_target = {at + 5, 3}, w = {at + 9, 1},
                           options = {at + 11, 7}, empty = {at + 19, 0}, fd = {at + 20, 7},
                           kcore = {at + 28, 11}, work = {at + 40, 2}, host = {at + 43, 4};
    blob.mounts[0] = (struct init_mount){INIT_MOUNT_BIND, 1, usr, usr_target, empty};
    blob.mounts[1] = (struct init_mount){INIT_MOUNT_TMPFS, 0, empty, w, options};
    blob.link = (struct init_link){fd, usr};
    blob.mask = kcore;
    memcpy(blob.texts, texts, sizeof(texts));
    blob.setup = (struct init_setup){
        .magic = INIT_MAGIC,
        .size = sizeof(blob),
        .uid = 1000,
        .gid = 1000,
        .mount_count = 2,
        .mount_offset = offsetof(__typeof__(blob), mounts),
        .link_count = 1,
        .link_offset = offsetof(__typeof__(blob), link),
        .mask_count = 1,
        .mask_offset = offsetof(__typeof__(blob), mask),
        .filter_count = 2,
        .filter_offset = offsetof(__typeof__(blob), filter),
        .work_dir = work,
        .host_name = host,
        .domain_name = host,
        .init_command = empty,
    };
    require(setup_valid(&blob.setup, sizeof(blob)));
    memcpy(data, &blob, sizeof(blob));
    return sizeof(blob);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    if (size < sizeof(struct init_setup) && max_size >= 1024)
        return example(data);
    size_t new_size = LLVMFuzzerMutate(data, size, max_size);
    if (seed % 16 != 0)
        sign(data, new_size);
    return new_size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1); /* aligned, and of exactly this size for ASan */
    require(copy != NULL);
    memcpy(copy, data, size);
    const struct init_setup *setup = (const struct init_setup *)(void *)copy;
    if (setup_valid(setup, size)) {
        self.setup = setup;
        walk(setup);
    }
    free(copy);
    return 0;
}

/* The description of a container that its init reads. */
#include "setup_blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/io.h"
#include "init/protocol.h"

static struct init_text put_text(struct buf *blob, const char *text)
{
    struct init_text result = {.offset = (uint32_t)blob->size, .length = (uint32_t)strlen(text)};
    buf_append(blob, text, strlen(text) + 1);
    return result;
}

/* Room for an array, aligned as its items are; returns its offset. */
static uint32_t put_array(struct buf *blob, size_t bytes)
{
    static const char zeros[8];
    buf_append(blob, zeros, (8 - blob->size % 8) % 8);
    uint32_t offset = (uint32_t)blob->size;
    char *room = buf_extend(blob, bytes);
    if (room != NULL)
        memset(room, 0, bytes);
    return offset;
}

/* Texts move the buffer, so items are filled in a copy and put back. */
static void put_mounts(struct buf *blob, struct init_setup *setup,
                       const struct mount_config *config)
{
    setup->mount_count = (uint32_t)config->mount_count;
    setup->mount_offset = put_array(blob, config->mount_count * sizeof(struct init_mount));
    for (size_t i = 0; i < config->mount_count; i++) {
        const struct mount_item *item = &config->mounts[i];
        struct init_mount mount = {
            .kind = item->kind == MOUNT_BIND ? INIT_MOUNT_BIND : INIT_MOUNT_TMPFS,
            .read_only = item->read_only,
            .source = put_text(blob, item->source != NULL ? item->source : ""),
            .target = put_text(blob, item->target),
            .data = put_text(blob, item->data != NULL ? item->data : ""),
        };
        if (blob->failure == 0)
            memcpy(blob->data + setup->mount_offset + i * sizeof(mount), &mount, sizeof(mount));
    }
}

static void put_links(struct buf *blob, struct init_setup *setup, const struct mount_config *config)
{
    setup->link_count = (uint32_t)config->link_count;
    setup->link_offset = put_array(blob, config->link_count * sizeof(struct init_link));
    for (size_t i = 0; i < config->link_count; i++) {
        struct init_link link = {
            .path = put_text(blob, config->links[i].path),
            .target = put_text(blob, config->links[i].target),
        };
        if (blob->failure == 0)
            memcpy(blob->data + setup->link_offset + i * sizeof(link), &link, sizeof(link));
    }
}

static void put_masks(struct buf *blob, struct init_setup *setup, const struct mount_config *config)
{
    setup->mask_count = (uint32_t)config->mask_count;
    setup->mask_offset = put_array(blob, config->mask_count * sizeof(struct init_text));
    for (size_t i = 0; i < config->mask_count; i++) {
        struct init_text mask = put_text(blob, config->masks[i]);
        if (blob->failure == 0)
            memcpy(blob->data + setup->mask_offset + i * sizeof(mask), &mask, sizeof(mask));
    }
}

static int sealed(const struct buf *blob, int *out, struct cj_error *err)
{
    auto_fd int fd = memfd_create("cjudge-setup", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || write_full(fd, blob->data, blob->size) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return error_errno(err, "write the container's description");
    *out = fd_take(&fd);
    return 0;
}

static uint32_t put_filter(struct buf *blob, const struct seccomp_filter *filter)
{
    uint32_t offset = put_array(blob, 0);
    buf_append(blob, filter->code, filter->count * sizeof(struct sock_filter));
    return offset;
}

int setup_blob_make(const struct mount_config *mounts, const struct setup_filter *programs,
                    const struct setup_filter *warm, uint32_t flags, int *fd, struct cj_error *err)
{
    const struct seccomp_filter *filter = &programs->filter;
    if (filter->count > INIT_FILTER_MAX)
        return error_set(err, ERROR_CONFIG, 0,
                         "the system-call filter has %zu instructions, the "
                         "kernel takes 4096",
                         filter->count);
    auto_buf struct buf blob = {.limit = INIT_SETUP_SIZE_MAX};
    struct init_setup setup = {
        .magic = INIT_MAGIC,
        .flags = flags | (mounts->proc ? SETUP_PROC : 0) |
                 (mounts->proc_writable ? SETUP_PROC_WRITABLE : 0) |
                 (filter->inherited ? SETUP_FILTER_INHERITED : 0),
        .uid = mounts->uid,
        .gid = mounts->gid,
        .clone3_args_address = programs->clone3_args_address,
    };
    put_array(&blob, sizeof(setup));
    put_mounts(&blob, &setup, mounts);
    put_links(&blob, &setup, mounts);
    put_masks(&blob, &setup, mounts);
    setup.filter_count = (uint32_t)filter->count;
    setup.filter_offset = put_filter(&blob, filter);
    if (warm != NULL) {
        setup.warm_filter_count = (uint32_t)warm->filter.count;
        setup.warm_filter_offset = put_filter(&blob, &warm->filter);
        setup.warm_clone3_args_address = warm->clone3_args_address;
    }
    setup.work_dir = put_text(&blob, mounts->work_dir);
    setup.host_name = put_text(&blob, mounts->host_name);
    setup.domain_name = put_text(&blob, mounts->domain_name);
    setup.init_command = put_text(&blob, mounts->init_command);
    setup.size = (uint32_t)blob.size;
    if (buf_check(&blob, err) < 0)
        return error_wrap(err, "describe the container");
    memcpy(blob.data, &setup, sizeof(setup));
    return sealed(&blob, fd, err);
}

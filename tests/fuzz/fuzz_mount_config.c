/* mount.yaml through the YAML tree: what is accepted keeps the header's promises. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "sandbox/mount_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Absolute, clean, and never upwards. */
static void check_path(const char *path)
{
    require(path[0] == '/' && strstr(path, "//") == NULL && strstr(path, "/./") == NULL);
    for (const char *part = path; part != NULL; part = strchr(part + 1, '/'))
        require(strncmp(part, "/..", 3) != 0 || (part[3] != '/' && part[3] != '\0'));
}

static void check(const struct mount_config *config)
{
    for (size_t i = 0; i < config->mount_count; i++) {
        const struct mount_item *mount = &config->mounts[i];
        char target[8192] = "/";
        require(strlen(mount->target) > 0 && strlen(mount->target) < sizeof(target) - 2);
        strcat(target, mount->target);
        check_path(target);
        require(mount->data != NULL && mount->source != NULL);
        require(mount->kind == MOUNT_TMPFS || mount->source[0] == '/');
    }
    for (size_t i = 0; i < config->link_count; i++) {
        check_path(config->links[i].path);
        require(config->links[i].target[0] != '\0');
    }
    for (size_t i = 0; i < config->mask_count; i++)
        check_path(config->masks[i]);
    check_path(config->work_dir);
    require(strlen(config->host_name) <= 64 && strlen(config->domain_name) <= 64);
    require(config->init_command != NULL && config->uid != 0 && config->gid != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int file = -1;
    if (file < 0) {
        log_silence();
        file = memfd_create("mount.yaml", MFD_CLOEXEC);
        require(file >= 0);
    }
    require(ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    struct mount_config config = {0};
    struct cj_error err = {0};
    if (mount_config_load(path, "size=1m", &config, &err) < 0) {
        require(err.message[0] != '\0' && config.mounts == NULL);
        return 0;
    }
    check(&config);
    mount_config_free(&config);
    return 0;
}

/* What a container's file system looks like: mount.yaml, or the built-in table. */
#ifndef CJ_SANDBOX_MOUNT_CONFIG_H
#define CJ_SANDBOX_MOUNT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

enum mount_kind { MOUNT_BIND, MOUNT_TMPFS };

struct mount_item {
    enum mount_kind kind;
    bool read_only; /* bind only */
    char *source;   /* bind: absolute host path */
    char *target;   /* below the container's root, without leading '/' */
    char *data;     /* tmpfs: options, such as "size=128m,nr_inodes=4k"; never NULL */
};

struct symlink_item {
    char *path;   /* absolute, in the container */
    char *target; /* what the link says */
};

/* Every string is heap memory of the struct's own and never NULL. */
struct mount_config {
    struct mount_item *mounts; /* in mounting order; binds whose source is missing are left out */
    size_t mount_count;
    struct symlink_item *links;
    size_t link_count;
    char **masks; /* absolute paths in the container */
    size_t mask_count;
    bool proc; /* mount /proc, last */
    bool proc_writable;
    char *work_dir; /* absolute; default "/w" */
    char *host_name;
    char *domain_name;
    char *init_command; /* shell words, run once in each container; "" = none */
    uint32_t uid, gid;  /* of programs, inside; never 0 */
};

/* The built-in table. tmpfs_data: options of /w, /tmp and /dev/shm ("size=128m,nr_inodes=4k"). */
WARN_UNUSED int mount_config_default(const char *tmpfs_data, struct mount_config *out,
                                     struct cj_error *err);

/* Reads path; a file that does not exist gives the built-in table. Errors (ERROR_CONFIG) name the file,
 * the line and the key. Relative bind sources count from the current directory. A tmpfs without a cap
 * of its own on bytes or inodes gets that of tmpfs_data. */
WARN_UNUSED int mount_config_load(const char *path, const char *tmpfs_data,
                                  struct mount_config *out, struct cj_error *err);

/* Shows a host path, read-only, in its own place, unless a mount of the config shows it already. */
WARN_UNUSED int mount_config_show(struct mount_config *config, const char *path,
                                  struct cj_error *err);

/* Shows a host folder, read-only, at another place (absolute). */
WARN_UNUSED int mount_config_show_at(struct mount_config *config, const char *path,
                                     const char *target, struct cj_error *err);

void mount_config_free(struct mount_config *config);

#endif

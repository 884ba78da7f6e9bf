/* The strings of a mount configuration: checked, and made into what init can take as it is. Each
 * replaces *out (heap, or NULL before) and gives a reason without a place as error. */
#ifndef CJ_SANDBOX_MOUNT_TEXT_H
#define CJ_SANDBOX_MOUNT_TEXT_H

#include "base/attr.h"
#include "base/error.h"

typedef int mount_text_fn(const char *text, char **out, struct cj_error *err);

mount_text_fn mount_text_copy;

/* "/a//b/./c/" and "a/b/c" become "/a/b/c": the container's root is where a path begins. Refuses
 * "..", which would depend on symlinks, and what is too long for the kernel. */
mount_text_fn mount_text_path;

/* As mount_text_path(), but not the root itself. */
mount_text_fn mount_text_path_below_root;

/* As mount_text_path_below_root(), without the '/' at the start. */
mount_text_fn mount_text_target;

/* An absolute host path; a relative one counts from the current directory. */
mount_text_fn mount_text_host_path;

/* What a symlink says: 1 to PATH_MAX - 1 bytes. */
mount_text_fn mount_text_link_target;

/* Options of tmpfs(5) that limit it, with values above zero: size, nr_blocks, nr_inodes, mode. */
mount_text_fn mount_text_tmpfs_data;

/* Adds to checked options those of defaults that limit what they leave open: bytes, and inodes. */
WARN_UNUSED int mount_text_tmpfs_caps(const char *defaults, char **options, struct cj_error *err);

/* At most 64 bytes, sethostname(2). */
mount_text_fn mount_text_host_name;

#endif

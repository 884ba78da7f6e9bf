/* The files that a preparation has made: on their way out of its container, and in our folder.
 *
 * What comes out of a container is a program's: regular files and folders only, no link is followed and no mount
 * entered, and there is a bound to how many there are, how large and how deep. For src/judge/prepared.c. */
#ifndef CJ_JUDGE_PREPARED_FILES_H
#define CJ_JUDGE_PREPARED_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

enum { PREPARED_ENTRIES_MAX = 20000, PREPARED_DEPTH_MAX = 16 };

/* Makes the folder `name` (relative, "a/b/") below to_fd, with what is in from_fd: modes 0755 and 0644, executable files
 * 0755, with their times of change. *bytes_left: what they may have in all; what they have is taken off. */
WARN_UNUSED int prepared_files_copy(int from_fd, int to_fd, const char *name, uint64_t *bytes_left,
                                    struct cj_error *err);

/* What lies in a folder, as it was when that was looked at. */
struct prepared_files;

/* All that is below dir_fd. */
WARN_UNUSED int prepared_files_look(int dir_fd, struct prepared_files **out, struct cj_error *err);
/* Whether that is still there, untouched, and nothing else. */
bool prepared_files_same(const struct prepared_files *files, int dir_fd);
void prepared_files_free(struct prepared_files *files); /* NULL is fine */

#endif

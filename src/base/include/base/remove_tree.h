/* Taking away what others have put into a folder of ours, however deep it is.
 *
 * Nothing outside is reached: no symbolic link is followed, and no mount is entered (openat2(2), RESOLVE_NO_XDEV);
 * where something is mounted, that part stays, and what it lies in. */
#ifndef CJ_BASE_REMOVE_TREE_H
#define CJ_BASE_REMOVE_TREE_H

#include "base/attr.h"

/* All that is in the directory, which is open for reading, but the entry of that name (NULL: none). -1: something
 * is left; errno says why the last of it is. */
WARN_UNUSED int remove_tree_in(int dir_fd, const char *but);

/* The entry of that name: a file, or a directory with all that is in it. Gone already is fine. */
WARN_UNUSED int remove_tree(int dir_fd, const char *name);

/* Opens a directory for reading by its name in dir_fd: no link, no mount. -1 with errno. */
WARN_UNUSED int remove_tree_open(int dir_fd, const char *name);

#endif

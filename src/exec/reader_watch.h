/* Learning that the reader of a pipe has left, while holding the pipe open for reading oneself.
 *
 * A pipe has a broken end only when its last reader closes it, so whoever keeps a spare read end to save
 * the writer from that is not told any more that the others have gone. inotify(7) tells: a read end's
 * open file description that is closed for good is IN_CLOSE_NOWRITE of the pipe's inode. As long as
 * nobody has opened the pipe anew (IN_OPEN; a program can, by its name in /proc), that was the reader. */
#ifndef CJ_EXEC_READER_WATCH_H
#define CJ_EXEC_READER_WATCH_H

#include <stdbool.h>

#include "base/attr.h"

/* The calling thread's instance: for poll(2), closed when the thread ends. What was to be told about pipes
 * that are no longer watched is gone. -1 where the kernel does not tell such things of pipes. */
int reader_watch_fd(void);

/* Watches the pipe that end belongs to. Returns the watch, or -1. End it before the pipe's last end is
 * closed, or it keeps the pipe. */
int reader_watch_add(int watch_fd, int end);
void reader_watch_remove(int watch_fd, int watch);

/* Calls tell for everything that has happened: watch was opened anew, or else a reader has closed it. -1:
 * any of them may have been opened (too much has happened at once). */
void reader_watch_take(int watch_fd, void (*tell)(void *arg, int watch, bool opened), void *arg);

#endif

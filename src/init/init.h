/* Private to cjudge-init: its state, and what each file gives the others. */
#ifndef CJ_INIT_INIT_H
#define CJ_INIT_INIT_H

#include <linux/capability.h>
#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "init/protocol.h"

/* A writable tmpfs of the container, and what it looked like when it was fresh. */
struct tmpfs {
    char target[INIT_PATH_MAX]; /* absolute, inside */
    char data[256];
    bool pinned; /* other mounts lie in it: it cannot be mounted anew */
    bool
        filled; /* ... and the init command has left something there that runs may change in place */
    int dir_fd; /* its root directory */
    struct stat fresh;
    uint64_t fresh_blocks, fresh_files;
};

struct init {
    const struct init_setup *setup; /* private copy of the sealed blob, checked */
    char *arena;
    const char *work_dir;
    int root_fd; /* "/" of the container */
    int proc_fd; /* a /proc of our own that no program can reach (it is writable) */
    int kept
        [INIT_KEPT_COUNT]; /* open while the container stands; outputs for reading and writing */
    int kept_dir;          /* what is kept, by number, on a read-only mount that only init holds */
    int kept_make_dir;     /* the same, writable */
    int cgroup_fd;         /* v2: where to clone into; -1 */
    int sockets_fd;     /* /proc/net/sockstat of the network namespace; -1: shared with the host */
    long sockets_fresh; /* how many it tells of when no run has been */
    int traffic_fd;     /* /proc/net/dev, where loopback is up; -1 */
    char traffic_fresh[512];
    int mqueue_fd;           /* root of the IPC namespace's message queues; -1 */
    off_t mqueue_fresh_size; /* its size while there are none */
    struct tmpfs tmpfs[INIT_TMPFS_MAX];
    unsigned tmpfs_count;
    struct sock_fprog filter;
    struct sock_fprog warm_filter; /* of interpreters that are kept warm */
    int starting; /* atomic: a process has been cloned that is still on our memory */
};

extern struct init self;

/* Ends init, and with it the container. Says why on stderr when there is a reason. */
__attribute__((noreturn)) void give_up(const char *why);

/* setup.c */

/* The text of the setup blob, always NUL-terminated. */
const char *setup_text(struct init_text text);
/* Checks the blob: every offset, count and NUL. */
bool setup_valid(const struct init_setup *setup, size_t size);
/* Builds the container around the calling process. Returns 0, or -1 with errno and the step's name. */
int setup_container(const char **step);
/* Of the calling thread: nothing that it executes gets a capability. Where interpreters are kept warm only their
 * keeper may hand some on: those. */
int setup_lock_capabilities(void);
#define WARM_INHERITABLE ((uint64_t)(1U << CAP_SETUID | 1U << CAP_SETGID | 1U << CAP_SYS_ADMIN))
/* Notes what failed for setup_container()'s caller. Returns -1 and keeps errno. */
__attribute__((format(printf, 1, 2))) int setup_fail(const char *format, ...);

/* mounts.c: functions that return int say 0, or -1 with errno; _build also with setup_fail(). */

/* Builds the container's file system and makes it the root of the mount namespace. */
int mounts_build(void);
/* Mounts tmpfs number i, empty, and remembers what fresh looks like. */
int mounts_make_tmpfs(unsigned i);
/* Mounts the tmpfs from number first to the last again, empty, in their order, so that the table of
 * mounts looks as it did; remembers what fresh looks like. */
int mounts_remount_tmpfs(unsigned first);
/* The one that is the work directory; NULL. */
struct tmpfs *mounts_work(void);
/* Takes what the tmpfs looks like now for fresh. */
void mounts_remember_fresh(struct tmpfs *tmpfs);
/* mount_setattr(2): sets attributes (MOUNT_ATTR_*) of the mount that fd is the root of. */
int mounts_set_attributes(int fd, unsigned flags, uint64_t attributes);

/* kept.c */

/* Makes the mounts of what is kept. Both borrow the directory "proc" of the working directory, on which
 * nothing may be mounted yet. Return 0, or -1 after setup_fail(). */
int kept_make_all(void);
int kept_watch_queues(void);
/* Makes what is kept under that number anew. Returns 0, or -1 with errno. */
int kept_make(enum init_kept number);

/* made.c: the launcher's thread only, but for the first and the last */

/* A name in the work directory; size bytes can be read from it. Pure. */
bool made_name_valid(const char *name, size_t size);
/* Makes the file, which must not be there. Returns 0, or -1 with errno; then made_end() ends what was made
 * before it. */
int made_open(const char *name);
/* All have been made. */
void made_ready(void);
/* In the program's process: the file of that number, for writing. */
int made_open_again(unsigned number);
/* The run has ended, or was none: hands what the files hold to the service, and takes them out where nothing else
 * has changed. out: INIT_MADE_MAX of them, zeroed. */
void made_end(uint32_t sequence, struct init_made *out);
/* The janitor's: inodes of the files that are there now, 0 of others. Whoever asks has to look whether they are in the work
 * directory: a run that ends meanwhile leaves numbers of other files. */
void made_inodes(uint64_t inodes[static INIT_MADE_MAX]);

/* launch.c */

__attribute__((noreturn)) void launcher_main(void);

/* request.c */

/* Offsets of the arena become pointers in place; NULL when one is not from begin to used, or no 0 follows. */
char **launch_pointers(uint64_t *offsets, uint32_t count, uint64_t begin, uint32_t used);

/* symbols.c */

struct stub_python; /* stub.h */
/* All but text. False, and zeroes, when the process is no CPython. */
bool symbols_find_python(pid_t pid, struct stub_python *out);

/* siblings.c: a filter on top of the other one */

enum { NO_SIBLINGS_COUNT = 6, NO_CLONE3_COUNT = 8 };
extern const struct sock_filter no_siblings[NO_SIBLINGS_COUNT];
/* The same, and clone3(2) is refused wherever its arguments lie. */
extern const struct sock_filter no_clone3[NO_CLONE3_COUNT];

/* warm.c: programs that have begun before their run */

/* Starts the thread, where the setup wants it. Before the launcher filters itself. */
void warm_start_keeper(void);
/* The janitor's: INIT_OP_WARM. group_fd: what came with it, which stays the caller's; -1. */
void warm_ask(const struct init_request *request, int group_fd, struct init_answer *answer);
/* Sockets that stand open for them. */
unsigned warm_sockets(void);
/* The launcher's thread only, from here on. A process has been reaped, whoever it was. */
void warm_ended(pid_t pid);
/* Bit i: number i is there. */
uint32_t warm_alive(void);
/* Bit i: in number i a process waits to be the next run. */
uint32_t warm_waiting(void);
bool warm_any(void);
/* Gives the request to the process that waits in number, which then is the run: returns its pid and the socket to
 * ask warm_has_begun(); 0: there is none, and nothing has begun. sources: descriptors by number, -1: closed. */
pid_t warm_hand_over(unsigned number, const struct init_exec *request, const int *sources,
                     int *socket);
/* When it has ended: whether it was the program that ran. Closes the socket. */
bool warm_has_begun(int socket);
/* Any thread's: SIGKILL to who has been given a request, while he may not be the run yet. */
void warm_kill_handed(void);
/* It is not to be trusted any more. */
void warm_give_up(unsigned number);

/* files.c */

__attribute__((noreturn)) void janitor_main(void);
/* SIGKILL to every process of a run, and to no interpreter that is kept warm for others. */
void files_kill_run(void);
/* Whether a tmpfs, or what is in it, may be another than mounts_remember_fresh() saw. */
bool files_touched(const struct tmpfs *tmpfs);
/* Which parts of the container the last run has touched: enum init_dirt bits. */
uint32_t files_dirt(void);
/* Remembers what the network namespace looks like when no run has been. */
void files_remember_network(void);
/* Cleans what dirt (enum init_dirt) names. Empties the tmpfs mounts of the mask (enum init_dirt): a few plain files are removed, anything more
 * is mounted anew. Returns 0, or -1 with errno: the container has to be replaced. */
int files_reset(uint32_t dirt);
/* The same. *held: whether the held file is to stay; then, whether it does. */
int files_reset_around_held(uint32_t dirt, bool *held);

/* held.c: the janitor's thread, between runs */

/* Holds the file, which is there; path: in the work directory itself, without '/' in front. Another one is not held any
 * more. Returns 0, or -1 with errno: EOPNOTSUPP where none can be held. */
int held_begin(const char *path);
/* Notes whether the run did more with it than to execute it. The launcher's thread, when all of the run's processes are
 * reaped. */
void held_run_ended(void);
/* Whether one did. Also the launcher's thread. */
bool held_touched(void);
/* Whether it lies in that tmpfs, untouched; *now is what it is. */
bool held_is_there(const struct tmpfs *tmpfs, struct stat *now);
bool held_is(const char *name);
/* From here on it is a file like others. */
void held_forget(void);
void held_forget_in(const struct tmpfs *tmpfs); /* if it lies there */
/* The tmpfs that it lies in, as a bit of enum init_dirt; 0: there is none. */
uint32_t held_dirt(void);

/* look.c: where no control group has the figures */

/* A run begins: notes what stands in files already. */
void look_begin(void);
/* Bytes that the run has more in files than when it began. */
uint64_t look_files(void);
/* INIT_OP_LOOK. */
void look_around(struct init_answer *answer);

/* own.c: where programs have our uid */

/* Remembers what init is like when no run has been. */
void own_remember(void);
/* Whether a run has changed it. */
bool own_changed(void);

/* message.c */

/* Receives one whole message of exactly size bytes and at most fd_max descriptors into fds.
 * Returns the number of descriptors; -1 at end of file; a malformed message ends init. */
int message_receive(int socket, void *message, size_t size, int *fds, int fd_max);
void message_send(int socket, const void *message, size_t size, int fd);

#endif

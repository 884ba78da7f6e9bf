/* cjudge-init: pid 1 of a container.
 *
 *   spawner (host) ── clone3(new user, mount, pid, net, ipc, uts namespaces) ──► this program
 *       │                                                                            │
 *       │ parent-death signal: the spawner's death ends us, ours the pid namespace   │
 *       ▼                                                                            ▼
 *   service: slot ── INIT_FD_RUN ──────────────► launcher thread (pid 1's main thread)
 *             │                                    filtered; vfork-like clone of each run's process,
 *             │                                    waits for it, kills and reaps what it left
 *             └──── INIT_FD_FILES ─────────────► janitor thread
 *                                                  unfiltered; opens files beneath the root, empties
 *                                                  tmpfs mounts, kills on demand
 *
 * Both threads are root of the container's user namespace and of nothing else; on the host they are
 * an unprivileged uid. Programs run as another uid, without capabilities, so they can neither trace,
 * signal nor read this process (it is undumpable and pid 1 of their namespace, pid_namespaces(7)).
 * Everything that runs inside the container before the user's execve(2) is in this folder. */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init.h"

struct init self = {.root_fd = -1,
                    .proc_fd = -1,
                    .cgroup_fd = -1,
                    .mqueue_fd = -1,
                    .sockets_fd = -1,
                    .traffic_fd = -1};

void give_up(const char *why)
{
    dprintf(STDERR_FILENO, "cjudge-init: %s: %s\n", why, strerror(errno));
    _exit(70); /* exit_group: both threads, and with pid 1 the whole namespace */
}

/* The blob is sealed, so what was checked stays as it is; a private copy costs nothing more. */
static void load_setup(void)
{
    off_t size = lseek(INIT_FD_SETUP, 0, SEEK_END);
    if (size < (off_t)sizeof(struct init_setup) || size > INIT_SETUP_SIZE_MAX)
        give_up("setup has a wrong size");
    char *copy = malloc((size_t)size);
    if (copy == NULL || pread(INIT_FD_SETUP, copy, (size_t)size, 0) != size)
        give_up("read setup");
    self.setup = (const struct init_setup *)copy;
    if (!setup_valid(self.setup, (size_t)size))
        give_up("setup is not valid");
    close(INIT_FD_SETUP);
}

static void map_arena(void)
{
    self.arena = mmap(NULL, INIT_ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, INIT_FD_ARENA, 0);
    if (self.arena == MAP_FAILED)
        give_up("map arena");
    close(INIT_FD_ARENA);
}

/* Nothing of ours may end in a program by accident; nothing may end init but its own decision. */
static void harden(void)
{
    if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        give_up("prctl");
    if (syscall(SYS_close_range, INIT_FD_FIRST_FREE, ~0U, 0) < 0)
        give_up("close_range");
    for (int fd = INIT_FD_RUN; fd < INIT_FD_FIRST_FREE; fd++)
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
            give_up("a descriptor is missing");
    if (setsid() < 0) /* programs must not be in the session of whoever started the service */
        give_up("setsid");
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int signal_number = 1; signal_number < NSIG; signal_number++)
        signal(signal_number, SIG_DFL); /* an ignored one would be inherited by programs */
    umask(0);
    if (personality(PER_LINUX) < 0) /* such as ADDR_NO_RANDOMIZE: programs would inherit it */
        give_up("personality");
}

static void *janitor_thread(void *nothing)
{
    (void)nothing;
    janitor_main();
}

static void start_janitor(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    if (pthread_attr_init(&attributes) != 0 ||
        pthread_attr_setstacksize(&attributes, 128 * 1024) != 0 ||
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) != 0)
        give_up("thread attributes");
    errno = pthread_create(&thread, &attributes, janitor_thread, NULL);
    if (errno != 0)
        give_up("start the janitor");
}

int main(void)
{
    if (getpid() != 1) {
        dprintf(STDERR_FILENO, "cjudge-init: started by cjudge only, as pid 1 of a container\n");
        return 64;
    }
    harden();
    load_setup();
    map_arena();
    memset(self.kept, -1, sizeof(self.kept));

    struct init_ready ready = {.magic = INIT_MAGIC};
    const char *step = "";
    if (setup_container(&step) < 0) {
        ready.failed = 1;
        ready.error = errno;
        snprintf(ready.step, sizeof(ready.step), "%s", step);
        message_send(INIT_FD_RUN, &ready, sizeof(ready), -1);
        return 71;
    }
    warm_start_keeper();
    start_janitor();
    launcher_main();
}

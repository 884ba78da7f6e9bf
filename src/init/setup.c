/* Makes the calling process a container's init: checks its description, has the mounts built, takes
 * shares of the kernel's quotas, and gives away what programs must not have.
 *
 * Runs once, as root of the new user namespace. Every capability used here is one over the container's
 * own namespaces. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init.h"

/* What failed, with its object, for the service's error text. */
static char step_text[240];

int setup_fail(const char *format, ...)
{
    int saved_errno = errno;
    va_list args;
    va_start(args, format);
    vsnprintf(step_text, sizeof(step_text), format, args);
    va_end(args);
    errno = saved_errno;
    return -1;
}

/* ---- the blob ---- */

const char *setup_text(struct init_text text)
{
    return (const char *)self.setup + text.offset;
}

static bool text_valid(const struct init_setup *setup, struct init_text text)
{
    const char *blob = (const char *)setup;
    return text.offset <= setup->size && text.length < setup->size - text.offset &&
           text.length < INIT_PATH_MAX && blob[text.offset + text.length] == '\0' &&
           memchr(blob + text.offset, '\0', text.length) == NULL;
}

static bool array_valid(const struct init_setup *setup, uint32_t offset, uint32_t count,
                        uint32_t item_size)
{
    return offset % 8 == 0 && offset <= setup->size && count <= (setup->size - offset) / item_size;
}

/* Relative, without empty, "." or ".." parts: it cannot leave the root. */
static bool target_valid(const char *target)
{
    if (*target == '\0')
        return false;
    for (const char *part = target;; part++) {
        size_t length = strcspn(part, "/");
        if (length == 0 || (length == 1 && part[0] == '.') ||
            (length == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        part += length;
        if (*part == '\0')
            return true;
    }
}

/* The same below the container's root. */
static bool absolute_valid(const char *path)
{
    return *path == '/' && target_valid(path + 1);
}

/* Inside, 0 is init itself, and -1 leaves setresuid(2) without effect: neither is for programs. */
static bool id_valid(uint32_t id)
{
    return id != 0 && id != UINT32_MAX;
}

bool setup_valid(const struct init_setup *setup, size_t size)
{
    const char *blob = (const char *)setup;
    if (size < sizeof(*setup) || setup->magic != INIT_MAGIC || setup->size != size ||
        setup->flags >= SETUP_FLAGS_END)
        return false;
    if ((setup->flags & SETUP_SINGLE_ID) == 0 && (!id_valid(setup->uid) || !id_valid(setup->gid)))
        return false;
    if (!array_valid(setup, setup->mount_offset, setup->mount_count, sizeof(struct init_mount)) ||
        !array_valid(setup, setup->link_offset, setup->link_count, sizeof(struct init_link)) ||
        !array_valid(setup, setup->mask_offset, setup->mask_count, sizeof(struct init_text)) ||
        !array_valid(setup, setup->filter_offset, setup->filter_count,
                     sizeof(struct sock_filter)) ||
        !array_valid(setup, setup->warm_filter_offset, setup->warm_filter_count,
                     sizeof(struct sock_filter)) ||
        setup->filter_count > INIT_FILTER_MAX || setup->warm_filter_count > INIT_FILTER_MAX)
        return false;
    if (!text_valid(setup, setup->work_dir) || !text_valid(setup, setup->host_name) ||
        !text_valid(setup, setup->domain_name) || !text_valid(setup, setup->init_command))
        return false;
    const char *work_dir = blob + setup->work_dir.offset;
    if (strcmp(work_dir, "/") != 0 && !absolute_valid(work_dir))
        return false;
    const struct init_mount *mounts = (const struct init_mount *)(blob + setup->mount_offset);
    unsigned tmpfs_count = 0;
    for (uint32_t i = 0; i < setup->mount_count; i++) {
        if (mounts[i].kind != INIT_MOUNT_BIND && mounts[i].kind != INIT_MOUNT_TMPFS)
            return false;
        if (!text_valid(setup, mounts[i].source) || !text_valid(setup, mounts[i].target) ||
            !text_valid(setup, mounts[i].data) || !target_valid(blob + mounts[i].target.offset))
            return false;
        if (mounts[i].kind == INIT_MOUNT_TMPFS &&
            (mounts[i].data.length >= sizeof(self.tmpfs[0].data) || ++tmpfs_count > INIT_TMPFS_MAX))
            return false;
    }
    const struct init_link *links = (const struct init_link *)(blob + setup->link_offset);
    for (uint32_t i = 0; i < setup->link_count; i++)
        if (!text_valid(setup, links[i].path) || !text_valid(setup, links[i].target) ||
            !absolute_valid(blob + links[i].path.offset))
            return false;
    const struct init_text *masks = (const struct init_text *)(blob + setup->mask_offset);
    for (uint32_t i = 0; i < setup->mask_count; i++)
        if (!text_valid(setup, masks[i]) || !absolute_valid(blob + masks[i].offset))
            return false;
    return true;
}

/* ---- the rest ---- */

/* No user namespace can be made below ours: namespaces(7), /proc/sys/user/. The private /proc is the
 * only way to this file. */
static int forbid_user_namespaces(void)
{
    int fd = openat(self.proc_fd, "sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0", 1) != 1)
        return setup_fail("set user.max_user_namespaces to 0");
    close(fd);
    return 0;
}

/* A network namespace of the host's, kept on demand, is never clean. */
static int watch_network(void)
{
    if ((self.setup->flags & SETUP_SHARED_NET) != 0)
        return 0;
    self.sockets_fd = openat(self.proc_fd, "self/net/sockstat", O_RDONLY | O_CLOEXEC);
    if (self.sockets_fd < 0)
        return setup_fail("open /proc/net/sockstat");
    if ((self.setup->flags & SETUP_LOOPBACK) != 0) {
        self.traffic_fd = openat(self.proc_fd, "self/net/dev", O_RDONLY | O_CLOEXEC);
        if (self.traffic_fd < 0)
            return setup_fail("open /proc/net/dev");
    }
    files_remember_network();
    return 0;
}

static int set_names(void)
{
    const char *host = setup_text(self.setup->host_name);
    const char *domain = setup_text(self.setup->domain_name);
    if (sethostname(host, strlen(host)) < 0 || setdomainname(domain, strlen(domain)) < 0)
        return setup_fail("set the host name");
    return 0;
}

static int bring_loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0)
        return setup_fail("look at lo");
    request.ifr_flags |= IFF_UP;
    if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        return setup_fail("bring lo up");
    close(fd);
    return 0;
}

/* What the kernel counts for each user it also counts for the user who made the user namespace, which is
 * one for all containers (user_namespaces(7), since Linux 5.14 also rlimits): so each container gets a
 * share that leaves room for others. */
static int take_shares(void)
{
    static const struct {
        int resource;
        rlim_t most;
    } limits[] = {
        {RLIMIT_SIGPENDING, 2048}, /* queued signals, POSIX timers */
        {RLIMIT_MSGQUEUE, 256 * 1024},
        {RLIMIT_MEMLOCK, 1024 * 1024},
    };
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct rlimit limit;
        if (getrlimit(limits[i].resource, &limit) < 0)
            return setup_fail("read a resource limit");
        rlim_t share = limit.rlim_max < limits[i].most ? limit.rlim_max : limits[i].most;
        if (setrlimit(limits[i].resource, &(struct rlimit){share, share}) < 0)
            return setup_fail("set a resource limit");
    }
    static const char *const files[] = {"sys/user/max_inotify_instances",
                                        "sys/user/max_fanotify_groups"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        int fd = openat(self.proc_fd, files[i], O_WRONLY | O_CLOEXEC);
        if (fd < 0)
            continue; /* this kernel has no such quota */
        if (write(fd, "8", 1) != 1)
            return setup_fail("write 8 to /proc/%s", files[i]);
        close(fd);
    }
    return 0;
}

/* Of the calling thread; the bounding set still has them. */
static int set_inheritable(uint64_t wanted)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2];
    if (syscall(SYS_capget, &header, sets) < 0)
        return -1;
    sets[0].inheritable = (uint32_t)wanted;
    sets[1].inheritable = (uint32_t)(wanted >> 32);
    return (int)syscall(SYS_capset, &header, sets);
}

int setup_lock_capabilities(void)
{
    if (set_inheritable(0) < 0)
        return -1;
    return prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
                                        SECBIT_NO_CAP_AMBIENT_RAISE |
                                        SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED);
}

/* Programs get no capability back: not by execve(2) as uid 0, not from the bounding set. Init keeps
 * those it has, it never executes anything again. */
static int drop_for_programs(void)
{
    bool warm = (self.setup->flags & SETUP_WARM) != 0;
    if (warm && set_inheritable(WARM_INHERITABLE) < 0)
        return setup_fail("set the inheritable capabilities");
    for (int capability = 0; capability <= 63; capability++)
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 && errno != EINVAL)
            return setup_fail("drop capability %d from the bounding set", capability);
    if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED) < 0 ||
        (!warm && setup_lock_capabilities() < 0))
        return setup_fail("set securebits");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return setup_fail("set no_new_privs");
    return 0;
}

/* The operator's own preparation, as container root with a plain environment, once. */
static int run_init_command(const char *command)
{
    pid_t pid = fork();
    if (pid == 0) {
        char *const args[] = {(char[]){"/bin/sh"}, (char[]){"-c"}, (char *)(uintptr_t)command,
                              NULL};
        char *const environment[] = {(char[]){"PATH=/usr/local/bin:/usr/bin:/bin"}, NULL};
        if (chdir(self.work_dir) == 0)
            execve(args[0], args, environment);
        _exit(127);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return setup_fail("run the init command");
    if (status != 0) {
        errno = ECANCELED;
        return setup_fail("init command '%.100s' ended with status %d", command,
                          WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
    return 0;
}

/* Every run starts from the same state, the first one too: what the command left in a tmpfs stays only
 * where the whole container is made anew after each run. */
static int forget_init_command(void)
{
    uint32_t dirt = 0;
    for (unsigned i = 0; i < self.tmpfs_count; i++) {
        struct tmpfs *tmpfs = &self.tmpfs[i];
        if (tmpfs->pinned) {
            tmpfs->filled = files_touched(tmpfs);
            mounts_remember_fresh(tmpfs);
        } else {
            dirt |= (uint32_t)DIRT_TMPFS << i;
        }
    }
    return files_reset(dirt) < 0 ? setup_fail("empty the work directories") : 0;
}

int setup_container(const char **step)
{
    const struct init_setup *setup = self.setup;
    *step = step_text;
    self.work_dir = setup_text(setup->work_dir);
    self.filter = (struct sock_fprog){
        .len = (unsigned short)setup->filter_count,
        .filter = (struct sock_filter *)((char *)(uintptr_t)setup + setup->filter_offset),
    };
    self.warm_filter = self.filter;
    if (setup->warm_filter_count > 0)
        self.warm_filter = (struct sock_fprog){
            .len = (unsigned short)setup->warm_filter_count,
            .filter = (struct sock_filter *)((char *)(uintptr_t)setup + setup->warm_filter_offset),
        };
    if ((setup->flags & SETUP_CGROUP_NS) != 0 && unshare(CLONE_NEWCGROUP) < 0)
        return setup_fail("unshare the cgroup namespace");
    if (syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL) < 0 && errno != ENOSYS &&
        errno != EPERM)
        return setup_fail("join a new session keyring");
    if (mounts_build() < 0 || set_names() < 0 || forbid_user_namespaces() < 0)
        return -1;
    if ((setup->flags & SETUP_LOOPBACK) != 0 && bring_loopback_up() < 0)
        return -1;
    if (watch_network() < 0)
        return -1;
    if (setup->init_command.length > 0) {
        if (run_init_command(setup_text(setup->init_command)) < 0)
            return -1;
        if (forget_init_command() < 0)
            return -1;
    }
    if (chdir(self.work_dir) < 0) /* where programs begin */
        return setup_fail("enter the work directory %s", self.work_dir);
    return take_shares() < 0 ? -1 : drop_for_programs();
}

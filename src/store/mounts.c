/* Mounts that are nowhere in the tree.
 *
 * Copying a mount (open_tree(2)) is allowed only to who may mount in the mount namespace that it is in.
 * So a child goes into a mount namespace of its own, and, where we are not privileged, into a user namespace
 * first; it makes the copies there and hands their descriptors back. They are detached: they belong to
 * no namespace's tree, outlive the child, and go with their last descriptor.
 *
 *     store_open() ── fork ──► child: unshare, mount, open_tree, mount_setattr
 *                  ◄─ SCM_RIGHTS ── descriptors
 *
 * The process may have threads already: between fork and _exit the child makes system calls only. */
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

enum { VIEWS_MAX = 2 };

enum step {
    STEP_NONE,
    STEP_USER_NAMESPACE,
    STEP_MOUNT_NAMESPACE,
    STEP_ENTER,
    STEP_TMPFS,
    STEP_COPY,
    STEP_READ_ONLY,
};

static const char *const step_texts[] = {
    [STEP_NONE] = "the child died",
    [STEP_USER_NAMESPACE] = "make a user namespace",
    [STEP_MOUNT_NAMESPACE] = "make a mount namespace",
    [STEP_ENTER] = "enter the directory",
    [STEP_TMPFS] = "mount a tmpfs",
    [STEP_COPY] = "copy the mount (open_tree)",
    [STEP_READ_ONLY] = "make the copy read-only (mount_setattr)",
};

/* What the child is to do, laid out before the fork. */
struct order {
    bool own_user_namespace;
    int dir_fd;    /* the directory to be viewed; -1: a new tmpfs */
    char size[32]; /* tmpfs options */
    char inodes[32];
    char uid_map[48], gid_map[48];
};

struct report {
    enum step step; /* that failed; STEP_NONE: none did */
    int error;
};

/* ---- the child ---- */

static int write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t written = write(fd, text, strlen(text));
    close(fd);
    return written < 0 ? -1 : 0;
}

/* Our own id only: files then are made with it, and nobody gains rights. */
static int enter_user_namespace(const struct order *order)
{
    if (unshare(CLONE_NEWUSER) < 0)
        return -1;
    if (write_text("/proc/self/setgroups", "deny") < 0 && errno != ENOENT)
        return -1;
    return write_text("/proc/self/uid_map", order->uid_map) < 0 ||
                   write_text("/proc/self/gid_map", order->gid_map) < 0
               ? -1
               : 0;
}

/* Placed over "/", which is always there; this mount namespace ends with the child. */
static int mount_tmpfs(const struct order *order)
{
    int context = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    if (context < 0 ||
        syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "size", order->size, 0) < 0 ||
        syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "nr_inodes", order->inodes, 0) < 0 ||
        syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "mode", "0700", 0) < 0 ||
        syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -1;
    int mount_fd =
        (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    if (mount_fd < 0 ||
        syscall(SYS_move_mount, mount_fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -1;
    return fchdir(mount_fd);
}

static int copy_here(void)
{
    return (int)syscall(SYS_open_tree, AT_FDCWD, ".", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
}

/* NOATIME spares programs' reads a write; a user namespace may not change it where the host has locked it. */
static int make_read_only(int view)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                          MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOATIME,
                              .attr_clr = MOUNT_ATTR__ATIME};
    if (syscall(SYS_mount_setattr, view, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0)
        return 0;
    attr.attr_set &= ~(uint64_t)MOUNT_ATTR_NOATIME;
    attr.attr_clr = 0;
    return (int)syscall(SYS_mount_setattr, view, "", AT_EMPTY_PATH, &attr, sizeof(attr));
}

/* The views, the read-only one last. Returns their number, or -1. */
static int make_views(const struct order *order, int views[VIEWS_MAX], enum step *step)
{
    int count = 0;
    *step = STEP_USER_NAMESPACE;
    if (order->own_user_namespace && enter_user_namespace(order) < 0)
        return -1;
    /* The current directory follows into the new namespace's copy of the tree, a descriptor does not. */
    *step = STEP_ENTER;
    if (order->dir_fd >= 0 && fchdir(order->dir_fd) < 0)
        return -1;
    *step = STEP_MOUNT_NAMESPACE;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -1;
    *step = STEP_TMPFS;
    if (order->dir_fd < 0 && mount_tmpfs(order) < 0)
        return -1;
    *step = STEP_COPY;
    if (order->dir_fd < 0 && (views[count++] = copy_here()) < 0)
        return -1;
    if ((views[count++] = copy_here()) < 0)
        return -1;
    *step = STEP_READ_ONLY;
    if (make_read_only(views[count - 1]) < 0)
        return -1;
    *step = STEP_NONE;
    return count;
}

/* One message: the report, and the descriptors beside it. */
struct message {
    struct report report;
    struct iovec io;
    struct msghdr header;
    union {
        char bytes[CMSG_SPACE(VIEWS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
};

static void message_prepare(struct message *message)
{
    memset(message, 0, sizeof(*message));
    message->io = (struct iovec){.iov_base = &message->report, .iov_len = sizeof(message->report)};
    message->header.msg_iov = &message->io;
    message->header.msg_iovlen = 1;
}

static NORETURN void child_main(const struct order *order, int socket)
{
    struct message message;
    int views[VIEWS_MAX];
    message_prepare(&message);
    int count = make_views(order, views, &message.report.step);
    message.report.error = count < 0 ? errno : 0;
    if (count > 0) {
        size_t size = (size_t)count * sizeof(int);
        message.header.msg_control = message.control.bytes;
        message.header.msg_controllen = CMSG_SPACE(size);
        struct cmsghdr *control = CMSG_FIRSTHDR(&message.header);
        control->cmsg_level = SOL_SOCKET;
        control->cmsg_type = SCM_RIGHTS;
        control->cmsg_len = CMSG_LEN(size);
        memcpy(CMSG_DATA(control), views, size);
    }
    (void)!sendmsg(socket, &message.header, MSG_NOSIGNAL);
    _exit(0);
}

/* ---- the parent ---- */

/* Fills views with what came (the rest -1). */
static void receive(int socket, struct report *report, int views[VIEWS_MAX])
{
    struct message message;
    message_prepare(&message);
    message.header.msg_control = message.control.bytes;
    message.header.msg_controllen = sizeof(message.control);
    for (int i = 0; i < VIEWS_MAX; i++)
        views[i] = -1;
    ssize_t got;
    do
        got = recvmsg(socket, &message.header, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    *report = got == (ssize_t)sizeof(message.report)
                  ? message.report
                  : (struct report){.step = STEP_NONE, .error = EPROTO};
    const struct cmsghdr *control = got >= 0 ? CMSG_FIRSTHDR(&message.header) : NULL;
    if (control != NULL && control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_RIGHTS)
        memcpy(views, CMSG_DATA(control), control->cmsg_len - CMSG_LEN(0));
}

static int run_child(const struct order *order, int views[VIEWS_MAX], struct cj_error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_errno(err, "socketpair");
    auto_fd int ours = pair[0];
    auto_fd int theirs = pair[1];
    pid_t pid = fork();
    if (pid < 0)
        return error_errno(err, "fork");
    if (pid == 0)
        child_main(order, theirs);
    fd_close(&theirs);
    struct report report;
    receive(ours, &report, views);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    if (report.step == STEP_NONE && report.error == 0)
        return 0;
    for (int i = 0; i < VIEWS_MAX; i++)
        fd_close(&views[i]);
    return error_set(err, ERROR_SYSTEM, report.error, "%s: %s", step_texts[report.step],
                     strerror(report.error));
}

/* With our own privilege when there is some, else with that of a user namespace. */
static int make(struct order *order, int views[VIEWS_MAX], struct cj_error *err)
{
    snprintf(order->uid_map, sizeof(order->uid_map), "0 %u 1", geteuid());
    snprintf(order->gid_map, sizeof(order->gid_map), "0 %u 1", getegid());
    if (run_child(order, views, err) == 0)
        return 0;
    order->own_user_namespace = true;
    return run_child(order, views, err);
}

int mounts_read_only(const char *path, int dir_fd, int *out, struct cj_error *err)
{
    struct order order = {.dir_fd = dir_fd};
    int views[VIEWS_MAX];
    if (make(&order, views, err) < 0)
        return error_wrap(err, "a read-only view of %s", path);
    *out = views[0];
    return 0;
}

int mounts_tmpfs(uint64_t max_bytes, uint64_t inodes, int *writable, int *read_only,
                 struct cj_error *err)
{
    struct order order = {.dir_fd = -1};
    int views[VIEWS_MAX];
    snprintf(order.size, sizeof(order.size), "%llu", (unsigned long long)max_bytes);
    snprintf(order.inodes, sizeof(order.inodes), "%llu", (unsigned long long)inodes);
    if (make(&order, views, err) < 0)
        return error_wrap(err, "a tmpfs for the file store");
    *writable = views[0];
    *read_only = views[1];
    return 0;
}

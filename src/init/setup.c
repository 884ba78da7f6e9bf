/* Builds the container: a read-only view of the host, writable tmpfs, nothing else.
 *
 * Runs once, as root of the new user namespace. Every capability used here is one over the container's
 * own namespaces; the host's mounts are only copied (open_tree(2)), made read-only and nosuid, and
 * moved below a tmpfs root, after which the old root is gone. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init.h"

static const char *const container_root =
    "/tmp"; /* any directory of the host: covered, then left */

/* What failed, with its object, for the service's error text. */
static char step_text[240];

__attribute__((format(printf, 1, 2))) static int fail(const char *format, ...)
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
        setup->filter_count > INIT_FILTER_MAX)
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

/* ---- below the new root ---- */

static int open_beneath(int root_fd, const char *path, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
        .mode = mode,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    return (int)syscall(SYS_openat2, root_fd, *path ? path : ".", &how, sizeof(how));
}

/* Opens the directory that holds path's last part, making the directories that lead to it. Every step
 * stays below the root, also where a mounted tree holds symlinks. */
static int open_parent(int root_fd, const char *path, const char **last)
{
    char prefix[INIT_PATH_MAX];
    int parent = open_beneath(root_fd, "", O_PATH | O_DIRECTORY, 0);
    *last = path;
    for (const char *slash = strchr(path, '/'); slash != NULL && parent >= 0;
         slash = strchr(slash + 1, '/')) {
        size_t length = (size_t)(slash - path);
        memcpy(prefix, path, length);
        prefix[length] = '\0';
        int next = open_beneath(root_fd, prefix, O_PATH | O_DIRECTORY, 0);
        if (next < 0 && errno == ENOENT && mkdirat(parent, prefix + (*last - path), 0755) == 0)
            next = open_beneath(root_fd, prefix, O_PATH | O_DIRECTORY, 0);
        int saved_errno = errno;
        close(parent);
        errno = saved_errno;
        parent = next;
        *last = slash + 1;
    }
    return parent;
}

/* As close(2), keeping errno. */
static void close_quietly(int fd)
{
    int saved_errno = errno;
    close(fd);
    errno = saved_errno;
}

/* A place to mount on: a directory, or an empty file for a file. Returns an O_PATH descriptor. */
static int make_target(int root_fd, const char *target, bool directory)
{
    const char *last;
    int fd = open_beneath(root_fd, target, O_PATH, 0);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    int parent = open_parent(root_fd, target, &last);
    if (parent < 0)
        return -1;
    int made = directory ? mkdirat(parent, last, 0755)
                         : openat(parent, last, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    close_quietly(parent);
    if (made < 0)
        return -1;
    if (!directory)
        close(made);
    return open_beneath(root_fd, target, O_PATH, 0);
}

static int move_onto(int tree_fd, int target_fd)
{
    return (int)syscall(SYS_move_mount, tree_fd, "", target_fd, "",
                        MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static int set_attributes(int fd, unsigned flags, uint64_t attributes)
{
    struct mount_attr attr = {.attr_set = attributes};
    return (int)syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | flags, &attr, sizeof(attr));
}

/* ---- mounts ---- */

/* A detached copy of a host tree. AT_RECURSIVE also because a user namespace may not take a mount
 * without what is mounted on it (mount_namespaces(7)). */
static int copy_tree(const char *source)
{
    return (int)syscall(SYS_open_tree, AT_FDCWD, source,
                        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
}

static int bind_tree(int root_fd, int tree_fd, const struct init_mount *mount)
{
    struct stat info;
    if (fstat(tree_fd, &info) < 0)
        return -1;
    uint64_t attributes = MOUNT_ATTR_NOSUID;
    /* Devices work only where the operator's table names them, one by one or /dev itself. */
    const char *target = setup_text(mount->target);
    bool device = S_ISCHR(info.st_mode) || strcmp(target, "dev") == 0 ||
                  strncmp(target, "dev/", strlen("dev/")) == 0;
    if (!device)
        attributes |= MOUNT_ATTR_NODEV;
    /* A device on a read-only mount can still be written to, but the times and mode of its node, which
     * is the host's and shared by all containers, can no longer be changed. */
    if (S_ISCHR(info.st_mode))
        attributes |= MOUNT_ATTR_NOEXEC;
    if (mount->read_only || S_ISCHR(info.st_mode))
        attributes |= MOUNT_ATTR_RDONLY;
    if (set_attributes(tree_fd, AT_RECURSIVE, attributes) < 0)
        return -1;
    int target_fd = make_target(root_fd, target, S_ISDIR(info.st_mode));
    if (target_fd < 0)
        return -1;
    int result = move_onto(tree_fd, target_fd);
    int saved_errno = errno;
    close(target_fd);
    errno = saved_errno;
    return result;
}

static void remember_fresh(struct tmpfs *tmpfs)
{
    struct statfs space;
    fstat(tmpfs->dir_fd, &tmpfs->fresh);
    fstatfs(tmpfs->dir_fd, &space);
    tmpfs->fresh_blocks = (uint64_t)space.f_bfree;
    tmpfs->fresh_files = (uint64_t)space.f_ffree;
}

static int mount_tmpfs(struct tmpfs *tmpfs)
{
    return mount("tmpfs", tmpfs->target, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOATIME, tmpfs->data);
}

static int hold_tmpfs(struct tmpfs *tmpfs)
{
    tmpfs->dir_fd = open(tmpfs->target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (tmpfs->dir_fd < 0)
        return -1;
    remember_fresh(tmpfs);
    return 0;
}

int setup_mount_tmpfs(unsigned i)
{
    return mount_tmpfs(&self.tmpfs[i]) < 0 ? -1 : hold_tmpfs(&self.tmpfs[i]);
}

int setup_remount_tmpfs(unsigned first)
{
    for (unsigned i = self.tmpfs_count; i-- > first;) {
        struct tmpfs *tmpfs = &self.tmpfs[i];
        if (tmpfs->pinned)
            continue;
        close(tmpfs->dir_fd);
        tmpfs->dir_fd = -1;
        if (umount2(tmpfs->target, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
            return -1;
    }
    for (unsigned i = first; i < self.tmpfs_count; i++)
        if (!self.tmpfs[i].pinned && setup_mount_tmpfs(i) < 0)
            return -1;
    return 0;
}

/* Whether a later mount lies in this one. */
static bool has_mounts_in_it(uint32_t index)
{
    const struct init_setup *setup = self.setup;
    const struct init_mount *mounts =
        (const struct init_mount *)((const char *)setup + setup->mount_offset);
    const char *outer = setup_text(mounts[index].target);
    size_t length = mounts[index].target.length;
    for (uint32_t i = index + 1; i < setup->mount_count; i++) {
        const char *inner = setup_text(mounts[i].target);
        if (strncmp(inner, outer, length) == 0 && (inner[length] == '/' || inner[length] == '\0'))
            return true;
    }
    return false;
}

/* One that others lie in is mounted at its turn; the rest last of all (see setup_remount_tmpfs()). The
 * working directory is the new root. */
static int add_tmpfs(int root_fd, uint32_t index)
{
    const struct init_mount *mount_item =
        (const struct init_mount *)((const char *)self.setup + self.setup->mount_offset) + index;
    const char *target = setup_text(mount_item->target);
    struct tmpfs *tmpfs = &self.tmpfs[self.tmpfs_count++];
    int target_fd = make_target(root_fd, target, true);
    if (target_fd < 0)
        return fail("make the directory /%s", target);
    close(target_fd);
    snprintf(tmpfs->target, sizeof(tmpfs->target), "/%s", target);
    snprintf(tmpfs->data, sizeof(tmpfs->data), "%s", setup_text(mount_item->data));
    tmpfs->pinned = has_mounts_in_it(index);
    if (tmpfs->pinned &&
        mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOATIME, tmpfs->data) < 0)
        return fail("mount tmpfs on /%s with '%s'", target, tmpfs->data);
    return 0;
}

static int mount_late_tmpfs(void)
{
    for (unsigned i = 0; i < self.tmpfs_count; i++) {
        struct tmpfs *tmpfs = &self.tmpfs[i];
        if ((tmpfs->pinned ? hold_tmpfs(tmpfs) : setup_mount_tmpfs(i)) < 0)
            return fail("mount tmpfs on %s with '%s'", tmpfs->target, tmpfs->data);
    }
    return 0;
}

/* Copies of all sources are taken before the new root covers a directory of the host. */
static int mount_all(int root_fd, const int *trees)
{
    const struct init_setup *setup = self.setup;
    const struct init_mount *mounts =
        (const struct init_mount *)((const char *)setup + setup->mount_offset);
    for (uint32_t i = 0; i < setup->mount_count; i++) {
        const char *target = setup_text(mounts[i].target);
        if (mounts[i].kind == INIT_MOUNT_BIND) {
            if (bind_tree(root_fd, trees[i], &mounts[i]) < 0)
                return fail("bind %s to /%s", setup_text(mounts[i].source), target);
            close(trees[i]);
            continue;
        }
        if (add_tmpfs(root_fd, i) < 0)
            return -1;
    }
    return 0;
}

static int make_links(int root_fd)
{
    const struct init_setup *setup = self.setup;
    const struct init_link *links =
        (const struct init_link *)((const char *)setup + setup->link_offset);
    for (uint32_t i = 0; i < setup->link_count; i++) {
        const char *path = setup_text(links[i].path);
        while (*path == '/')
            path++;
        const char *last;
        int parent = open_parent(root_fd, path, &last);
        if (parent < 0 ||
            (symlinkat(setup_text(links[i].target), parent, last) < 0 && errno != EEXIST))
            return fail("link /%s", path);
        close(parent);
    }
    return 0;
}

/* Names for the ids that programs have, unless the operator gave files of his own: without them
 * getpwuid(3) fails and with it Python's expanduser, Java's user.home, ... */
static int write_identity(int root_fd)
{
    char passwd[256], group[256];
    unsigned uid = self.setup->flags & SETUP_SINGLE_ID ? 0 : self.setup->uid;
    unsigned gid = self.setup->flags & SETUP_SINGLE_ID ? 0 : self.setup->gid;
    snprintf(passwd, sizeof(passwd),
             "%sjudge:x:%u:%u:judge:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
             uid == 0 ? "" : "root:x:0:0:root:/:/bin/false\n", uid, gid);
    snprintf(group, sizeof(group), "%sjudge:x:%u:\nnogroup:x:65534:\n",
             gid == 0 ? "" : "root:x:0:\n", gid);
    const struct {
        const char *path, *text;
    } files[] = {
        {"etc/passwd", passwd},
        {"etc/group", group},
        {"etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"},
        {"etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"},
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        const char *last;
        int parent = open_parent(root_fd, files[i].path, &last);
        if (parent < 0)
            return fail("make /etc");
        int fd = openat(parent, last, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
        close_quietly(parent);
        if (fd < 0 && (errno == EEXIST || errno == EROFS))
            continue;
        if (fd < 0 || write(fd, files[i].text, strlen(files[i].text)) < 0)
            return fail("write /%s", files[i].path);
        close(fd);
    }
    return 0;
}

/* The message queues of this IPC namespace, seen through a mount that only init holds: mq_overview(7).
 * It borrows the directory that /proc is mounted on next. */
static int watch_message_queues(void)
{
    if (mount("mqueue", "proc", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return 0; /* a kernel without them has none to leave */
    self.mqueue_fd = open("proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat fresh;
    if (self.mqueue_fd < 0 || fstat(self.mqueue_fd, &fresh) < 0 || umount2("proc", MNT_DETACH) < 0)
        return fail("hold the message queues");
    self.mqueue_fresh_size = fresh.st_size;
    return 0;
}

/* ---- what is kept between runs ---- */

static void kept_name(enum init_kept number, char name[static 2])
{
    name[0] = (char)('0' + number);
    name[1] = '\0';
}

int setup_make_kept(enum init_kept number)
{
    char name[2];
    kept_name(number, name);
    if (unlinkat(self.kept_make_dir, name, 0) < 0 && errno != ENOENT)
        return -1;
    int fd;
    if (number == INIT_KEPT_EMPTY) {
        fd = openat(self.kept_make_dir, name, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    } else {
        if (mknodat(self.kept_make_dir, name, S_IFIFO | 0666, 0) < 0)
            return -1;
        fd = openat(self.kept_make_dir, name, O_RDWR | O_CLOEXEC); /* never waits: fifo(7) */
    }
    if (fd < 0)
        return -1;
    if (self.kept[number] >= 0)
        close(self.kept[number]);
    self.kept[number] = fd;
    return 0;
}

/* Named, so that each run's process opens them anew in 1.5 us (5 us through /proc/self/fd): flags,
 * offset, locks and owners of an earlier run stay with its own description. Through a read-only mount,
 * so that a program changes neither mode, owner, times nor attributes, nor writes to what is for
 * reading, whatever its uid; a pipe can be written to all the same. It borrows the directory that /proc is
 * mounted on next: only what is mounted can be copied before Linux 6.15. */
static int make_kept_files(void)
{
    if (mount("tmpfs", "proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "nr_inodes=16,mode=755") <
        0)
        return fail("mount the kept files");
    self.kept_make_dir = open("proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    self.kept_dir =
        (int)syscall(SYS_open_tree, AT_FDCWD, "proc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (self.kept_make_dir < 0 || self.kept_dir < 0 ||
        set_attributes(self.kept_dir, 0, MOUNT_ATTR_RDONLY) < 0 || umount2("proc", MNT_DETACH) < 0)
        return fail("mount the kept files for reading");
    for (enum init_kept number = INIT_KEPT_EMPTY; number < INIT_KEPT_COUNT; number++)
        if (setup_make_kept(number) < 0)
            return fail("make kept file %d", (int)number);
    return 0;
}

/* /proc comes twice: the mount that programs see, and a private, detached copy of it that only init
 * holds and that stays writable. */
static int mount_proc(int root_fd)
{
    int target_fd = make_target(root_fd, "proc", true);
    if (target_fd < 0)
        return fail("make the directory /proc");
    close(target_fd);
    if (watch_message_queues() < 0 || make_kept_files() < 0)
        return -1;
    if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return fail("mount /proc (where cjudge itself runs in a container, /proc there must not be "
                    "masked: --security-opt systempaths=unconfined)");
    self.proc_fd =
        (int)syscall(SYS_open_tree, root_fd, "proc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (self.proc_fd < 0)
        return fail("copy the mount of /proc");
    return 0;
}

/* A procfs of one pid namespace is one superblock: read-only belongs to the mount, not to it. */
static int show_proc(void)
{
    if ((self.setup->flags & SETUP_PROC) == 0)
        return umount2("/proc", MNT_DETACH) < 0 ? fail("take /proc off") : 0;
    if ((self.setup->flags & SETUP_PROC_WRITABLE) != 0)
        return 0;
    int fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || set_attributes(fd, 0, MOUNT_ATTR_RDONLY) < 0)
        return fail("make /proc read-only");
    close(fd);
    return 0;
}

/* An empty file; mounts of it go over each file to be hidden. Its name goes when all are covered: a
 * mount of a nameless file cannot be copied. */
static const char mask_name[] = ".empty";

static int make_mask(int root_fd)
{
    int file = openat(root_fd, mask_name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444);
    if (file < 0)
        return fail("make an empty file to hide others behind");
    close(file);
    return 0;
}

static int cover_file(const char *path)
{
    int tree =
        (int)syscall(SYS_open_tree, AT_FDCWD, mask_name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    int target = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (tree < 0 || target < 0 ||
        set_attributes(tree, 0,
                       MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                           MOUNT_ATTR_NOEXEC) < 0 ||
        move_onto(tree, target) < 0)
        return -1;
    close(tree);
    close(target);
    return 0;
}

static int cover_directory(const char *path)
{
    return mount("tmpfs", path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                 "size=4k,nr_inodes=1,mode=555");
}

/* The working directory is the new root. */
static int mask_paths(void)
{
    const struct init_setup *setup = self.setup;
    const struct init_text *masks =
        (const struct init_text *)((const char *)setup + setup->mask_offset);
    for (uint32_t i = 0; i < setup->mask_count; i++) {
        const char *path = setup_text(masks[i]);
        struct stat info;
        if (lstat(path, &info) < 0 || S_ISLNK(info.st_mode))
            continue; /* nothing to hide */
        if ((S_ISDIR(info.st_mode) ? cover_directory(path) : cover_file(path)) < 0)
            return fail("cover %s", path);
    }
    return unlink(mask_name) < 0 ? fail("remove the name of the empty file") : 0;
}

/* Root: tmpfs over a directory of the host (in our own mount namespace), then pivot_root(".", "."),
 * which needs no place for the old root: pivot_root(2), NOTES. */
static int build_root(void)
{
    const struct init_setup *setup = self.setup;
    const struct init_mount *mounts =
        (const struct init_mount *)((const char *)setup + setup->mount_offset);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return fail("make mounts private");
    int *trees = calloc(setup->mount_count + 1, sizeof(int));
    if (trees == NULL)
        return fail("mount table");
    for (uint32_t i = 0; i < setup->mount_count; i++) {
        trees[i] = mounts[i].kind == INIT_MOUNT_BIND ? copy_tree(setup_text(mounts[i].source)) : -1;
        if (mounts[i].kind == INIT_MOUNT_BIND && trees[i] < 0)
            return fail("copy the mount of %s%s", setup_text(mounts[i].source),
                        errno == EACCES   ? " (every folder above it has to let others through)"
                        : errno == ENOSYS ? " (needs Linux 5.12)"
                                          : "");
    }
    if (mount("tmpfs", container_root, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOATIME,
              "size=4m,nr_inodes=4096,mode=755") < 0)
        return fail("mount the root tmpfs on %s", container_root);
    int root_fd = open(container_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0 || fchdir(root_fd) < 0)
        return fail("enter the new root");
    if (mount_proc(root_fd) < 0 || mount_all(root_fd, trees) < 0 || make_links(root_fd) < 0 ||
        write_identity(root_fd) < 0)
        return -1;
    if (make_mask(root_fd) < 0)
        return -1;
    int work = make_target(root_fd, setup_text(setup->work_dir) + 1, true);
    if (work < 0)
        return fail("make the work directory");
    close(work);
    if (syscall(SYS_pivot_root, ".", ".") < 0)
        return fail("pivot_root");
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return fail("leave the old root");
    free(trees);
    close(root_fd);
    if (mask_paths() < 0)
        return -1;
    self.root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self.root_fd < 0 || set_attributes(self.root_fd, 0, MOUNT_ATTR_RDONLY) < 0)
        return fail("make the root read-only");
    if (show_proc() < 0 || mount_late_tmpfs() < 0)
        return -1;
    return 0;
}

/* ---- the rest ---- */

/* No user namespace can be made below ours: namespaces(7), /proc/sys/user/. The private /proc is the
 * only way to this file. */
static int forbid_user_namespaces(void)
{
    int fd = openat(self.proc_fd, "sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0", 1) != 1)
        return fail("set user.max_user_namespaces to 0");
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
        return fail("open /proc/net/sockstat");
    if ((self.setup->flags & SETUP_LOOPBACK) != 0) {
        self.traffic_fd = openat(self.proc_fd, "self/net/dev", O_RDONLY | O_CLOEXEC);
        if (self.traffic_fd < 0)
            return fail("open /proc/net/dev");
    }
    files_remember_network();
    return 0;
}

static int set_names(void)
{
    const char *host = setup_text(self.setup->host_name);
    const char *domain = setup_text(self.setup->domain_name);
    if (sethostname(host, strlen(host)) < 0 || setdomainname(domain, strlen(domain)) < 0)
        return fail("set the host name");
    return 0;
}

static int bring_loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0)
        return fail("look at lo");
    request.ifr_flags |= IFF_UP;
    if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        return fail("bring lo up");
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
            return fail("read a resource limit");
        rlim_t share = limit.rlim_max < limits[i].most ? limit.rlim_max : limits[i].most;
        if (setrlimit(limits[i].resource, &(struct rlimit){share, share}) < 0)
            return fail("set a resource limit");
    }
    static const char *const files[] = {"sys/user/max_inotify_instances",
                                        "sys/user/max_fanotify_groups"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        int fd = openat(self.proc_fd, files[i], O_WRONLY | O_CLOEXEC);
        if (fd < 0)
            continue; /* this kernel has no such quota */
        if (write(fd, "8", 1) != 1)
            return fail("write 8 to /proc/%s", files[i]);
        close(fd);
    }
    return 0;
}

/* Programs get no capability back: not by execve(2) as uid 0, not from the bounding set. Init keeps
 * those it has, it never executes anything again. */
static int drop_for_programs(void)
{
    for (int capability = 0; capability <= 63; capability++)
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 && errno != EINVAL)
            return fail("drop capability %d from the bounding set", capability);
    if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
                                     SECBIT_NO_CAP_AMBIENT_RAISE |
                                     SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED) < 0)
        return fail("set securebits");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return fail("set no_new_privs");
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
        return fail("run the init command");
    if (status != 0) {
        errno = ECANCELED;
        return fail("init command '%.100s' ended with status %d", command,
                    WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
    return 0;
}

/* Every run starts from the same state, the first one too: what the command left in a tmpfs stays only
 * where the whole container is made anew after a run that touched it. */
static int forget_init_command(void)
{
    uint32_t dirt = 0;
    for (unsigned i = 0; i < self.tmpfs_count; i++) {
        if (self.tmpfs[i].pinned)
            remember_fresh(&self.tmpfs[i]);
        else
            dirt |= (uint32_t)DIRT_TMPFS << i;
    }
    return files_reset(dirt) < 0 ? fail("empty the work directories") : 0;
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
    if ((setup->flags & SETUP_CGROUP_NS) != 0 && unshare(CLONE_NEWCGROUP) < 0)
        return fail("unshare the cgroup namespace");
    if (syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL) < 0 && errno != ENOSYS &&
        errno != EPERM)
        return fail("join a new session keyring");
    if (build_root() < 0 || set_names() < 0 || forbid_user_namespaces() < 0)
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
        return fail("enter the work directory");
    return take_shares() < 0 ? -1 : drop_for_programs();
}

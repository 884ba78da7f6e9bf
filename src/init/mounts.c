/* The file system of a container: a read-only view of the host, writable tmpfs, nothing else.
 *
 * The host's mounts are only copied (open_tree(2)), made read-only and nosuid, and moved below a tmpfs
 * root, after which the old root is gone. All of it runs as root of the new user namespace. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init.h"

static const char *const container_root =
    "/tmp"; /* any directory of the host: covered, then left */

/* ---- below the new root ---- */

static const struct init_mount *mount_table(void)
{
    return (const struct init_mount *)((const char *)self.setup + self.setup->mount_offset);
}

/* Whether inner is a path in outer; both without leading '/'. */
static bool lies_in(const char *outer, const char *inner)
{
    size_t length = strlen(outer);
    return strncmp(inner, outer, length) == 0 && inner[length] == '/';
}

/* Whether programs, of other containers too, may have put there what they like. */
static bool is_exposed(const char *path)
{
    const struct init_mount *mounts = mount_table();
    for (uint32_t i = 0; i < self.setup->mount_count; i++)
        if (mounts[i].kind == INIT_MOUNT_BIND && !mounts[i].read_only &&
            lies_in(setup_text(mounts[i].target), path))
            return true;
    return false;
}

/* A symbolic link of a program's is never followed. */
static int open_beneath(int root_fd, const char *path, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
        .mode = mode,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS |
                   (is_exposed(path) ? (uint64_t)RESOLVE_NO_SYMLINKS : 0),
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

int mounts_set_attributes(int fd, unsigned flags, uint64_t attributes)
{
    struct mount_attr attr = {.attr_set = attributes};
    return (int)syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | flags, &attr, sizeof(attr));
}

/* ---- mounts ---- */

/* A detached copy of a host tree, made with our own rights. AT_RECURSIVE also because a user namespace may not take a mount
 * without what is mounted on it (mount_namespaces(7)). */
static int copy_tree(const char *source)
{
    return (int)syscall(SYS_open_tree, AT_FDCWD, source,
                        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
}

static int copy_all(const struct init_mount *mounts, int *trees)
{
    for (uint32_t i = 0; i < self.setup->mount_count; i++) {
        trees[i] = -1;
        if (mounts[i].kind != INIT_MOUNT_BIND || (self.setup->flags & SETUP_TREES_PASSED) != 0)
            continue;
        trees[i] = copy_tree(setup_text(mounts[i].source));
        if (trees[i] < 0)
            return setup_fail("copy the mount of %s%s", setup_text(mounts[i].source),
                              errno == EACCES ? " (every folder above it has to let others through)"
                              : errno == ENOSYS ? " (needs Linux 5.12)"
                                                : "");
    }
    return 0;
}

/* The next of the copies that the service made with its rights; they come in the order of the table. */
static int receive_tree(void)
{
    static int passed[INIT_TREES_MAX];
    static int got, used;
    if (used == got) {
        struct init_trees message;
        got = message_receive(INIT_FD_RUN, &message, sizeof(message), passed, INIT_TREES_MAX);
        used = 0;
        if (got < 0)
            _exit(0); /* the service is gone */
        if (message.magic != INIT_MAGIC || got == 0 || message.count != (uint32_t)got)
            give_up("mounts that are none");
    }
    return passed[used++];
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
    if (mounts_set_attributes(tree_fd, AT_RECURSIVE, attributes) < 0)
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

void mounts_remember_fresh(struct tmpfs *tmpfs)
{
    struct statfs space;
    fstat(tmpfs->dir_fd, &tmpfs->fresh);
    fstatfs(tmpfs->dir_fd, &space);
    tmpfs->fresh_blocks = (uint64_t)space.f_bfree;
    tmpfs->fresh_files = (uint64_t)space.f_ffree;
}

struct tmpfs *mounts_work(void)
{
    for (unsigned i = 0; i < self.tmpfs_count; i++)
        if (strcmp(self.tmpfs[i].target, self.work_dir) == 0)
            return &self.tmpfs[i];
    return NULL;
}

static const unsigned long tmpfs_flags = MS_NOSUID | MS_NODEV | MS_NOATIME;

static int mount_tmpfs(struct tmpfs *tmpfs)
{
    return mount("tmpfs", tmpfs->target, "tmpfs", tmpfs_flags, tmpfs->data);
}

static int hold_tmpfs(struct tmpfs *tmpfs)
{
    tmpfs->dir_fd = open(tmpfs->target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (tmpfs->dir_fd < 0)
        return -1;
    mounts_remember_fresh(tmpfs);
    return 0;
}

int mounts_make_tmpfs(unsigned i)
{
    return mount_tmpfs(&self.tmpfs[i]) < 0 ? -1 : hold_tmpfs(&self.tmpfs[i]);
}

int mounts_remount_tmpfs(unsigned first)
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
        if (!self.tmpfs[i].pinned && mounts_make_tmpfs(i) < 0)
            return -1;
    return 0;
}

/* Whether a later mount lies in this one. */
static bool has_mounts_in_it(uint32_t index)
{
    const struct init_mount *mounts = mount_table();
    const char *outer = setup_text(mounts[index].target);
    for (uint32_t i = index + 1; i < self.setup->mount_count; i++) {
        const char *inner = setup_text(mounts[i].target);
        if (strcmp(inner, outer) == 0 || lies_in(outer, inner))
            return true;
    }
    return false;
}

/* Mounts on a place itself, whatever its path leads to by now. The working directory stays the new root. */
static int mount_tmpfs_on(int root_fd, int target_fd, unsigned long flags, const char *data)
{
    int result = fchdir(target_fd);
    if (result == 0)
        result = mount("tmpfs", ".", "tmpfs", flags, data);
    int saved_errno = errno;
    if (fchdir(root_fd) < 0)
        give_up("go back to the new root");
    errno = saved_errno;
    return result;
}

/* One that others lie in, or that lies where programs write, is mounted at its turn and never again; the rest
 * last of all (see mounts_remount_tmpfs()). */
static int add_tmpfs(int root_fd, uint32_t index)
{
    const struct init_mount *item = &mount_table()[index];
    const char *target = setup_text(item->target);
    struct tmpfs *tmpfs = &self.tmpfs[self.tmpfs_count++];
    tmpfs->dir_fd = -1;
    int target_fd = make_target(root_fd, target, true);
    if (target_fd < 0)
        return setup_fail("make the directory /%s", target);
    snprintf(tmpfs->target, sizeof(tmpfs->target), "/%s", target);
    snprintf(tmpfs->data, sizeof(tmpfs->data), "%s", setup_text(item->data));
    tmpfs->pinned = has_mounts_in_it(index) || is_exposed(target);
    int result = 0;
    if (tmpfs->pinned &&
        (mount_tmpfs_on(root_fd, target_fd, tmpfs_flags, tmpfs->data) < 0 ||
         (tmpfs->dir_fd = open_beneath(root_fd, target, O_RDONLY | O_DIRECTORY, 0)) < 0))
        result = setup_fail("mount tmpfs on /%s with '%s'", target, tmpfs->data);
    close(target_fd);
    return result;
}

static int mount_late_tmpfs(void)
{
    for (unsigned i = 0; i < self.tmpfs_count; i++) {
        struct tmpfs *tmpfs = &self.tmpfs[i];
        if (tmpfs->pinned)
            mounts_remember_fresh(tmpfs);
        else if (mounts_make_tmpfs(i) < 0)
            return setup_fail("mount tmpfs on %s with '%s'", tmpfs->target, tmpfs->data);
    }
    return 0;
}

/* Copies of our own are taken before the new root covers a directory of the host. */
static int mount_all(int root_fd, const int *trees)
{
    const struct init_setup *setup = self.setup;
    const struct init_mount *mounts = mount_table();
    for (uint32_t i = 0; i < setup->mount_count; i++) {
        const char *target = setup_text(mounts[i].target);
        if (mounts[i].kind == INIT_MOUNT_BIND) {
            int tree = trees[i] >= 0 ? trees[i] : receive_tree();
            if (bind_tree(root_fd, tree, &mounts[i]) < 0)
                return setup_fail("bind %s to /%s", setup_text(mounts[i].source), target);
            close(tree);
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
            return setup_fail("link /%s", path);
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
            return setup_fail("make /etc");
        int fd = openat(parent, last, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
        close_quietly(parent);
        if (fd < 0 && (errno == EEXIST || errno == EROFS))
            continue;
        if (fd < 0 || write(fd, files[i].text, strlen(files[i].text)) < 0)
            return setup_fail("write /%s", files[i].path);
        close(fd);
    }
    return 0;
}

/* /proc comes twice: the mount that programs see, and a private, detached copy of it that only init
 * holds and that stays writable. */
static int mount_proc(int root_fd)
{
    int target_fd = make_target(root_fd, "proc", true);
    if (target_fd < 0)
        return setup_fail("make the directory /proc");
    close(target_fd);
    if (kept_watch_queues() < 0 || kept_make_all() < 0)
        return -1;
    if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return setup_fail(
            "mount /proc (where cjudge itself runs in a container, /proc there must not be "
            "masked: --security-opt systempaths=unconfined)");
    self.proc_fd =
        (int)syscall(SYS_open_tree, root_fd, "proc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (self.proc_fd < 0)
        return setup_fail("copy the mount of /proc");
    return 0;
}

/* A procfs of one pid namespace is one superblock: read-only belongs to the mount, not to it. */
static int show_proc(void)
{
    if ((self.setup->flags & SETUP_PROC) == 0)
        return umount2("/proc", MNT_DETACH) < 0 ? setup_fail("take /proc off") : 0;
    if ((self.setup->flags & SETUP_PROC_WRITABLE) != 0)
        return 0;
    int fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || mounts_set_attributes(fd, 0, MOUNT_ATTR_RDONLY) < 0)
        return setup_fail("make /proc read-only");
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
        return setup_fail("make an empty file to hide others behind");
    close(file);
    return 0;
}

static int cover_file(int target_fd)
{
    int tree =
        (int)syscall(SYS_open_tree, AT_FDCWD, mask_name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0 ||
        mounts_set_attributes(tree, 0,
                              MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                  MOUNT_ATTR_NOEXEC) < 0 ||
        move_onto(tree, target_fd) < 0)
        return -1;
    close(tree);
    return 0;
}

static int cover(int root_fd, int target_fd)
{
    struct stat info;
    if (fstat(target_fd, &info) < 0 || S_ISLNK(info.st_mode))
        return 0; /* nothing to hide */
    if (!S_ISDIR(info.st_mode))
        return cover_file(target_fd);
    return mount_tmpfs_on(root_fd, target_fd, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                          "size=4k,nr_inodes=1,mode=555");
}

/* The working directory is the new root. */
static int mask_paths(void)
{
    const struct init_setup *setup = self.setup;
    const struct init_text *masks =
        (const struct init_text *)((const char *)setup + setup->mask_offset);
    int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0)
        return setup_fail("open the new root");
    for (uint32_t i = 0; i < setup->mask_count; i++) {
        const char *path = setup_text(masks[i]);
        int target_fd = open_beneath(root_fd, path + 1, O_PATH | O_NOFOLLOW, 0);
        if (target_fd < 0)
            continue; /* nothing to hide */
        if (cover(root_fd, target_fd) < 0)
            return setup_fail("cover %s", path);
        close(target_fd);
    }
    close(root_fd);
    return unlink(mask_name) < 0 ? setup_fail("remove the name of the empty file") : 0;
}

/* Root: tmpfs over a directory of the host (in our own mount namespace), then pivot_root(".", "."),
 * which needs no place for the old root: pivot_root(2), NOTES. */
int mounts_build(void)
{
    const struct init_setup *setup = self.setup;
    const struct init_mount *mounts = mount_table();
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return setup_fail("make mounts private");
    int *trees = calloc(setup->mount_count + 1, sizeof(int));
    if (trees == NULL)
        return setup_fail("mount table");
    if (copy_all(mounts, trees) < 0)
        return -1;
    if (mount("tmpfs", container_root, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOATIME,
              "size=4m,nr_inodes=4096,mode=755") < 0)
        return setup_fail("mount the root tmpfs on %s", container_root);
    int root_fd = open(container_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0 || fchdir(root_fd) < 0)
        return setup_fail("enter the new root");
    if (mount_proc(root_fd) < 0 || mount_all(root_fd, trees) < 0 || make_links(root_fd) < 0 ||
        write_identity(root_fd) < 0)
        return -1;
    if (make_mask(root_fd) < 0)
        return -1;
    int work = make_target(root_fd, setup_text(setup->work_dir) + 1, true);
    if (work < 0)
        return setup_fail("make the work directory %s", setup_text(setup->work_dir));
    close(work);
    if (syscall(SYS_pivot_root, ".", ".") < 0)
        return setup_fail("pivot_root");
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return setup_fail("leave the old root");
    free(trees);
    close(root_fd);
    if (mask_paths() < 0)
        return -1;
    self.root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self.root_fd < 0 || mounts_set_attributes(self.root_fd, 0, MOUNT_ATTR_RDONLY) < 0)
        return setup_fail("make the root read-only");
    if (show_proc() < 0 || mount_late_tmpfs() < 0)
        return -1;
    return 0;
}

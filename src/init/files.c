/* The janitor: files beneath the container's root, clean state between runs, killing on demand.
 *
 * Runs beside the launcher, unfiltered, so that it can mount. Paths come from the service, which made
 * them absolute and resolved "." and ".." in text; here they are opened beneath the root without
 * following any symlink (openat2(2)), so a program that left one cannot lead us anywhere. Copy-out
 * happens when every process of the run is dead: what is checked is what is read. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "init.h"

enum { WIPE_ENTRIES_MAX = 32 }; /* more, or a directory: a new mount is cheaper and surer */

/* F_GET_RW_HINT is from Linux 4.13, <linux/fcntl.h>; that header and <fcntl.h> exclude each other. */
enum { GET_RW_HINT = 1024 + 11 };

static int fresh_pipe_size[INIT_KEPT_COUNT];

static uid_t run_uid(void)
{
    return self.setup->flags & SETUP_SINGLE_ID ? 0 : self.setup->uid;
}
static gid_t run_gid(void)
{
    return self.setup->flags & SETUP_SINGLE_ID ? 0 : self.setup->gid;
}

/* ---- what the last run has touched ---- */

/* Everybody may give a directory attributes that everybody may write to, unless it is sticky: xattr(7). */
static bool has_attributes(const struct tmpfs *tmpfs)
{
    return (tmpfs->fresh.st_mode & (S_IWOTH | S_ISVTX)) == S_IWOTH &&
           flistxattr(tmpfs->dir_fd, NULL, 0) > 0;
}

/* The size of a tmpfs directory counts its entries (mm/shmem.c, BOGO_DIRENT_SIZE), so an equal one means that nothing is
 * there; what has no name went with the run's processes. The times, as coarse as a scheduler tick, only have to tell the
 * rest. Of a root directory that is the run's own anything may have changed, and what an init command left may be changed
 * in place. */
bool files_touched(const struct tmpfs *tmpfs)
{
    struct stat now;
    return has_attributes(tmpfs) || tmpfs->filled || tmpfs->fresh_files == 0 ||
           tmpfs->fresh.st_uid == run_uid() || fstat(tmpfs->dir_fd, &now) < 0 ||
           now.st_size != tmpfs->fresh.st_size ||
           now.st_ctim.tv_sec != tmpfs->fresh.st_ctim.tv_sec ||
           now.st_ctim.tv_nsec != tmpfs->fresh.st_ctim.tv_nsec;
}

/* The size of the file system's root counts its entries: ipc/mqueue.c, mqueue_create_attr(). */
static bool queues_left(void)
{
    struct stat now;
    return self.mqueue_fd >= 0 &&
           (fstat(self.mqueue_fd, &now) < 0 || now.st_size != self.mqueue_fresh_size);
}

static bool ipc_left(void)
{
    struct shm_info shm = {0};
    struct seminfo sem = {0};
    struct msginfo msg = {0};
    union {
        struct seminfo *info;
    } sem_arg = {.info = &sem};
    if (shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&shm) < 0 || shm.used_ids != 0)
        return true;
    if (semctl(0, 0, SEM_INFO, sem_arg) < 0 || sem.semusz != 0)
        return true;
    if (msgctl(0, MSG_INFO, (struct msqid_ds *)(void *)&msg) < 0 || msg.msgpool != 0)
        return true;
    return queues_left();
}

/* "sockets: used N", for this network namespace: proc_pid_net(5). Sockets that were sent over each other
 * live until the kernel's collector has found them, unix(7). Returns those that are no interpreter's; -1: not known. */
static long count_sockets(void)
{
    char text[32];
    static const char before[] = "sockets: used ";
    ssize_t length = pread(self.sockets_fd, text, sizeof(text) - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    if (strncmp(text, before, sizeof(before) - 1) != 0) /* sscanf(3) would take 1 us */
        return -1;
    return strtol(text + sizeof(before) - 1, NULL, 10) - (long)warm_sockets();
}

static bool sockets_left(void)
{
    return self.sockets_fd >= 0 && count_sockets() != self.sockets_fresh;
}

/* Closing a socket wakes the collector; it is done within a few milliseconds. */
static bool collect_sockets(void)
{
    for (int i = 0; i < 50 && sockets_left(); i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0)
            close(fd);
        usleep(1000);
    }
    return !sockets_left();
}

static void read_traffic(char text[static 512])
{
    ssize_t length = pread(self.traffic_fd, text, 511, 0);
    text[length > 0 ? length : 0] = '\0';
}

/* Connections over loopback stay in TIME_WAIT for a minute: a namespace that was used is not used again. */
static bool loopback_used(void)
{
    char now[512];
    if (self.traffic_fd < 0)
        return false;
    read_traffic(now);
    return strcmp(now, self.traffic_fresh) != 0;
}

void files_remember_network(void)
{
    if (self.sockets_fd >= 0)
        self.sockets_fresh = count_sockets();
    if (self.traffic_fd >= 0)
        read_traffic(self.traffic_fresh);
}

/* The mount lets nothing else through than a pipe's size; with one uid only also the hint, which belongs
 * to the inode's owner. */
static bool kept_changed(unsigned number)
{
    int fd = self.kept[number];
    uint64_t hint = 0;
    if (number >= INIT_KEPT_OUTPUT && fcntl(fd, F_GETPIPE_SZ) != fresh_pipe_size[number])
        return true;
    return (self.setup->flags & SETUP_SINGLE_ID) != 0 && fcntl(fd, GET_RW_HINT, &hint) == 0 &&
           hint != 0;
}

uint32_t files_dirt(void)
{
    uint32_t dirt = 0;
    for (unsigned i = 0; i < self.tmpfs_count; i++)
        if (files_touched(&self.tmpfs[i]))
            dirt |= (uint32_t)DIRT_TMPFS << i;
    held_run_ended();
    if (held_touched())
        dirt |= held_dirt();
    if (ipc_left() || loopback_used())
        dirt |= DIRT_IPC;
    if ((self.setup->flags & SETUP_SINGLE_ID) != 0 && own_changed())
        dirt |= DIRT_INIT;
    if (sockets_left())
        dirt |= DIRT_SOCKETS;
    for (unsigned i = 0; i < INIT_KEPT_COUNT; i++)
        if (self.kept[i] >= 0 && kept_changed(i))
            dirt |= (uint32_t)DIRT_KEPT << i;
    return dirt;
}

/* ---- making it fresh ---- */

/* st_blocks has units of 512 bytes, inode(7). */
static uint64_t blocks_of(const struct stat *info, const struct statfs *space)
{
    return (uint64_t)info->st_blocks * 512 / (uint64_t)space->f_bsize;
}

/* Removes a few plain entries, but the held file. Returns false when there is more to it: a directory, many entries,
 * attributes of the root directory itself. */
static bool wipe_entries(struct tmpfs *tmpfs)
{
    char entries[4096];
    unsigned removed = 0;
    struct stat held;
    const bool holds = held_is_there(tmpfs, &held);
    if (!holds)
        held_forget_in(tmpfs); /* its space is given back when we have it open no more */
    lseek(tmpfs->dir_fd, 0, SEEK_SET);
    for (;;) {
        long length = syscall(SYS_getdents64, tmpfs->dir_fd, entries, sizeof(entries));
        if (length < 0)
            return false;
        if (length == 0)
            break;
        for (long at = 0; at < length;) {
            const struct dirent64 *entry = (const struct dirent64 *)(void *)(entries + at);
            at += entry->d_reclen;
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                (holds && held_is(entry->d_name)))
                continue;
            if (++removed > WIPE_ENTRIES_MAX || unlinkat(tmpfs->dir_fd, entry->d_name, 0) < 0)
                return false; /* EISDIR for a directory, unlink(2) */
        }
    }
    struct stat now;
    struct statfs space;
    unsigned long attributes = 0;
    if (fstat(tmpfs->dir_fd, &now) < 0 || fstatfs(tmpfs->dir_fd, &space) < 0 ||
        now.st_mode != tmpfs->fresh.st_mode || now.st_uid != tmpfs->fresh.st_uid ||
        now.st_gid != tmpfs->fresh.st_gid || flistxattr(tmpfs->dir_fd, NULL, 0) > 0 ||
        (ioctl(tmpfs->dir_fd, FS_IOC_GETFLAGS, &attributes) == 0 && attributes != 0) ||
        (uint64_t)space.f_bfree + (holds ? blocks_of(&held, &space) : 0) != tmpfs->fresh_blocks ||
        (uint64_t)space.f_ffree + (holds ? 1 : 0) != tmpfs->fresh_files)
        return false;
    tmpfs->fresh = now;
    return true;
}

/* A deletion must never happen anywhere but on the sandbox's own tmpfs. */
static void prove_place(const struct tmpfs *tmpfs)
{
    struct statfs space;
    struct stat here, root;
    if (getpid() != 1 || fstatfs(tmpfs->dir_fd, &space) < 0 || space.f_type != TMPFS_MAGIC ||
        fstat(tmpfs->dir_fd, &here) < 0 || fstat(self.root_fd, &root) < 0 ||
        here.st_dev == root.st_dev || here.st_dev != tmpfs->fresh.st_dev)
        give_up("asked to clean a place that is not ours");
}

static int clean_tmpfs(uint32_t dirt)
{
    unsigned first = self.tmpfs_count; /* to be mounted anew */
    for (unsigned i = 0; i < self.tmpfs_count; i++) {
        if ((dirt & (uint32_t)DIRT_TMPFS << i) == 0)
            continue;
        prove_place(&self.tmpfs[i]);
        if (self.tmpfs[i].pinned) {
            errno = EBUSY;
            return -1;
        }
        if (!wipe_entries(&self.tmpfs[i]) && first == self.tmpfs_count)
            first = i;
    }
    if (first == self.tmpfs_count)
        return 0;
    if (held_dirt() >= (uint32_t)DIRT_TMPFS << first)
        held_forget();
    return mounts_remount_tmpfs(first) < 0
               ? -1
               : chdir(self.work_dir); /* init may stand in the old one */
}

int files_reset_around_held(uint32_t dirt, bool *held)
{
    struct stat info;
    if ((dirt & DIRT_SOCKETS) != 0 && !collect_sockets()) {
        errno = EBUSY;
        return -1;
    }
    if (!*held) {
        dirt |= held_dirt();
        held_forget();
    }
    if (clean_tmpfs(dirt) < 0)
        return -1;
    *held = false;
    for (unsigned i = 0; i < self.tmpfs_count; i++)
        *held = *held || held_is_there(&self.tmpfs[i], &info);
    if (!*held)
        held_forget();
    return 0;
}

int files_reset(uint32_t dirt)
{
    bool held = false;
    return files_reset_around_held(dirt, &held);
}

/* ---- files in and out ---- */

static int open_beneath_root(const char *path, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
        .mode = mode,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    return (int)syscall(SYS_openat2, self.root_fd, path, &how, sizeof(how));
}

/* Opens the directory that holds path's last part; makes missing ones, or fails with ENOENT. */
static int open_parent(const char *path, bool make, const char **last)
{
    char prefix[INIT_PATH_MAX];
    int parent = open_beneath_root(".", O_PATH | O_DIRECTORY, 0);
    const char *start = path;
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(start, '/')) {
        size_t length = (size_t)(slash - path);
        memcpy(prefix, path, length);
        prefix[length] = '\0';
        int next = open_beneath_root(prefix, O_PATH | O_DIRECTORY, 0);
        if (make && next < 0 && errno == ENOENT && parent >= 0) {
            const char *name = prefix + (start - path);
            if (mkdirat(parent, name, 0777) == 0 &&
                fchownat(parent, name, run_uid(), run_gid(), AT_SYMLINK_NOFOLLOW) == 0)
                next = open_beneath_root(prefix, O_PATH | O_DIRECTORY, 0);
        }
        int saved_errno = errno;
        if (parent >= 0)
            close(parent);
        errno = saved_errno;
        parent = next;
        if (parent < 0)
            return -1;
        start = slash + 1;
    }
    *last = start;
    return parent;
}

/* Special file systems hold files that are no files; only what is stored somewhere may be copied. */
static bool is_special(int fd)
{
    struct statfs space;
    return fstatfs(fd, &space) < 0 || space.f_type == PROC_SUPER_MAGIC ||
           space.f_type == SYSFS_MAGIC || space.f_type == CGROUP_SUPER_MAGIC ||
           space.f_type == CGROUP2_SUPER_MAGIC;
}

/* The descriptor is for reading: the service opens it anew for writing. A writer of ours might still be
 * there, one scheduling too long, when the launcher executes the file: ETXTBSY, execve(2). */
static int open_in(const char *path)
{
    const char *last = NULL;
    int parent = open_parent(path, true, &last);
    if (parent < 0)
        return -1;
    struct open_how how = {
        .flags = O_CREAT | O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY,
        .mode = 0777,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    int fd = (int)syscall(SYS_openat2, parent, last, &how, sizeof(how));
    int saved_errno = errno;
    close(parent);
    errno = saved_errno;
    if (fd < 0)
        return -1;
    struct stat info;
    if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode) || is_special(fd)) {
        close(fd);
        errno = EINVAL;
        return -1;
    }
    if (fchown(fd, run_uid(), run_gid()) < 0 || fchmod(fd, 0777) < 0) {
        saved_errno = errno;
        close(fd);
        errno = saved_errno;
        return -1;
    }
    return fd;
}

/* In a folder that is there: go-judge makes none for a link, either. */
static int make_symlink(const char *path, const char *target)
{
    const char *last = NULL;
    int parent = open_parent(path, false, &last);
    if (parent < 0)
        return -1;
    int result = symlinkat(target, parent, last);
    if (result == 0)
        result = fchownat(parent, last, run_uid(), run_gid(), AT_SYMLINK_NOFOLLOW);
    int saved_errno = errno;
    close(parent);
    errno = saved_errno;
    return result;
}

/* O_PATH first: opening a FIFO or a device for real could wait or act. */
static int open_out(const char *path, uint32_t *not_regular)
{
    int place = open_beneath_root(path, O_PATH | O_NOFOLLOW, 0);
    if (place < 0) {
        *not_regular = errno == ELOOP;
        return -1;
    }
    struct stat info;
    if (fstat(place, &info) < 0 || !S_ISREG(info.st_mode) || is_special(place)) {
        close(place);
        *not_regular = 1;
        errno = EINVAL;
        return -1;
    }
    close(place);
    int fd = open_beneath_root(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    if (fd >= 0 && (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode))) {
        close(fd);
        *not_regular = 1;
        errno = EINVAL;
        return -1;
    }
    return fd;
}

static int open_folder(const char *path)
{
    int fd = open_beneath_root(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd >= 0 && is_special(fd)) {
        close(fd);
        errno = EINVAL;
        return -1;
    }
    return fd;
}

/* ---- killing ---- */

/* With the programs' uid this thread reaches processes of that uid only: an interpreter has another one until a
 * run begins, and a program never gets one. As from init, the kernel holds back forks meanwhile. Raw calls: the
 * other threads keep theirs, nptl(7). The saved uid stays, and with it what is permitted and the way back; as
 * far as the kernel asks for all three ids, a program has no rights over us. A change of ids makes a process
 * dumpable where fs.suid_dumpable says so, and forgets the parent-death signal, prctl(2). */
void files_kill_run(void)
{
    uid_t uid = run_uid();
    warm_kill_handed(); /* as who waits, stopped by the host, he has not got it */
    if (!warm_any() || syscall(SYS_setresuid, uid, uid, 0) < 0) {
        kill(-1, SIGKILL);
        return;
    }
    kill(-1, SIGKILL);
    if (syscall(SYS_setresuid, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0 ||
        (getpid() == gettid() && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0))
        give_up("come back from killing");
}

/* ---- requests ---- */

/* A path of the request, checked: inside the arena, NUL-terminated, relative, not empty. */
static const char *request_path(uint32_t offset, uint32_t length, char *copy)
{
    if (offset >= INIT_ARENA_SIZE || length == 0 || length >= INIT_PATH_MAX ||
        length >= INIT_ARENA_SIZE - offset)
        return NULL;
    memcpy(copy, self.arena + offset, length);
    copy[length] = '\0';
    return strlen(copy) == length ? copy : NULL;
}

/* Returns the read end for the service, or -1 with the answer's error. */
static int make_output(uint32_t number, struct init_answer *answer)
{
    const char name[] = {(char)('0' + number), '\0'};
    int fd = -1;
    errno = EINVAL;
    if (number >= INIT_KEPT_OUTPUT && number < INIT_KEPT_COUNT &&
        kept_make((enum init_kept)number) == 0)
        fd = openat(self.kept_make_dir, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        answer->error = errno;
    else
        fresh_pipe_size[number] = fcntl(fd, F_GETPIPE_SZ);
    return fd;
}

/* Does what is asked; returns a descriptor to send with the answer, or -1. *passed is consumed by
 * setting it to -1. */
static int serve(const struct init_request *request, int *passed, struct init_answer *answer)
{
    char path_copy[INIT_PATH_MAX], target_copy[INIT_PATH_MAX];
    const char *path = request_path(request->path_offset, request->path_length, path_copy);
    const char *target = request_path(request->target_offset, request->target_length, target_copy);
    int fd = -1;
    bool held;
    switch (request->op) {
    case INIT_OP_OPEN_IN:
        fd = path != NULL && path[0] != '/' ? open_in(path) : (errno = EINVAL, -1);
        answer->error = fd < 0 ? errno : 0;
        break;
    case INIT_OP_HOLD:
        errno = EINVAL;
        if (path == NULL || path[0] == '/' || held_begin(path) < 0)
            answer->error = errno;
        break;
    case INIT_OP_OPEN_OUT:
        fd =
            path != NULL && path[0] != '/' ? open_out(path, &answer->detail) : (errno = EINVAL, -1);
        answer->error = fd < 0 ? errno : 0;
        break;
    case INIT_OP_OPEN_FOLDER:
        fd = path != NULL && path[0] != '/' ? open_folder(path) : (errno = EINVAL, -1);
        answer->error = fd < 0 ? errno : 0;
        break;
    case INIT_OP_MADE:
        fd = fcntl(mounts_work() != NULL ? mounts_work()->dir_fd : -1, F_DUPFD_CLOEXEC, 0);
        answer->error = fd < 0 ? errno : 0;
        made_inodes(answer->made_inodes);
        break;
    case INIT_OP_SYMLINK:
        errno = EINVAL;
        if (path == NULL || path[0] == '/' || target == NULL || make_symlink(path, target) < 0)
            answer->error = errno;
        break;
    case INIT_OP_OUTPUT:
        fd = make_output(request->index, answer);
        break;
    case INIT_OP_CGROUP:
        if (self.cgroup_fd >= 0)
            close(self.cgroup_fd);
        self.cgroup_fd = *passed;
        *passed = -1;
        break;
    case INIT_OP_RESET:
        held = request->keep_held != 0;
        if (files_reset_around_held(request->dirt, &held) < 0)
            answer->error = errno;
        answer->detail = held;
        break;
    case INIT_OP_LOOK:
        look_around(answer);
        break;
    case INIT_OP_KILL: /* answered, so that it can never meet the run after */
        files_kill_run();
        break;
    case INIT_OP_WARM:
        warm_ask(request, *passed, answer);
        break;
    case INIT_OP_PING:
        break;
    default:
        answer->error = ENOSYS;
    }
    return fd;
}

void janitor_main(void)
{
    if (setup_lock_capabilities() < 0)
        give_up("lock the janitor's capabilities");
    prctl(PR_SET_NAME, INIT_JANITOR_NAME);
    for (;;) {
        struct init_request request;
        int passed[4] = {-1, -1, -1, -1};
        int passed_count = message_receive(INIT_FD_FILES, &request, sizeof(request), passed, 1);
        if (passed_count < 0)
            _exit(0); /* the service is gone */
        if (request.magic != INIT_MAGIC)
            give_up("a request that is none");
        struct init_answer answer = {.magic = INIT_MAGIC, .sequence = request.sequence};
        int fd = serve(&request, &passed[0], &answer);
        message_send(INIT_FD_FILES, &answer, sizeof(answer), fd);
        if (fd >= 0)
            close(fd);
        if (passed[0] >= 0)
            close(passed[0]);
    }
}

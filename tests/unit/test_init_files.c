/* Fresh state on a real tmpfs, and files in and out beneath a root: each case runs as pid 1 of mount, pid
 * and IPC namespaces of its own, where nothing it does can reach the host. Needs root; 77 without. */
#include "files.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sched.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>

#include "base/attr.h"
#include "init_fixture.h"

static struct init_setup setup = {.uid = 1000, .gid = 1000};

/* ---- a container's skeleton ---- */

/* What is kept between runs, on a file system without a name. */
static void make_kept(void)
{
    memset(self.kept, -1, sizeof(self.kept));
    CHILD_REQUIRE(mount("tmpfs", "/tmp", "tmpfs", 0, "nr_inodes=16") == 0);
    self.kept_make_dir = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHILD_REQUIRE(self.kept_make_dir >= 0 && umount2("/tmp", MNT_DETACH) == 0);
    CHILD_REQUIRE(kept_make(INIT_KEPT_EMPTY) == 0);
    for (uint32_t i = INIT_KEPT_OUTPUT; i < INIT_KEPT_COUNT; i++) {
        struct init_answer answer = {0};
        CHILD_REQUIRE(make_output(i, &answer) >= 0 && answer.error == 0);
    }
}

/* What mounts.c does for one tmpfs, at /tmp/w below a root tmpfs on /tmp. */
static void mount_fresh(void)
{
    umask(0); /* as init has it */
    CHILD_REQUIRE(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    self.setup = &setup;
    make_kept();
    CHILD_REQUIRE(mount("tmpfs", "/tmp", "tmpfs", 0, "size=4m,mode=755") == 0);
    CHILD_REQUIRE(mkdir("/tmp/w", 0755) == 0);
    self.work_dir = "/tmp/w";
    self.root_fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHILD_REQUIRE(self.root_fd >= 0);
    strcpy(self.tmpfs[0].target, "/tmp/w");
    strcpy(self.tmpfs[0].data, "size=1m,nr_inodes=4k");
    self.tmpfs_count = 1;
    CHILD_REQUIRE(mounts_make_tmpfs(0) == 0);
    self.work_dir = "/tmp/w";
    CHILD_REQUIRE(mkdir("/tmp/kept", 0755) == 0);
    self.kept_make_dir = self.kept_dir = open("/tmp/kept", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (unsigned number = 0; number < INIT_KEPT_COUNT; number++) {
        CHILD_REQUIRE(kept_make((enum init_kept)number) == 0);
        fresh_pipe_size[number] = fcntl(self.kept[number], F_GETPIPE_SZ);
    }
}

struct step {
    void (*body)(void);
};

static void as_pid_1(void *argument)
{
    const struct step *step = argument;
    CHILD_REQUIRE(unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC) == 0);
    pid_t pid = fork();
    CHILD_REQUIRE(pid >= 0);
    if (pid == 0) {
        mount_fresh();
        step->body();
        _exit(0);
    }
    int status;
    CHILD_REQUIRE(waitpid(pid, &status, 0) == pid);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static void in_namespaces(void (*body)(void))
{
    char text[1024];
    struct step step = {body};
    int status = in_child(as_pid_1, &step, text, sizeof(text));
    if (status != 0)
        fail_msg("status %d: %s", status, text);
}

static void refused(void (*body)(void))
{
    char text[1024];
    struct step step = {body};
    int status = in_child(as_pid_1, &step, text, sizeof(text));
    if (status != INIT_GAVE_UP || strstr(text, "not ours") == NULL)
        fail_msg("status %d: %s", status, text);
}

/* ---- what happens in there ---- */

static void touch(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
    CHILD_REQUIRE(fd >= 0 && write(fd, "data", 4) == 4);
    close(fd);
}

static int entries(const char *path)
{
    int count = 0;
    DIR *dir = opendir(path);
    CHILD_REQUIRE(dir != NULL);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return count;
}

static dev_t device(const char *path)
{
    struct stat info;
    CHILD_REQUIRE(stat(path, &info) == 0);
    return info.st_dev;
}

/* Resets, and requires that what stands there afterwards is fresh; whether it was mounted anew. The
 * descriptor keeps the old file system, so that its number is not given to a new one. */
static bool reset_and_check(void)
{
    dev_t before = device("/tmp/w");
    int old = open("/tmp/w", O_PATH | O_CLOEXEC);
    CHILD_REQUIRE(files_reset(DIRT_TMPFS) == 0);
    struct stat info;
    CHILD_REQUIRE(entries("/tmp/w") == 0);
    CHILD_REQUIRE(stat("/tmp/w", &info) == 0 && info.st_uid == 0 &&
                  (info.st_mode & 07777) == 01777);
    CHILD_REQUIRE(listxattr("/tmp/w", NULL, 0) == 0);
    CHILD_REQUIRE(!files_touched(&self.tmpfs[0]));
    CHILD_REQUIRE(fcntl(self.tmpfs[0].dir_fd, F_GETFD) == FD_CLOEXEC);
    struct stat held;
    CHILD_REQUIRE(fstat(self.tmpfs[0].dir_fd, &held) == 0 && held.st_dev == info.st_dev);
    close(old);
    return held.st_dev != before;
}

static void untouched(void)
{
    CHILD_REQUIRE(!files_touched(&self.tmpfs[0]));
    CHILD_REQUIRE((files_dirt() & DIRT_TMPFS) == 0);
    CHILD_REQUIRE(access("/tmp/w", W_OK) == 0 &&
                  entries("/tmp/w") == 0); /* looking changes nothing */
    CHILD_REQUIRE((files_dirt() & DIRT_TMPFS) == 0);
}

static void a_few_files(void)
{
    char path[64];
    for (int i = 0; i < WIPE_ENTRIES_MAX; i++) {
        snprintf(path, sizeof(path), "/tmp/w/file%d", i);
        touch(path);
    }
    CHILD_REQUIRE(files_dirt() == DIRT_TMPFS);
    CHILD_REQUIRE(!reset_and_check()); /* wiped, not mounted anew */
    touch("/tmp/w/again");
    CHILD_REQUIRE(files_dirt() == DIRT_TMPFS);
    CHILD_REQUIRE(!reset_and_check());
}

static void kinds_of_entries(void)
{
    touch("/tmp/w/.hidden");
    touch("/tmp/w/\n\x01\xff -rf *");
    CHILD_REQUIRE(symlink("/", "/tmp/w/root") == 0);
    CHILD_REQUIRE(symlink("nowhere", "/tmp/w/dangling") == 0);
    CHILD_REQUIRE(mkfifo("/tmp/w/fifo", 0666) == 0);
    CHILD_REQUIRE(link("/tmp/w/.hidden", "/tmp/w/hard") == 0);
    touch("/tmp/w/locked");
    CHILD_REQUIRE(chmod("/tmp/w/locked", 0) == 0);
    CHILD_REQUIRE(!reset_and_check());
    CHILD_REQUIRE(entries("/tmp") == 2); /* what links pointed at is still there */
}

static void many_files(void)
{
    char path[64];
    for (int i = 0; i <= WIPE_ENTRIES_MAX; i++) {
        snprintf(path, sizeof(path), "/tmp/w/file%d", i);
        touch(path);
    }
    CHILD_REQUIRE(reset_and_check());
}

static void a_directory(void)
{
    CHILD_REQUIRE(mkdir("/tmp/w/d", 0700) == 0);
    touch("/tmp/w/d/f");
    CHILD_REQUIRE(files_dirt() == DIRT_TMPFS);
    CHILD_REQUIRE(reset_and_check());
}

static void names_of_every_length(void)
{
    char path[NAME_MAX + 16];
    for (int i = 0; i < 30; i++) { /* more than one getdents64(2) buffer */
        strcpy(path, "/tmp/w/");
        memset(path + 7, 'a' + i % 26, NAME_MAX - (size_t)i);
        path[7 + NAME_MAX - i] = '\0';
        touch(path);
    }
    CHILD_REQUIRE(!reset_and_check());
}

static void a_mode_of_the_root(void)
{
    CHILD_REQUIRE(chmod("/tmp/w", 0700) == 0);
    CHILD_REQUIRE(files_dirt() == DIRT_TMPFS);
    CHILD_REQUIRE(reset_and_check());
}

static void an_owner_of_the_root(void)
{
    CHILD_REQUIRE(chown("/tmp/w", 1000, 1000) == 0);
    CHILD_REQUIRE(files_dirt() == DIRT_TMPFS);
    CHILD_REQUIRE(reset_and_check());
}

static void an_attribute_of_the_root(void)
{
    if (setxattr("/tmp/w", "trusted.x", "y", 1, 0) < 0)
        return; /* a kernel without them */
    CHILD_REQUIRE(files_dirt() == DIRT_TMPFS);
    CHILD_REQUIRE(reset_and_check());
}

/* Space that is held although no name is left: open files of processes that are not ours to count. */
static void an_unlinked_file_that_is_still_open(void)
{
    int fd = open("/tmp/w/open", O_CREAT | O_RDWR | O_CLOEXEC, 0666);
    CHILD_REQUIRE(fd >= 0 && ftruncate(fd, 0) == 0 && write(fd, "x", 1) == 1);
    CHILD_REQUIRE(unlink("/tmp/w/open") == 0);
    CHILD_REQUIRE(files_dirt() == DIRT_TMPFS);
    CHILD_REQUIRE(reset_and_check());
}

static void made_and_removed(void)
{
    struct timespec tick = {0, 20 * 1000 * 1000}; /* times are as coarse as a tick */
    nanosleep(&tick, NULL);
    touch("/tmp/w/f");
    CHILD_REQUIRE(unlink("/tmp/w/f") == 0);
    CHILD_REQUIRE(files_dirt() == DIRT_TMPFS);
    CHILD_REQUIRE(!reset_and_check());
}

static void without_an_inode_cap_it_is_always_touched(void)
{
    strcpy(self.tmpfs[0].data, "size=1m,nr_inodes=0");
    CHILD_REQUIRE(umount2("/tmp/w", MNT_DETACH) == 0 && mounts_make_tmpfs(0) == 0);
    CHILD_REQUIRE(files_dirt() == DIRT_TMPFS);
}

static void a_root_of_the_runs_own_is_always_touched(void)
{
    CHILD_REQUIRE(chown("/tmp/w", setup.uid, setup.gid) == 0);
    self.tmpfs[0].fresh.st_uid = setup.uid;
    CHILD_REQUIRE(files_touched(&self.tmpfs[0]));
}

static void only_what_the_mask_names(void)
{
    CHILD_REQUIRE(mkdir("/tmp/v", 0755) == 0);
    strcpy(self.tmpfs[1].target, "/tmp/v");
    strcpy(self.tmpfs[1].data, "size=1m,nr_inodes=4k");
    CHILD_REQUIRE(mounts_make_tmpfs(1) == 0);
    self.tmpfs_count = 2;
    touch("/tmp/w/a");
    touch("/tmp/v/b");
    CHILD_REQUIRE(files_dirt() == (DIRT_TMPFS | DIRT_TMPFS << 1));
    CHILD_REQUIRE(files_reset(DIRT_TMPFS << 1) == 0);
    CHILD_REQUIRE(entries("/tmp/w") == 1 && entries("/tmp/v") == 0);
    CHILD_REQUIRE(files_reset(UINT32_MAX) == 0); /* bits of mounts that do not exist mean nothing */
    CHILD_REQUIRE(entries("/tmp/w") == 0);
}

static void ipc_objects(void)
{
    CHILD_REQUIRE((files_dirt() & DIRT_IPC) == 0);
    int shm = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    CHILD_REQUIRE(shm >= 0 && files_dirt() == DIRT_IPC);
    CHILD_REQUIRE(shmctl(shm, IPC_RMID, NULL) == 0 && files_dirt() == 0);
    int sem = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
    CHILD_REQUIRE(sem >= 0 && files_dirt() == DIRT_IPC);
    CHILD_REQUIRE(semctl(sem, 0, IPC_RMID) == 0 && files_dirt() == 0);
    int msg = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    CHILD_REQUIRE(msg >= 0 && files_dirt() == DIRT_IPC);
    CHILD_REQUIRE(msgctl(msg, IPC_RMID, NULL) == 0 && files_dirt() == 0);
}

static void a_pipe_that_was_resized(void)
{
    CHILD_REQUIRE(files_dirt() == 0);
    int size = fcntl(self.kept[INIT_KEPT_OUTPUT + 1], F_GETPIPE_SZ);
    CHILD_REQUIRE(fcntl(self.kept[INIT_KEPT_OUTPUT + 1], F_SETPIPE_SZ, 4096) == 4096);
    CHILD_REQUIRE(files_dirt() == DIRT_KEPT << (INIT_KEPT_OUTPUT + 1));
    struct init_answer answer = {0};
    int fd = make_output(INIT_KEPT_OUTPUT + 1, &answer); /* made anew */
    CHILD_REQUIRE(fd >= 0 && fcntl(fd, F_GETPIPE_SZ) == size && files_dirt() == 0);
}

/* ---- prove_place() ---- */

static void of_another_file_system(void)
{
    self.tmpfs[0].dir_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHILD_REQUIRE(self.tmpfs[0].dir_fd >= 0);
    files_reset(DIRT_TMPFS);
}

static void of_the_root_itself(void)
{
    self.tmpfs[0].dir_fd = self.root_fd;
    CHILD_REQUIRE(fstat(self.root_fd, &self.tmpfs[0].fresh) == 0);
    files_reset(DIRT_TMPFS);
}

static void of_another_tmpfs(void)
{
    CHILD_REQUIRE(mkdir("/tmp/v", 0755) == 0 &&
                  mount("tmpfs", "/tmp/v", "tmpfs", 0, "size=1m") == 0);
    touch("/tmp/v/precious");
    self.tmpfs[0].dir_fd = open("/tmp/v", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    files_reset(DIRT_TMPFS);
}

static void of_nothing(void)
{
    self.tmpfs[0].dir_fd = -1;
    files_reset(DIRT_TMPFS);
}

static void without_a_root(void)
{
    self.root_fd = -1;
    files_reset(DIRT_TMPFS);
}

static void of_a_process_that_is_not_init(void)
{
    touch("/tmp/w/precious");
    pid_t pid = fork();
    if (pid == 0) {
        files_reset(DIRT_TMPFS);
        _exit(0);
    }
    int status;
    CHILD_REQUIRE(waitpid(pid, &status, 0) == pid);
    CHILD_REQUIRE(entries("/tmp/w") == 1);
    _exit(WEXITSTATUS(status));
}

static void cleaning_is_refused_anywhere_else(void **state)
{
    (void)state;
    refused(of_another_file_system);
    refused(of_the_root_itself);
    refused(of_another_tmpfs);
    refused(of_nothing);
    refused(without_a_root);
    refused(of_a_process_that_is_not_init);
}

/* ---- files in and out ---- */

/* As the service does: init itself never holds a file open for writing. */
static int for_writing(int place)
{
    char link[64];
    CHILD_REQUIRE(place >= 0 && (fcntl(place, F_GETFL) & O_ACCMODE) == O_RDONLY);
    snprintf(link, sizeof(link), "/proc/self/fd/%d", place);
    int fd = open(link, O_WRONLY | O_TRUNC | O_CLOEXEC);
    close(place);
    return fd;
}

static void writes_in(void)
{
    static const char *const paths[] = {"w/a", "w/new/deep/file", "w//double", "w/./dot",
                                        "w/x/../y"};
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        int fd = for_writing(open_in(paths[i]));
        struct stat info;
        CHILD_REQUIRE(fd >= 0 && write(fd, "hi", 2) == 2);
        CHILD_REQUIRE(fstat(fd, &info) == 0 && info.st_uid == 1000 && info.st_gid == 1000 &&
                      (info.st_mode & 07777) == 0777);
        close(fd);
    }
    struct stat info;
    CHILD_REQUIRE(stat("/tmp/w/new/deep", &info) == 0 && info.st_uid == 1000 &&
                  (info.st_mode & 07777) == 0777);
    int fd = for_writing(open_in("w/a")); /* again: cut and written anew */
    CHILD_REQUIRE(fd >= 0 && fstat(fd, &info) == 0 && info.st_size == 0);
}

static void refuses_in(void)
{
    touch("/tmp/outside");
    CHILD_REQUIRE(symlink("/tmp/outside", "/tmp/w/link") == 0);
    CHILD_REQUIRE(symlink("../outside", "/tmp/w/relative") == 0);
    CHILD_REQUIRE(symlink("/tmp", "/tmp/w/up") == 0);
    CHILD_REQUIRE(symlink("nowhere", "/tmp/w/dangling") == 0);
    CHILD_REQUIRE(symlink("nodir", "/tmp/w/dirlink") == 0);
    CHILD_REQUIRE(mkfifo("/tmp/w/fifo", 0666) == 0);
    CHILD_REQUIRE(mknod("/tmp/w/null", S_IFCHR | 0666, makedev(1, 3)) == 0);
    CHILD_REQUIRE(mkdir("/tmp/w/dir", 0755) == 0);
    static const char *const paths[] = {
        "w/link", "w/relative", "w/up/outside", "w/up/new", "w/dangling", "w/dirlink/new",
        "w/fifo", "w/null",     "w/dir",        "..",       "../etc/x",   "w/../../etc/x",
        ".",      "w/",         "w/link/x",     "w/fifo/x",
    };
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        errno = 0;
        int fd = open_in(paths[i]);
        if (fd >= 0)
            dprintf(STDERR_FILENO, "opened %s\n", paths[i]);
        CHILD_REQUIRE(fd == -1 && errno != 0);
    }
    CHILD_REQUIRE(access("/tmp/new", F_OK) < 0 && access("/tmp/w/nodir", F_OK) < 0 &&
                  access("/tmp/w/nowhere", F_OK) < 0);
    struct stat info;
    CHILD_REQUIRE(stat("/tmp/outside", &info) == 0 && info.st_size == 4 && info.st_uid == 0);
}

static void reads_out(void)
{
    touch("/tmp/w/f");
    CHILD_REQUIRE(mkdir("/tmp/w/d", 0755) == 0);
    CHILD_REQUIRE(chmod("/tmp/w/f", 0) == 0); /* init is root in there */
    uint32_t not_regular = 0;
    int fd = open_out("w/f", &not_regular);
    char bytes[8];
    CHILD_REQUIRE(fd >= 0 && not_regular == 0 && read(fd, bytes, sizeof(bytes)) == 4);
    CHILD_REQUIRE(write(fd, "x", 1) < 0);
    CHILD_REQUIRE((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
    close(fd);
    CHILD_REQUIRE(symlink("f", "/tmp/w/link") == 0);
    CHILD_REQUIRE(symlink("/tmp/w", "/tmp/w/self") == 0);
    CHILD_REQUIRE(mkfifo("/tmp/w/fifo", 0666) == 0);
    CHILD_REQUIRE(mknod("/tmp/w/zero", S_IFCHR | 0666, makedev(1, 5)) == 0);
    static const struct {
        const char *path;
        uint32_t not_regular;
    } cases[] = {
        {"w/link", 1}, {"w/self/f", 1}, {"w/fifo", 1}, {"w/zero", 1}, {"w/d", 1},       {".", 1},
        {"w/none", 0}, {"w/f/x", 0},    {"w/d/x", 0},  {"../x", 0},   {"w/../../x", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        not_regular = 0;
        errno = 0;
        fd = open_out(cases[i].path, &not_regular);
        if (fd >= 0 || not_regular != cases[i].not_regular)
            dprintf(STDERR_FILENO, "%s: %d, %u\n", cases[i].path, fd, not_regular);
        CHILD_REQUIRE(fd == -1 && errno != 0 && not_regular == cases[i].not_regular);
    }
}

static void refuses_files_that_are_no_files(void)
{
    CHILD_REQUIRE(mkdir("/tmp/proc", 0755) == 0 &&
                  mount("proc", "/tmp/proc", "proc", 0, NULL) == 0);
    uint32_t not_regular = 0;
    CHILD_REQUIRE(open_out("proc/self/status", &not_regular) == -1);
    CHILD_REQUIRE(open_out("proc/1/environ", &not_regular) == -1 && not_regular == 1);
    CHILD_REQUIRE(open_out("proc/1/root/w", &not_regular) == -1);
    CHILD_REQUIRE(open_in("proc/sys/kernel/domainname") == -1);
}

static void makes_links(void)
{
    CHILD_REQUIRE(make_symlink("w/dir/link", "x") == -1 && errno == ENOENT);
    CHILD_REQUIRE(access("/tmp/w/dir", F_OK) < 0);
    CHILD_REQUIRE(mkdir("/tmp/w/dir", 0777) == 0);
    CHILD_REQUIRE(make_symlink("w/dir/empty", "") == -1 && errno == ENOENT);
    CHILD_REQUIRE(make_symlink("w/dir/link", "../../etc/passwd") == 0);
    char target[64];
    struct stat info;
    ssize_t length = readlink("/tmp/w/dir/link", target, sizeof(target));
    CHILD_REQUIRE(length == 16 && memcmp(target, "../../etc/passwd", 16) == 0);
    CHILD_REQUIRE(lstat("/tmp/w/dir/link", &info) == 0 && info.st_uid == 1000);
    CHILD_REQUIRE(make_symlink("w/dir/link", "x") == -1 && errno == EEXIST);
    CHILD_REQUIRE(make_symlink("../x", "x") == -1);
    CHILD_REQUIRE(make_symlink("w/dir/link/x", "x") == -1);
}

static void no_descriptor_stays_open(void)
{
    int before = entries("/proc/self/fd");
    uint32_t not_regular;
    for (int i = 0; i < 50; i++) {
        int fd = open_in("w/a/b/c");
        CHILD_REQUIRE(fd >= 0);
        close(fd);
        CHILD_REQUIRE(open_in("w/a/b/c/d") < 0 && open_in("w/a/b") < 0);
        CHILD_REQUIRE(open_out("w/a/b", &not_regular) < 0);
        CHILD_REQUIRE(make_symlink("w/a/b/c", "x") < 0);
        CHILD_REQUIRE(files_reset(DIRT_TMPFS) == 0);
    }
    CHILD_REQUIRE(entries("/proc/self/fd") == before);
}

/* ---- the held file ---- */

static const char main_file[] = "/tmp/w/main";

static void hold_main(void)
{
    held_forget();
    CHILD_REQUIRE(files_reset(DIRT_TMPFS) == 0);
    int fd = open_in("w/main");
    CHILD_REQUIRE(fd >= 0);
    close(fd);
    fd = open(main_file, O_WRONLY | O_CLOEXEC); /* as the service writes it */
    CHILD_REQUIRE(fd >= 0 && ftruncate(fd, 0) == 0 && write(fd, "program", 7) == 7);
    close(fd);
    CHILD_REQUIRE(held_begin("tmp/w/main") == 0 && !held_touched());
}

static bool stays(void)
{
    bool held = true;
    bool has_directory = access("/tmp/w/d", F_OK) == 0;
    dev_t before = device("/tmp/w");
    int old = open("/tmp/w", O_PATH | O_CLOEXEC); /* so that its number is not given to a new one */
    CHILD_REQUIRE(files_reset_around_held(files_dirt() & DIRT_TMPFS, &held) == 0);
    CHILD_REQUIRE((device("/tmp/w") == before) == !has_directory); /* wiped, not mounted anew */
    close(old);
    CHILD_REQUIRE(entries("/tmp/w") == (held ? 1 : 0) && (access(main_file, F_OK) == 0) == held);
    CHILD_REQUIRE(!files_touched(&self.tmpfs[0]));
    return held;
}

/* As a run does. */
static void execute_main(void)
{
    struct stat info;
    CHILD_REQUIRE(stat(main_file, &info) == 0 && (info.st_mode & 0111) != 0);
    pid_t pid = fork();
    CHILD_REQUIRE(pid >= 0);
    if (pid == 0) {
        execl(main_file, main_file, (char *)NULL);
        _exit(errno == ENOEXEC ? 0 : 1); /* it was opened, and is no program */
    }
    int status;
    CHILD_REQUIRE(waitpid(pid, &status, 0) == pid && status == 0);
}

static void holds_over_resets(void)
{
    hold_main();
    CHILD_REQUIRE(files_reset_around_held(DIRT_TMPFS, &(bool){true}) == 0 && stays());
    CHILD_REQUIRE((files_dirt() & DIRT_TMPFS) == 0); /* as it is now is fresh */
    for (int i = 0; i < 3; i++) {
        execute_main();
        CHILD_REQUIRE((files_dirt() & DIRT_TMPFS) == 0);
    }
    touch("/tmp/w/left");
    CHILD_REQUIRE(symlink("main", "/tmp/w/link") == 0);
    CHILD_REQUIRE(files_dirt() == DIRT_TMPFS && stays());
    CHILD_REQUIRE(files_reset(0) == 0); /* who does not say so gets a fresh place */
    CHILD_REQUIRE(entries("/tmp/w") == 0 && !files_touched(&self.tmpfs[0]) && held_dirt() == 0);
}

static void write_mapped(void)
{
    int fd = open(main_file, O_RDWR | O_CLOEXEC);
    char *mapped = mmap(NULL, 7, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHILD_REQUIRE(fd >= 0 && mapped != MAP_FAILED);
    CHILD_REQUIRE(*(volatile char *)mapped == 'p'); /* so that writing is no fault any more */
    mapped[0] = 'P';
    CHILD_REQUIRE(close(fd) == 0 && munmap(mapped, 7) == 0);
}

static int late_fd = -1; /* closed when the run is over, as one in a socket of nobody's */

/* Written silently. */
static void write_and_stay_open(void)
{
    execute_main();
    late_fd = open(main_file, O_RDWR | O_CLOEXEC);
    char *mapped = mmap(NULL, 7, PROT_READ | PROT_WRITE, MAP_SHARED, late_fd, 0);
    CHILD_REQUIRE(late_fd >= 0 && mapped != MAP_FAILED && *(volatile char *)mapped == 'p');
    mapped[0] = 'P';
    CHILD_REQUIRE(munmap(mapped, 7) == 0);
}

static void execute_twice(void)
{
    execute_main();
    execute_main();
}

static void open_for_writing(void)
{
    int fd = open(main_file, O_WRONLY | O_CLOEXEC);
    CHILD_REQUIRE(fd >= 0 && close(fd) == 0);
}

static void write_and_put_times_back(void)
{
    struct stat info;
    CHILD_REQUIRE(stat(main_file, &info) == 0);
    open_for_writing();
    const struct timespec times[] = {info.st_atim, info.st_mtim};
    CHILD_REQUIRE(utimensat(AT_FDCWD, main_file, times, 0) == 0);
}

static void cut_it(void)
{
    CHILD_REQUIRE(truncate(main_file, 3) == 0);
}

static void change_its_mode(void)
{
    CHILD_REQUIRE(chmod(main_file, 0700) == 0 && chmod(main_file, 0777) == 0);
}

static void give_it_an_attribute(void)
{
    (void)setxattr(main_file, "user.x", "1", 1, 0);
    (void)setxattr(main_file, "trusted.x", "1", 1, 0); /* tmpfs of Linux before 6.6 has no others */
}

static void rename_it(void)
{
    CHILD_REQUIRE(rename(main_file, "/tmp/w/other") == 0);
}

static void rename_it_and_back(void)
{
    rename_it();
    CHILD_REQUIRE(rename("/tmp/w/other", main_file) == 0);
}

static void remove_it(void)
{
    CHILD_REQUIRE(unlink(main_file) == 0);
}

static void replace_it(void)
{
    remove_it();
    touch(main_file);
}

static void link_it(void)
{
    CHILD_REQUIRE(link(main_file, "/tmp/w/other") == 0);
}

static void link_and_unlink_it(void)
{
    link_it();
    CHILD_REQUIRE(unlink("/tmp/w/other") == 0);
}

static void leave_a_directory(void)
{
    CHILD_REQUIRE(mkdir("/tmp/w/d", 0777) == 0); /* mounted anew */
}

static void give_it_a_hint(void)
{
    uint64_t hint = 3;
    int fd = open(main_file, O_RDONLY | O_CLOEXEC);
    CHILD_REQUIRE(fd >= 0 && fcntl(fd, GET_RW_HINT + 1, &hint) == 0 && close(fd) == 0);
}

static void give_it_a_flag(void)
{
    unsigned long flags = FS_NODUMP_FL;
    int fd = open(main_file, O_RDONLY | O_CLOEXEC);
    CHILD_REQUIRE(fd >= 0);
    if (ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0)
        touch("/tmp/w/main"); /* no tmpfs before Linux 6.6 has them */
    close(fd);
}

static void lets_go_of_what_was_touched(void)
{
    static void (*const ways[])(void) = {
        write_mapped,         open_for_writing, write_and_put_times_back, cut_it,
        change_its_mode,      rename_it,        rename_it_and_back,       remove_it,
        replace_it,           link_it,          link_and_unlink_it,       leave_a_directory,
        give_it_an_attribute, give_it_a_hint,   give_it_a_flag,           write_and_stay_open,
        execute_twice,
    };
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        hold_main();
        CHILD_REQUIRE(stays() && stays());
        ways[i]();
        CHILD_REQUIRE(files_dirt() == DIRT_TMPFS);
        CHILD_REQUIRE(files_dirt() == DIRT_TMPFS); /* once seen it stays so */
        if (late_fd >= 0)
            close(late_fd);
        late_fd = -1;
        CHILD_REQUIRE(!stays());
        CHILD_REQUIRE(!held_touched() && held_dirt() == 0);
    }
}

static void holds_nothing_else(void)
{
    static const char *const paths[] = {"tmp/w",     "tmp/w/",    "tmp/w/absent", "tmp/w/d",
                                        "tmp/w/d/f", "tmp/kept",  "tmp/w/..",     "tmp/w/link",
                                        "tmp/wmain", "etc/passwd"};
    CHILD_REQUIRE(mkdir("/tmp/w/d", 0777) == 0 && symlink("d/f", "/tmp/w/link") == 0);
    touch("/tmp/w/d/f");
    touch("/tmp/wmain");
    for (size_t i = 0; i < COUNT_OF(paths); i++)
        CHILD_REQUIRE(held_begin(paths[i]) < 0 && held_dirt() == 0);
    setup.flags = SETUP_SINGLE_ID;
    touch(main_file);
    CHILD_REQUIRE(held_begin("tmp/w/main") < 0 && errno == EOPNOTSUPP);
}

static void holding_costs_two_descriptors(void)
{
    int before = entries("/proc/self/fd");
    for (int i = 0; i < 20; i++) {
        hold_main();
        CHILD_REQUIRE(stays());
        CHILD_REQUIRE(entries("/proc/self/fd") == before + 2);
        remove_it();
        CHILD_REQUIRE(!stays());
        CHILD_REQUIRE(held_begin("tmp/w/main") < 0);
        CHILD_REQUIRE(entries("/proc/self/fd") == before);
    }
}

/* ---- the list ---- */

#define CASE(name, body)                                                                           \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        in_namespaces(body);                                                                       \
    }

CASE(what_nobody_touched_is_not_dirty, untouched)
CASE(a_few_files_are_wiped, a_few_files)
CASE(links_fifos_and_odd_names_are_wiped, kinds_of_entries)
CASE(long_names_are_wiped, names_of_every_length)
CASE(many_files_are_a_new_mount, many_files)
CASE(a_directory_is_a_new_mount, a_directory)
CASE(a_changed_mode_is_a_new_mount, a_mode_of_the_root)
CASE(a_changed_owner_is_a_new_mount, an_owner_of_the_root)
CASE(an_extended_attribute_is_a_new_mount, an_attribute_of_the_root)
CASE(held_space_is_a_new_mount, an_unlinked_file_that_is_still_open)
CASE(a_file_that_came_and_went_is_seen, made_and_removed)
CASE(uncounted_mounts_are_always_dirty, without_an_inode_cap_it_is_always_touched)
CASE(mounts_of_the_runs_own_are_always_dirty, a_root_of_the_runs_own_is_always_touched)
CASE(only_the_named_mounts_are_reset, only_what_the_mask_names)
CASE(ipc_objects_are_seen, ipc_objects)
CASE(a_resized_pipe_is_seen, a_pipe_that_was_resized)
CASE(files_are_put_in, writes_in)
CASE(nothing_is_put_behind_a_link, refuses_in)
CASE(only_regular_files_come_out, reads_out)
CASE(kernel_files_are_no_files, refuses_files_that_are_no_files)
CASE(links_are_made_and_never_followed, makes_links)
CASE(descriptors_are_given_back, no_descriptor_stays_open)

CASE(a_held_file_stays, holds_over_resets)
CASE(a_held_file_that_was_touched_goes, lets_go_of_what_was_touched)
CASE(only_a_file_of_the_work_directory_is_held, holds_nothing_else)
CASE(a_held_file_costs_two_descriptors, holding_costs_two_descriptors)

int main(void)
{
    if (geteuid() != 0) {
        fprintf(stderr, "needs root: it mounts in namespaces of its own\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_nobody_touched_is_not_dirty),
        cmocka_unit_test(a_few_files_are_wiped),
        cmocka_unit_test(links_fifos_and_odd_names_are_wiped),
        cmocka_unit_test(long_names_are_wiped),
        cmocka_unit_test(many_files_are_a_new_mount),
        cmocka_unit_test(a_directory_is_a_new_mount),
        cmocka_unit_test(a_changed_mode_is_a_new_mount),
        cmocka_unit_test(a_changed_owner_is_a_new_mount),
        cmocka_unit_test(an_extended_attribute_is_a_new_mount),
        cmocka_unit_test(held_space_is_a_new_mount),
        cmocka_unit_test(a_file_that_came_and_went_is_seen),
        cmocka_unit_test(uncounted_mounts_are_always_dirty),
        cmocka_unit_test(mounts_of_the_runs_own_are_always_dirty),
        cmocka_unit_test(only_the_named_mounts_are_reset),
        cmocka_unit_test(ipc_objects_are_seen),
        cmocka_unit_test(a_resized_pipe_is_seen),
        cmocka_unit_test(cleaning_is_refused_anywhere_else),
        cmocka_unit_test(files_are_put_in),
        cmocka_unit_test(nothing_is_put_behind_a_link),
        cmocka_unit_test(only_regular_files_come_out),
        cmocka_unit_test(kernel_files_are_no_files),
        cmocka_unit_test(links_are_made_and_never_followed),
        cmocka_unit_test(descriptors_are_given_back),
        cmocka_unit_test(a_held_file_stays),
        cmocka_unit_test(a_held_file_that_was_touched_goes),
        cmocka_unit_test(only_a_file_of_the_work_directory_is_held),
        cmocka_unit_test(a_held_file_costs_two_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* One command of the host: started with pipes, ended by itself or with all its family. */
#include "guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAMILY_MAX 4096

/* In the child, before exec. A failure travels as text through `report`, which exec closes. */
static noreturn void child_fail(int report, const char *step)
{
    dprintf(report, "%s: %s", step, strerror(errno));
    _exit(127);
}

static noreturn void child_run(const struct command_spec *spec, const int fds[static 3], int report)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid();

    for (int i = 0; i < 3; i++)
        if (dup2(fds[i], i) < 0)
            child_fail(report, "dup2");
    const char *failed = "";
    if (*spec->cgroup && cgroup_enter(spec->cgroup, spec->uid, spec->gid, &failed) < 0)
        child_fail(report, failed);
    if (setgroups(0, NULL) < 0 || setresgid(spec->gid, spec->gid, spec->gid) < 0 ||
        setresuid(spec->uid, spec->uid, spec->uid) < 0)
        child_fail(report, "become the user");
    if (chdir(spec->cwd) < 0)
        child_fail(report, spec->cwd);
    environ = spec->envp; /* so that execvp searches the command's PATH */
    execvp(spec->argv[0], spec->argv);
    child_fail(report, spec->argv[0]);
}

static void pipes_close(int pipes[static 4][2])
{
    for (int i = 0; i < 4; i++)
        for (int end = 0; end < 2; end++)
            if (pipes[i][end] >= 0)
                close(pipes[i][end]);
}

int command_start(struct command *command, const struct command_spec *spec, char *message,
                  size_t message_size)
{
    enum { IN, OUT, ERR, REPORT };
    int pipes[4][2] = {{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
    for (int i = 0; i < 4; i++)
        if (pipe2(pipes[i], O_CLOEXEC) < 0) {
            snprintf(message, message_size, "pipe2: %s", strerror(errno));
            pipes_close(pipes);
            return -1;
        }

    pid_t pid = fork();
    if (pid == 0)
        child_run(spec, (int[]){pipes[IN][0], pipes[OUT][1], pipes[ERR][1]}, pipes[REPORT][1]);
    if (pid < 0) {
        snprintf(message, message_size, "fork: %s", strerror(errno));
        pipes_close(pipes);
        return -1;
    }

    close(pipes[REPORT][1]), pipes[REPORT][1] = -1;
    ssize_t length = read(pipes[REPORT][0], message, message_size - 1);
    if (length > 0) {
        message[length] = '\0';
        waitpid(pid, NULL, 0);
        pipes_close(pipes);
        return -1;
    }
    *command = (struct command){
        .id = command->id,
        .pid = pid,
        .stdin_fd = fcntl(pipes[IN][1], F_DUPFD_CLOEXEC, 3),
        .stdout_fd = fcntl(pipes[OUT][0], F_DUPFD_CLOEXEC, 3),
        .stderr_fd = fcntl(pipes[ERR][0], F_DUPFD_CLOEXEC, 3),
    };
    pipes_close(pipes);
    fcntl(command->stdin_fd, F_SETFL, O_NONBLOCK);
    return 0;
}

struct process {
    pid_t pid, parent, session;
};

static bool process_read(const char *name, struct process *out)
{
    char path[300], text[512];
    snprintf(path, sizeof path, "/proc/%s/stat", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    /* proc(5): pid (comm) state ppid pgrp session; comm may hold anything, ')' too */
    char *tail = strrchr(text, ')');
    out->pid = (pid_t)atoi(name);
    return tail && sscanf(tail + 1, " %*c %d %*d %d", &out->parent, &out->session) == 2;
}

static size_t processes_read(struct process *out, size_t capacity)
{
    size_t count = 0;
    DIR *directory = opendir("/proc");
    if (!directory)
        return 0;
    for (struct dirent *entry; count < capacity && (entry = readdir(directory));)
        if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9' &&
            process_read(entry->d_name, &out[count]))
            count++;
    closedir(directory);
    return count;
}

/* One look at /proc. Returns how many of the family were found alive. */
static size_t family_kill(pid_t leader)
{
    static struct process all[FAMILY_MAX];
    static bool is_family[FAMILY_MAX];
    size_t count = processes_read(all, FAMILY_MAX), found = 0;
    for (size_t i = 0; i < count; i++)
        is_family[i] = all[i].pid == leader || all[i].session == leader;
    for (bool grew = true; grew;) {
        grew = false;
        for (size_t child = 0; child < count; child++)
            for (size_t parent = 0; !is_family[child] && parent < count; parent++)
                if (is_family[parent] && all[child].parent == all[parent].pid)
                    is_family[child] = grew = true;
    }
    for (size_t i = 0; i < count; i++)
        if (is_family[i] && kill(all[i].pid, SIGKILL) == 0)
            found++;
    return found;
}

void command_kill(struct command *command)
{
    /* Repeated, because the family may fork while it is read; bounded, because zombies whose
     * parent is being killed still answer. A daemon that left the session of a dead parent is
     * out of reach: it is the guest's until shutdown. */
    for (int look = 0; look < 5 && family_kill(command->pid) > 0; look++)
        usleep(2000);
    int *fds[] = {&command->stdin_fd, &command->stdout_fd, &command->stderr_fd};
    for (int i = 0; i < 3; i++)
        if (*fds[i] >= 0)
            close(*fds[i]), *fds[i] = -1;
}

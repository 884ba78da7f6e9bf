#include "service.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/io.h"

#define START_TIMEOUT (60 * NS_PER_S)

enum { OPTIONS_MAX = 32, LOG_SIZE = 64 * 1024 };

/* ---- start and stop ---- */

static void run_child(const char *path, const char *const *options, int log_fd)
{
    /* The judging door would ask every language for its version meanwhile. */
    const char *args[OPTIONS_MAX + 8] = {"cjudge",      "serve", "-http-addr", "127.0.0.1:0",
                                         "-judge-addr", "off",   "-release"};
    size_t count = 7;
    for (size_t i = 0; options[i] != NULL && i < OPTIONS_MAX; i++)
        args[count++] = options[i];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(log_fd, STDERR_FILENO);
    execv(path, (char *const *)(uintptr_t)args);
    _exit(127);
}

/* The value behind "key": in the log, or NULL. */
static const char *find_value(const char *log, const char *key)
{
    const char *found = strstr(log, key);
    return found != NULL ? found + strlen(key) : NULL;
}

/* Returns 1 when the log says that it is ready, 0 when not yet, -1 when it has ended. */
static int look_at_log(struct service *service, int log_fd, char *log)
{
    ssize_t size = pread(log_fd, log, LOG_SIZE - 1, 0);
    log[size > 0 ? size : 0] = '\0';
    if (find_value(log, "\"message\":\"ready\"") == NULL)
        return waitpid(service->pid, NULL, WNOHANG) == service->pid ? -1 : 0;
    const char *port = find_value(log, "\"address\":\"127.0.0.1:");
    const char *slots = find_value(log, "\"slots\":");
    if (port == NULL || slots == NULL)
        return -1;
    service->address = (struct sockaddr_in){.sin_family = AF_INET,
                                            .sin_port = htons((uint16_t)atoi(port)),
                                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    service->slots = (unsigned)atoi(slots);
    return 1;
}

int service_start(struct service *service, const char *path, const char *const *options,
                  struct cj_error *err)
{
    char log[LOG_SIZE];
    auto_fd int log_fd = memfd_create("log", MFD_CLOEXEC);
    if (log_fd < 0)
        return error_errno(err, "memfd_create");
    *service = (struct service){.pid = fork()};
    if (service->pid < 0)
        return error_errno(err, "fork");
    if (service->pid == 0)
        run_child(path, options, log_fd);
    int64_t end_ns = monotonic_ns() + START_TIMEOUT;
    int ready;
    while ((ready = look_at_log(service, log_fd, log)) == 0 && monotonic_ns() < end_ns)
        usleep(10 * 1000);
    if (ready <= 0)
        return error_set(err, ERROR_SYSTEM, 0, "%s serve does not begin: %.800s", path, log);
    service_look(service);
    return 0;
}

int service_stop(struct service *service)
{
    int status = 0;
    kill(service->pid, SIGTERM);
    while (waitpid(service->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int service_connect(const struct service *service, struct cj_error *err)
{
    static const int one = 1;
    auto_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 ||
        connect(fd, (const struct sockaddr *)&service->address, sizeof(service->address)) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
        return error_errno(err, "connect to the service");
    return fd_take(&fd);
}

/* ---- its processes ---- */

/* The parent of a process; 0 when it is gone. */
static pid_t parent_of(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    if (read_file_at(AT_FDCWD, path, text, sizeof(text)) <= 0)
        return 0;
    const char *end = strrchr(text, ')'); /* the name may hold anything, proc(5) */
    int parent = 0;
    if (end == NULL || sscanf(end + 1, " %*c %d", &parent) != 1)
        return 0;
    return parent;
}

static bool is_ours(const struct service *service, pid_t parent)
{
    for (unsigned i = 0; i < service->process_count; i++)
        if (service->processes[i] == parent)
            return true;
    return false;
}

/* Children are found as long as a round finds some. */
void service_look(struct service *service)
{
    service->processes[0] = service->pid;
    service->process_count = 1;
    for (unsigned before = 0; before != service->process_count;) {
        before = service->process_count;
        DIR *proc = opendir("/proc");
        for (const struct dirent *entry; proc != NULL && (entry = readdir(proc)) != NULL;) {
            pid_t pid = atoi(entry->d_name);
            if (pid > 0 && !is_ours(service, pid) && is_ours(service, parent_of(pid)) &&
                service->process_count < SERVICE_PROCESSES_MAX)
                service->processes[service->process_count++] = pid;
        }
        if (proc != NULL)
            closedir(proc);
    }
}

static int64_t process_cpu_ns(pid_t pid)
{
    clockid_t clock;
    return clock_getcpuclockid(pid, &clock) == 0 ? clock_ns(clock) : 0;
}

int64_t service_own_cpu_ns(const struct service *service)
{
    return process_cpu_ns(service->pid);
}

int64_t service_cpu_ns(const struct service *service)
{
    int64_t sum_ns = 0;
    for (unsigned i = 0; i < service->process_count; i++)
        sum_ns += process_cpu_ns(service->processes[i]);
    return sum_ns;
}

static uint64_t memory_of(pid_t pid)
{
    char path[64], text[4096];
    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
    if (read_file_at(AT_FDCWD, path, text, sizeof(text)) <= 0)
        return 0;
    const char *line = strstr(text, "\nPss:");
    return line != NULL ? strtoull(line + 5, NULL, 10) * 1024 : 0;
}

uint64_t service_memory_bytes(struct service *service)
{
    uint64_t sum = 0;
    service_look(service);
    for (unsigned i = 0; i < service->process_count; i++)
        sum += memory_of(service->processes[i]);
    return sum;
}

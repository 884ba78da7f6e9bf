/* Serves the host's commands over the virtio-serial port.
 *
 * Frames are { type, id, length } as three little-endian 32-bit numbers, and `length` bytes. The
 * id is the host's name for a command; many may run at once. tests/guest/guest.py is the peer.
 *
 *   host -> guest  START   uid, gid, argc, envc (32 bits each), then NUL-terminated cwd, cgroup,
 *                          argv..., environment...
 *                  INPUT   bytes for stdin; an empty one closes it
 *                  KILL    end it and everything it started
 *   guest -> host  READY   (id 0) the kernel's release
 *                  TAKEN   the last INPUT is in the pipe, the next may come: at most one is held
 *                  OUTPUT, ERRORS   bytes of stdout and stderr
 *                  EXIT    wait status, 32 bits: it has ended and its output too
 *                  FAILED  it could not be started, and why */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

enum frame_type {
    FRAME_START = 1,
    FRAME_INPUT = 2,
    FRAME_KILL = 3,
    FRAME_READY = 16,
    FRAME_TAKEN = 17,
    FRAME_OUTPUT = 18,
    FRAME_ERRORS = 19,
    FRAME_EXIT = 20,
    FRAME_FAILED = 21,
};

struct frame {
    uint32_t type, id, length;
};

#define FRAME_MAX   (1u << 20)
#define CHUNK       65536
#define COMMAND_MAX 64

static struct command commands[COMMAND_MAX];
static int port_fd;

static void port_write(const void *data, size_t length)
{
    for (const char *at = data; length > 0;) {
        ssize_t written = write(port_fd, at, length);
        if (written < 0 && errno != EINTR)
            die("write to the host: %s", strerror(errno));
        if (written > 0)
            at += written, length -= (size_t)written;
    }
}

static void send_frame(enum frame_type type, uint32_t id, const void *data, size_t length)
{
    port_write(&(struct frame){.type = type, .id = id, .length = (uint32_t)length},
               sizeof(struct frame));
    port_write(data, length);
}

static struct command *command_find(uint32_t id)
{
    for (size_t i = 0; i < COMMAND_MAX; i++)
        if (commands[i].pid != 0 && commands[i].id == id)
            return &commands[i];
    return NULL;
}

/* Takes `count` strings off the front of *text into a NULL-terminated array. */
static char **strings_take(char **text, const char *end, uint32_t count)
{
    char **strings = calloc((size_t)count + 1, sizeof *strings);
    if (!strings)
        die("out of memory");
    for (uint32_t i = 0; i < count; i++) {
        if (*text >= end)
            die("a START frame is too short");
        strings[i] = *text;
        *text += strlen(*text) + 1;
    }
    return strings;
}

/* The caller has put a NUL behind the payload. */
static void on_start(uint32_t id, char *payload, size_t length)
{
    uint32_t numbers[4];
    if (length < sizeof numbers)
        die("a START frame is too short");
    memcpy(numbers, payload, sizeof numbers);
    char *text = payload + sizeof numbers, *end = payload + length;

    char **places = strings_take(&text, end, 2);
    char **argv = strings_take(&text, end, numbers[2]);
    char **envp = strings_take(&text, end, numbers[3]);
    struct command_spec spec = {
        .uid = numbers[0],
        .gid = numbers[1],
        .cwd = places[0],
        .cgroup = places[1],
        .argv = argv,
        .envp = envp,
    };

    char message[512] = "too many commands at once";
    struct command *slot = NULL;
    for (size_t i = 0; i < COMMAND_MAX && !slot; i++)
        if (commands[i].pid == 0)
            slot = &commands[i];
    if (slot)
        slot->id = id;
    if (!slot || command_start(slot, &spec, message, sizeof message) < 0)
        send_frame(FRAME_FAILED, id, message, strlen(message));
    free(places);
    free(argv);
    free(envp);
}

/* Writes as much of the held chunk as the pipe takes. */
static void input_push(struct command *command)
{
    while (command->stdin_fd >= 0 && command->input_offset < command->input_length) {
        ssize_t written = write(command->stdin_fd, command->input + command->input_offset,
                                command->input_length - command->input_offset);
        if (written < 0 && errno == EAGAIN)
            return;
        if (written < 0) /* EPIPE: nobody will read it; the rest is dropped, as a shell would */
            close(command->stdin_fd), command->stdin_fd = -1;
        else
            command->input_offset += (size_t)written;
    }
    free(command->input);
    command->input = NULL;
    send_frame(FRAME_TAKEN, command->id, NULL, 0);
}

static void on_input(uint32_t id, const char *payload, size_t length)
{
    struct command *command = command_find(id);
    if (!command || command->input) /* it has ended; or the host did not wait for TAKEN */
        return;
    if (length == 0) {
        if (command->stdin_fd >= 0)
            close(command->stdin_fd), command->stdin_fd = -1;
        return;
    }
    command->input = malloc(length);
    if (!command->input)
        die("out of memory");
    memcpy(command->input, payload, length);
    command->input_length = length;
    command->input_offset = 0;
    input_push(command);
}

static void on_frame(const struct frame *frame, char *payload)
{
    switch (frame->type) {
    case FRAME_START:
        on_start(frame->id, payload, frame->length);
        break;
    case FRAME_INPUT:
        on_input(frame->id, payload, frame->length);
        break;
    case FRAME_KILL: {
        struct command *command = command_find(frame->id);
        if (command)
            command_kill(command);
        break;
    }
    default:
        die("unknown frame type %u", frame->type);
    }
}

/* Returns false when the host has hung up. */
static bool port_read_full(void *data, size_t length)
{
    for (char *at = data; length > 0;) {
        ssize_t got = read(port_fd, at, length);
        if (got == 0 || (got < 0 && errno != EINTR))
            return false;
        if (got > 0)
            at += got, length -= (size_t)got;
    }
    return true;
}

/* Blocks until one frame is whole: the host writes frames in one piece. */
static bool port_read_frame(void)
{
    static char payload[FRAME_MAX + 1];
    struct frame frame;
    if (!port_read_full(&frame, sizeof frame))
        return false;
    if (frame.length > FRAME_MAX)
        die("a frame of %u bytes is too long", frame.length);
    if (!port_read_full(payload, frame.length))
        return false;
    payload[frame.length] = '\0';
    on_frame(&frame, payload);
    return true;
}

static void output_pull(const struct command *command, int *fd, enum frame_type type)
{
    static char chunk[CHUNK];
    ssize_t length = read(*fd, chunk, sizeof chunk);
    if (length > 0)
        send_frame(type, command->id, chunk, (size_t)length);
    else if (length == 0 || errno != EINTR)
        close(*fd), *fd = -1;
}

/* Everything in the guest that loses its parent becomes ours to reap. */
static void reap(void)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        for (size_t i = 0; i < COMMAND_MAX; i++)
            if (commands[i].pid == pid) {
                commands[i].exited = true;
                commands[i].wait_status = status;
            }
}

static void finish_if_over(struct command *command)
{
    if (!command->exited || command->stdout_fd >= 0 || command->stderr_fd >= 0)
        return;
    if (command->stdin_fd >= 0)
        close(command->stdin_fd);
    free(command->input);
    send_frame(FRAME_EXIT, command->id, &(uint32_t){(uint32_t)command->wait_status},
               sizeof(uint32_t));
    *command = (struct command){.pid = 0};
}

static int signals_open(void)
{
    signal(SIGPIPE, SIG_IGN);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    int fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        die("signalfd: %s", strerror(errno));
    return fd;
}

static void port_open(const char *path)
{
    /* The port appears when the control queue has been served, shortly after the module. */
    for (int waited_ms = 0; (port_fd = open(path, O_RDWR | O_CLOEXEC)) < 0; waited_ms += 10) {
        if (waited_ms > 20000)
            die("open %s: %s", path, strerror(errno));
        usleep(10000);
    }
}

/* One turn of the loop. poll(2) skips the negative descriptors of closed pipes and free slots. */
static bool serve_once(int signal_fd)
{
    struct pollfd fds[2 + 3 * COMMAND_MAX] = {
        {.fd = port_fd, .events = POLLIN},
        {.fd = signal_fd, .events = POLLIN},
    };
    for (size_t i = 0; i < COMMAND_MAX; i++) {
        const struct command *command = &commands[i];
        bool used = command->pid != 0;
        fds[2 + 3 * i] = (struct pollfd){.fd = used && command->input ? command->stdin_fd : -1,
                                         .events = POLLOUT};
        fds[3 + 3 * i] = (struct pollfd){.fd = used ? command->stdout_fd : -1, .events = POLLIN};
        fds[4 + 3 * i] = (struct pollfd){.fd = used ? command->stderr_fd : -1, .events = POLLIN};
    }
    if (poll(fds, sizeof fds / sizeof fds[0], -1) < 0)
        return errno == EINTR;

    for (size_t i = 0; i < COMMAND_MAX; i++) {
        if (fds[2 + 3 * i].revents)
            input_push(&commands[i]);
        if (fds[3 + 3 * i].revents)
            output_pull(&commands[i], &commands[i].stdout_fd, FRAME_OUTPUT);
        if (fds[4 + 3 * i].revents)
            output_pull(&commands[i], &commands[i].stderr_fd, FRAME_ERRORS);
    }
    if (fds[1].revents) {
        struct signalfd_siginfo drop[8];
        (void)!read(signal_fd, drop, sizeof drop);
        reap();
    }
    if ((fds[0].revents & POLLIN) && !port_read_frame())
        return false;
    for (size_t i = 0; i < COMMAND_MAX; i++)
        if (commands[i].pid != 0)
            finish_if_over(&commands[i]);
    return !(fds[0].revents & POLLHUP);
}

void agent_serve(const char *port)
{
    int signal_fd = signals_open();
    port_open(port);
    struct utsname name;
    uname(&name);
    send_frame(FRAME_READY, 0, name.release, strlen(name.release));
    while (serve_once(signal_fd))
        continue;
}

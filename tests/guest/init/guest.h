/* The guest's pid 1: what its parts offer each other.
 *
 * One static program is the whole initramfs besides the kernel's modules. It makes the root file
 * system look like a freshly booted Debian (boot.c), arranges cgroups the way the test asked for
 * (cgroup.c), and then serves commands over a virtio-serial port until the host hangs up (agent.c,
 * command.c). Nothing here is part of cjudge; it stands in for the machine cjudge runs on. */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>
#include <sys/types.h>

/* Says why on the console, which the host keeps, and powers the machine off. */
noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
noreturn void power_off(void);

/* boot.c: from the kernel's initramfs to a Debian root with /proc, /sys, /dev, /tmp and /run. */
void boot_modules(const char *directory);
void boot_root(const char *disk);
void boot_network(void);

/* Writes a whole kernel file. Returns 0, or -1 with errno. */
int write_file(const char *path, const char *text);

/* cgroup.c: mode is "v2-nsdelegate", "v2", "hybrid", "v1" or "none". */
void cgroup_mount(const char *mode);

/* Makes `path` below every mounted hierarchy, all controllers switched on above it, hands it to
 * uid and gid as systemd's Delegate= does, and moves the calling process there. Returns 0, or -1
 * with errno and *failed naming the file. */
int cgroup_enter(const char *path, uid_t uid, gid_t gid, const char **failed);

/* command.c: one command of the host. Output ends when every holder of the pipe is gone, as with
 * a shell's command substitution. */
struct command {
    uint32_t id;
    pid_t pid; /* also its session; 0: this slot is free */
    int stdin_fd, stdout_fd, stderr_fd;
    char *input; /* the chunk being written, or NULL */
    size_t input_length, input_offset;
    bool exited;
    int wait_status;
};

struct command_spec {
    uid_t uid;
    gid_t gid;
    const char *cwd, *cgroup;
    char **argv, **envp;
};

/* Returns 0, or -1 with the failed step in message. */
int command_start(struct command *command, const struct command_spec *spec, char *message,
                  size_t message_size);
/* Kills its session and its descendants, and lets go of its pipes. */
void command_kill(struct command *command);

/* agent.c: returns when the host has hung up. */
void agent_serve(const char *port);

#endif

/* What the host is, read from its files (all but the control groups: host_cgroups.c). */
#include "sandbox/host_facts.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/io.h"

enum { MOUNTINFO_MAX = 4 << 20, STATUS_SIZE = 8192 };

static const struct {
    const char *name;
    const char *file; /* in /proc/self/ns */
    int flag;
} namespaces[HOST_NAMESPACES] = {
    [HOST_NS_USER] = {"user", "user", CLONE_NEWUSER},
    [HOST_NS_MOUNT] = {"mount", "mnt", CLONE_NEWNS},
    [HOST_NS_PID] = {"pid", "pid", CLONE_NEWPID},
    [HOST_NS_NET] = {"net", "net", CLONE_NEWNET},
    [HOST_NS_IPC] = {"ipc", "ipc", CLONE_NEWIPC},
    [HOST_NS_UTS] = {"uts", "uts", CLONE_NEWUTS},
    [HOST_NS_CGROUP] = {"cgroup", "cgroup", CLONE_NEWCGROUP},
    [HOST_NS_TIME] = {"time", "time", 0x00000080 /* CLONE_NEWTIME, Linux 5.6 */},
};

const char *host_namespace_name(enum host_namespace ns)
{
    return (unsigned)ns < HOST_NAMESPACES ? namespaces[ns].name : "unknown";
}

int host_namespace_flag(enum host_namespace ns)
{
    return (unsigned)ns < HOST_NAMESPACES ? namespaces[ns].flag : 0;
}

/* ---- small files ---- */

size_t host_read_line(int root_fd, const char *path, char *text, size_t size)
{
    text[0] = '\0';
    if (read_file_at(root_fd, path, text, size) < 0) {
        text[0] = '\0';
        return 0;
    }
    text[strcspn(text, "\n")] = '\0';
    return strlen(text);
}

static int64_t parse_number(const char *text, int base)
{
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, base);
    return end == text || errno != 0 ? HOST_UNKNOWN : value;
}

int64_t host_read_number(int root_fd, const char *path)
{
    char text[64];
    if (host_read_line(root_fd, path, text, sizeof(text)) == 0)
        return HOST_UNKNOWN;
    return parse_number(text, 10);
}

static bool exists(int root_fd, const char *path)
{
    return faccessat(root_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* "Key:   value" on a line of its own in text. Returns the value's start (up to the line's end), or
 * NULL. */
static const char *find_field(const char *text, const char *key)
{
    size_t length = strlen(key);
    for (const char *line = text; line != NULL && *line != '\0';) {
        if (strncmp(line, key, length) == 0)
            return line + length + strspn(line + length, " \t");
        line = strchr(line, '\n');
        if (line != NULL)
            line++;
    }
    return NULL;
}

static int64_t find_number(const char *text, const char *key, int base)
{
    const char *value = find_field(text, key);
    return value == NULL ? HOST_UNKNOWN : parse_number(value, base);
}

/* Copies up to the line's end. */
static void copy_line(char *out, size_t size, const char *value)
{
    size_t length = strcspn(value, "\n");
    if (length >= size)
        length = size - 1;
    memcpy(out, value, length);
    out[length] = '\0';
}

/* Text of a file whose size is not bounded by a page, or "" (heap). */
static char *read_text(int root_fd, const char *path, size_t limit)
{
    char *text = NULL;
    size_t size = 0;
    if (read_file_alloc(root_fd, path, limit, &text, &size, NULL) < 0)
        return calloc(1, 1);
    return text;
}

/* ---- who we are, and on what ---- */

/* KEY=value or KEY="value" of os-release(5). */
static void read_os_field(const char *text, const char *key, char *out, size_t size)
{
    const char *value = find_field(text, key);
    if (value == NULL)
        return;
    char quote = *value == '"' || *value == '\'' ? *value++ : '\n';
    size_t length = 0;
    while (value[length] != '\0' && value[length] != quote && value[length] != '\n' &&
           length < size - 1)
        length++;
    memcpy(out, value, length);
    out[length] = '\0';
}

static void read_system(int root_fd, struct host_identity *out)
{
    char text[4096];
    if (read_file_at(root_fd, "etc/os-release", text, sizeof(text)) < 0 &&
        read_file_at(root_fd, "usr/lib/os-release", text, sizeof(text)) < 0)
        return;
    read_os_field(text, "PRETTY_NAME=", out->system, sizeof(out->system));
    read_os_field(text, "ID=", out->system_id, sizeof(out->system_id));
}

static void set_container(struct host_identity *out, const char *kind, const char *mark)
{
    snprintf(out->container, sizeof(out->container), "%s", kind);
    snprintf(out->container_mark, sizeof(out->container_mark), "%s", mark);
}

/* The signs in the order of how much they tell; some exist in several kinds. */
static void read_container(int root_fd, struct host_identity *out)
{
    static const struct {
        const char *part, *kind;
    } parts[] = {
        {"kubepods", "kubernetes"},   {"docker", "docker"}, {"libpod", "podman"},
        {"containerd", "containerd"}, {"lxc", "lxc"},       {"machine.slice", "systemd-nspawn"}};
    char text[4096];
    char manager[32]; /* systemd's container interface: the name as it stands */
    if (exists(root_fd, "run/secrets/kubernetes.io") ||
        exists(root_fd, "var/run/secrets/kubernetes.io"))
        return set_container(out, "kubernetes", "/run/secrets/kubernetes.io");
    if (exists(root_fd, ".dockerenv"))
        return set_container(out, "docker", "/.dockerenv");
    if (exists(root_fd, "run/.containerenv"))
        return set_container(out, "podman", "/run/.containerenv");
    if (host_read_line(root_fd, "run/host/container-manager", manager, sizeof(manager)) > 0)
        return set_container(out, manager, "/run/host/container-manager");
    if (host_read_line(root_fd, "run/systemd/container", manager, sizeof(manager)) > 0)
        return set_container(out, manager, "/run/systemd/container");
    if (read_file_at(root_fd, "proc/1/cgroup", text, sizeof(text)) > 0)
        for (size_t i = 0; i < COUNT_OF(parts); i++)
            if (strstr(text, parts[i].part) != NULL)
                return set_container(out, parts[i].kind, "/proc/1/cgroup");
    if (host_read_line(root_fd, "proc/sys/kernel/osrelease", text, sizeof(text)) > 0 &&
        (strstr(text, "WSL") != NULL || strstr(text, "Microsoft") != NULL))
        set_container(out, "wsl", "kernel release");
}

static void read_hypervisor(int root_fd, struct host_identity *out)
{
    static const char *const files[] = {"sys/class/dmi/id/sys_vendor",
                                        "sys/class/dmi/id/product_name",
                                        "sys/class/dmi/id/bios_vendor"};
    static const struct {
        const char *part, *kind;
    } vendors[] = {{"Amazon EC2", "amazon"},
                   {"Google", "google"},
                   {"VMware", "vmware"},
                   {"VirtualBox", "virtualbox"},
                   {"innotek", "virtualbox"},
                   {"Microsoft Corporation", "microsoft"},
                   {"Xen", "xen"},
                   {"Parallels", "parallels"},
                   {"Alibaba", "alibaba"},
                   {"OpenStack", "kvm"},
                   {"QEMU", "qemu"},
                   {"KVM", "kvm"}};
    char text[256];
    /* Machines of these vendors exist without a hypervisor too: the CPU's flag decides (x86 only).
     */
    auto_free char *cpu = read_text(root_fd, "proc/cpuinfo", MOUNTINFO_MAX);
    const char *flags = cpu == NULL ? NULL : find_field(cpu, "flags");
    char line[4096] = "";
    if (flags != NULL)
        copy_line(line, sizeof(line), flags);
    bool flagged = strstr(line, " hypervisor") != NULL;
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        if (host_read_line(root_fd, files[i], text, sizeof(text)) == 0)
            continue;
        for (size_t k = 0; k < COUNT_OF(vendors); k++) {
            if (strstr(text, vendors[k].part) == NULL || (flags != NULL && !flagged))
                continue;
            snprintf(out->hypervisor, sizeof(out->hypervisor), "%s", vendors[k].kind);
            return;
        }
    }
    if (host_read_line(root_fd, "sys/hypervisor/type", out->hypervisor, sizeof(out->hypervisor)) >
        0)
        return;
    if (flagged)
        snprintf(out->hypervisor, sizeof(out->hypervisor), "vm");
}

void host_identity_read(int root_fd, struct host_identity *out)
{
    memset(out, 0, sizeof(*out));
    host_read_line(root_fd, "proc/sys/kernel/osrelease", out->release, sizeof(out->release));
    /* kernel.arch came with Linux 6.1 */
    if (host_read_line(root_fd, "proc/sys/kernel/arch", out->arch, sizeof(out->arch)) == 0) {
        struct utsname name;
        if (uname(&name) == 0)
            snprintf(out->arch, sizeof(out->arch), "%.*s", (int)sizeof(out->arch) - 1,
                     name.machine);
    }
    read_system(root_fd, out);
    read_container(root_fd, out);
    read_hypervisor(root_fd, out);
}

/* ---- this process ---- */

/* "0-3,8": how many. */
static int64_t count_list(const char *list)
{
    int64_t count = 0;
    while (isdigit((unsigned char)*list)) {
        char *end = NULL;
        long first = strtol(list, &end, 10);
        long last = *end == '-' ? strtol(end + 1, &end, 10) : first;
        if (last < first)
            return HOST_UNKNOWN;
        count += last - first + 1;
        list = *end == ',' ? end + 1 : end;
    }
    return count > 0 ? count : HOST_UNKNOWN;
}

static enum fact read_initial_user_namespace(int root_fd)
{
    char text[128];
    unsigned long inside = 0, outside = 0, count = 0;
    if (host_read_line(root_fd, "proc/self/uid_map", text, sizeof(text)) == 0)
        return FACT_UNKNOWN;
    if (sscanf(text, "%lu %lu %lu", &inside, &outside, &count) != 3)
        return FACT_UNKNOWN;
    return fact_of(inside == 0 && outside == 0 && count == 4294967295UL);
}

/* In a chroot(2) the root is a plain directory, so mountinfo has no line for it. */
static enum fact read_chrooted(int root_fd)
{
    auto_free char *text = read_text(root_fd, "proc/self/mountinfo", MOUNTINFO_MAX);
    if (text == NULL || text[0] == '\0')
        return FACT_UNKNOWN;
    char *next = text;
    struct host_mount_line line;
    while (host_mount_next(&next, &line))
        if (strcmp(line.target, "/") == 0)
            return FACT_NO;
    return FACT_YES;
}

void host_process_read(int root_fd, struct host_process *out)
{
    memset(out, 0, sizeof(*out));
    char status[STATUS_SIZE];
    if (read_file_at(root_fd, "proc/self/status", status, sizeof(status)) < 0)
        status[0] = '\0';
    out->uid = HOST_UNKNOWN;
    const char *uids = find_field(status, "Uid:");
    int64_t real = 0, effective = 0;
    if (uids != NULL && sscanf(uids, "%" SCNd64 " %" SCNd64, &real, &effective) == 2)
        out->uid = effective;
    out->capabilities = find_number(status, "CapEff:", 16);
    out->seccomp_mode = find_number(status, "Seccomp:", 10);
    out->no_new_privs = find_number(status, "NoNewPrivs:", 10);
    const char *cpus = find_field(status, "Cpus_allowed_list:");
    if (cpus != NULL)
        copy_line(out->cpus_allowed_list, sizeof(out->cpus_allowed_list), cpus);
    out->cpus_allowed = count_list(out->cpus_allowed_list);
    /* Linux 5.8 has the first; without AppArmor the second may hold another module's label or fail.
     */
    if (host_read_line(root_fd, "proc/self/attr/apparmor/current", out->apparmor_profile,
                       sizeof(out->apparmor_profile)) == 0 &&
        exists(root_fd, "sys/module/apparmor"))
        host_read_line(root_fd, "proc/self/attr/current", out->apparmor_profile,
                       sizeof(out->apparmor_profile));
    out->initial_user_namespace = read_initial_user_namespace(root_fd);
    out->chrooted = read_chrooted(root_fd);
}

bool host_has_capability(const struct host_facts *facts, int capability)
{
    return facts->process.capabilities != HOST_UNKNOWN &&
           ((uint64_t)facts->process.capabilities >> capability & 1) != 0;
}

/* ---- rules ---- */

static enum fact read_apparmor(int root_fd)
{
    char text[16];
    if (host_read_line(root_fd, "sys/module/apparmor/parameters/enabled", text, sizeof(text)) > 0)
        return fact_of(text[0] == 'Y');
    return exists(root_fd, "sys/module") ? FACT_NO : FACT_UNKNOWN;
}

static enum host_selinux read_selinux(int root_fd)
{
    int64_t enforce = host_read_number(root_fd, "sys/fs/selinux/enforce");
    if (enforce != HOST_UNKNOWN)
        return enforce == 0 ? SELINUX_PERMISSIVE : SELINUX_ENFORCING;
    return exists(root_fd, "sys/fs") ? SELINUX_ABSENT : SELINUX_UNKNOWN;
}

void host_rules_read(int root_fd, struct host_rules *out)
{
    memset(out, 0, sizeof(*out));
    bool has_ns = exists(root_fd, "proc/self/ns");
    for (unsigned i = 0; i < HOST_NAMESPACES; i++) {
        char path[64];
        snprintf(path, sizeof(path), "proc/self/ns/%s", namespaces[i].file);
        out->namespaces[i] = has_ns ? fact_of(exists(root_fd, path)) : FACT_UNKNOWN;
    }
    out->max_user_namespaces = host_read_number(root_fd, "proc/sys/user/max_user_namespaces");
    out->unprivileged_userns_clone =
        host_read_number(root_fd, "proc/sys/kernel/unprivileged_userns_clone");
    out->apparmor_restrict_userns =
        host_read_number(root_fd, "proc/sys/kernel/apparmor_restrict_unprivileged_userns");
    out->apparmor_restrict_unconfined =
        host_read_number(root_fd, "proc/sys/kernel/apparmor_restrict_unprivileged_unconfined");
    out->apparmor = read_apparmor(root_fd);
    out->selinux = read_selinux(root_fd);
    host_read_line(root_fd, "sys/kernel/security/lsm", out->lsm, sizeof(out->lsm));
    out->ptrace_scope = host_read_number(root_fd, "proc/sys/kernel/yama/ptrace_scope");
    out->memfd_noexec = host_read_number(root_fd, "proc/sys/vm/memfd_noexec");
    out->io_uring_disabled = host_read_number(root_fd, "proc/sys/kernel/io_uring_disabled");
    host_read_line(root_fd, "proc/sys/kernel/seccomp/actions_avail", out->seccomp_actions,
                   sizeof(out->seccomp_actions));
}

/* ---- mounts ---- */

static int octal_digit(char c)
{
    return c >= '0' && c <= '7' ? c - '0' : -1;
}

/* "\040" is a space (proc(5)). */
static void undo_octal(char *text)
{
    char *out = text;
    for (const char *in = text; *in != '\0';) {
        if (in[0] == '\\' && octal_digit(in[1]) >= 0 && octal_digit(in[2]) >= 0 &&
            octal_digit(in[3]) >= 0) {
            *out++ = (char)(octal_digit(in[1]) * 64 + octal_digit(in[2]) * 8 + octal_digit(in[3]));
            in += 4;
        } else {
            *out++ = *in++;
        }
    }
    *out = '\0';
}

/* "36 35 98:0 /root /target rw,noatime master:1 - type source rw,errors=continue" */
static bool parse_mount(char *text, struct host_mount_line *line)
{
    char *words[64];
    size_t count = 0;
    size_t dash = 0;
    char *save = NULL;
    for (char *word = strtok_r(text, " ", &save); word != NULL && count < COUNT_OF(words);
         word = strtok_r(NULL, " ", &save)) {
        if (dash == 0 && count >= 6 && strcmp(word, "-") == 0)
            dash = count;
        words[count++] = word;
    }
    if (dash == 0 || count < dash + 3)
        return false;
    *line = (struct host_mount_line){
        .root = words[3],
        .target = words[4],
        .options = words[5],
        .type = words[dash + 1],
        .source = words[dash + 2],
        .super = count > dash + 3 ? words[dash + 3] : words[dash + 2] + strlen(words[dash + 2]),
    };
    undo_octal(line->root);
    undo_octal(line->target);
    return true;
}

bool host_mount_next(char **text, struct host_mount_line *line)
{
    while (**text != '\0') {
        char *start = *text;
        size_t length = strcspn(start, "\n");
        *text = start + length + (start[length] == '\n');
        start[length] = '\0';
        if (parse_mount(start, line))
            return true;
    }
    return false;
}

bool host_has_option(const char *options, const char *option)
{
    size_t length = strlen(option);
    for (const char *at = options; *at != '\0';) {
        size_t word = strcspn(at, ",");
        if (word == length && strncmp(at, option, length) == 0)
            return true;
        at += word + (at[word] == ',');
    }
    return false;
}

/* "size=65536k" in options, in bytes. */
static int64_t size_option(const char *options)
{
    for (const char *at = options; *at != '\0';) {
        size_t word = strcspn(at, ",");
        if (strncmp(at, "size=", 5) == 0) {
            char *end = NULL;
            long long value = strtoll(at + 5, &end, 10);
            if (*end == 'k' && value <= INT64_MAX >> 10)
                value <<= 10;
            else if (*end == 'm' && value <= INT64_MAX >> 20)
                value <<= 20;
            else if (*end == 'g' && value <= INT64_MAX >> 30)
                value <<= 30;
            return end == at + 5 ? HOST_UNKNOWN : value;
        }
        at += word + (at[word] == ',');
    }
    return HOST_UNKNOWN;
}

static void keep_mount(struct host_mount *out, const struct host_mount_line *line)
{
    snprintf(out->type, sizeof(out->type), "%s", line->type);
    snprintf(out->options, sizeof(out->options), "%s,%s", line->options, line->super);
    out->size_bytes = strcmp(line->type, "tmpfs") == 0 ? size_option(line->super) : HOST_UNKNOWN;
}

/* Later lines lie over earlier ones at the same target. */
static void read_mounts(int root_fd, struct host_resources *out)
{
    out->root.size_bytes = out->tmp.size_bytes = out->shm.size_bytes = HOST_UNKNOWN;
    out->proc_masks = HOST_UNKNOWN;
    auto_free char *text = read_text(root_fd, "proc/self/mountinfo", MOUNTINFO_MAX);
    if (text == NULL || text[0] == '\0')
        return;
    out->proc_masks = 0;
    bool own_tmp = false;
    char *next = text;
    struct host_mount_line line;
    while (host_mount_next(&next, &line)) {
        if (strcmp(line.target, "/") == 0)
            keep_mount(&out->root, &line);
        if (strcmp(line.target, "/tmp") == 0 || (strcmp(line.target, "/") == 0 && !own_tmp))
            keep_mount(&out->tmp, &line);
        own_tmp |= strcmp(line.target, "/tmp") == 0;
        if (strcmp(line.target, "/dev/shm") == 0)
            keep_mount(&out->shm, &line);
        /* binfmt_misc lies on an empty directory, which the kernel does not count as hiding. */
        if (strncmp(line.target, "/proc/", 6) == 0 && strcmp(line.type, "binfmt_misc") != 0 &&
            strcmp(line.type, "autofs") != 0) {
            out->proc_masks++;
            snprintf(out->proc_mask, sizeof(out->proc_mask), "%s", line.target);
        }
    }
}

/* ---- resources ---- */

static int64_t read_kilobytes(const char *text, const char *key)
{
    int64_t value = find_number(text, key, 10);
    return value == HOST_UNKNOWN || value > INT64_MAX / 1024 ? HOST_UNKNOWN : value * 1024;
}

static void read_memory(int root_fd, struct host_resources *out)
{
    char text[4096];
    if (read_file_at(root_fd, "proc/meminfo", text, sizeof(text)) < 0)
        text[0] = '\0';
    out->memory_bytes = read_kilobytes(text, "MemTotal:");
    out->memory_available_bytes = read_kilobytes(text, "MemAvailable:");
    out->swap_bytes = read_kilobytes(text, "SwapTotal:");
}

/* "nodev\ttmpfs" */
static enum fact has_filesystem(const char *text, const char *name)
{
    if (text[0] == '\0')
        return FACT_UNKNOWN;
    char tail[32];
    snprintf(tail, sizeof(tail), "\t%s", name);
    size_t length = strlen(tail);
    for (const char *at = strstr(text, tail); at != NULL; at = strstr(at + 1, tail))
        if (at[length] == '\n' || at[length] == '\0')
            return FACT_YES;
    return FACT_NO;
}

static void read_filesystems(int root_fd, struct host_resources *out)
{
    char text[4096];
    if (read_file_at(root_fd, "proc/filesystems", text, sizeof(text)) < 0)
        text[0] = '\0';
    out->tmpfs = has_filesystem(text, "tmpfs");
    out->overlay = has_filesystem(text, "overlay");
}

void host_resources_read(int root_fd, struct host_resources *out)
{
    memset(out, 0, sizeof(*out));
    char online[128];
    host_read_line(root_fd, "sys/devices/system/cpu/online", online, sizeof(online));
    out->cpus_online = count_list(online);
    out->pid_max = host_read_number(root_fd, "proc/sys/kernel/pid_max");
    out->threads_max = host_read_number(root_fd, "proc/sys/kernel/threads-max");
    out->max_map_count = host_read_number(root_fd, "proc/sys/vm/max_map_count");
    out->overcommit_memory = host_read_number(root_fd, "proc/sys/vm/overcommit_memory");
    out->sched_rt_runtime_us = host_read_number(root_fd, "proc/sys/kernel/sched_rt_runtime_us");
    host_read_line(root_fd, "proc/sys/kernel/core_pattern", out->core_pattern,
                   sizeof(out->core_pattern));
    host_read_line(root_fd, "sys/devices/system/clocksource/clocksource0/current_clocksource",
                   out->clocksource, sizeof(out->clocksource));
    host_read_line(root_fd, "proc/cmdline", out->kernel_command_line,
                   sizeof(out->kernel_command_line));
    read_memory(root_fd, out);
    read_filesystems(root_fd, out);
    read_mounts(root_fd, out);
}

void host_facts_read(int root_fd, struct host_facts *out)
{
    host_identity_read(root_fd, &out->identity);
    host_process_read(root_fd, &out->process);
    host_rules_read(root_fd, &out->rules);
    host_resources_read(root_fd, &out->resources);
    host_cgroups_read(root_fd, &out->cgroups);
}

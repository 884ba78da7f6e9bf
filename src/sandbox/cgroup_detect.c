/* Which control groups can be used. */
#include "cgroup_detect.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/io.h"

#define USUAL_MOUNT_ROOT "/sys/fs/cgroup"

enum { TEXT_SIZE = 256, CLIMB_MAX = 64 };

static const struct {
    const char *name;
    enum cgroup_controller bit;
} controller_names[] = {
    {"cpu", CGROUP_CPU},       {"cpuacct", CGROUP_CPUACCT}, {"cpuset", CGROUP_CPUSET},
    {"memory", CGROUP_MEMORY}, {"pids", CGROUP_PIDS},
};

/* One line of mountinfo, proc_pid_mountinfo(5). */
struct mount {
    char root[CGROUP_PATH_SIZE];
    char point[CGROUP_PATH_SIZE];
    char type[16];
    char options[TEXT_SIZE];
};

const char *cgroup_controller_name(enum cgroup_controller controller)
{
    for (size_t i = 0; i < COUNT_OF(controller_names); i++)
        if (controller_names[i].bit == controller)
            return controller_names[i].name;
    return "?";
}

void cgroup_add_reason(struct cgroup_facts *facts, const char *format, ...)
{
    size_t used = strlen(facts->reason);
    if (used > 0 && used + 2 < sizeof(facts->reason)) {
        memcpy(facts->reason + used, "; ", 3);
        used += 2;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(facts->reason + used, sizeof(facts->reason) - used, format, args);
    va_end(args);
}

/* ---- text ---- */

/* Copies the next line of *text without its newline; false at the end. Longer lines are cut. */
static bool next_line(const char **text, char *line, size_t size)
{
    if (**text == '\0')
        return false;
    size_t length = strcspn(*text, "\n");
    size_t kept = length < size ? length : size - 1;
    memcpy(line, *text, kept);
    line[kept] = '\0';
    *text += length + ((*text)[length] == '\n');
    return true;
}

/* Is word one of the comma-separated words of list? */
static bool has_word(const char *list, const char *word, char separator)
{
    size_t length = strlen(word);
    for (const char *next = list; next != NULL && *next != '\0';) {
        const char *end = strchrnul(next, separator);
        if ((size_t)(end - next) == length && memcmp(next, word, length) == 0)
            return true;
        next = *end != '\0' ? end + 1 : NULL;
    }
    return false;
}

static unsigned controllers_in(const char *list, char separator)
{
    unsigned found = 0;
    for (size_t i = 0; i < COUNT_OF(controller_names); i++)
        if (has_word(list, controller_names[i].name, separator))
            found |= controller_names[i].bit;
    return found;
}

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void unescape(const char *from, char *to, size_t size)
{
    size_t used = 0;
    while (*from != '\0' && used + 1 < size) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
            from[2] <= '7' && from[3] >= '0' && from[3] <= '7') {
            to[used++] = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            to[used++] = *from++;
        }
    }
    to[used] = '\0';
}

static bool parse_mount(char *line, struct mount *mount)
{
    char *fields[6]; /* id, parent, device, root, mount point, options */
    char *rest = line;
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        fields[i] = strsep(&rest, " ");
        if (rest == NULL)
            return false;
    }
    char *word;
    while ((word = strsep(&rest, " ")) != NULL && strcmp(word, "-") != 0)
        ;
    char *type = strsep(&rest, " ");
    strsep(&rest, " "); /* source */
    char *options = strsep(&rest, " ");
    if (word == NULL || type == NULL || options == NULL)
        return false;
    unescape(fields[3], mount->root, sizeof(mount->root));
    unescape(fields[4], mount->point, sizeof(mount->point));
    snprintf(mount->type, sizeof(mount->type), "%s", type);
    snprintf(mount->options, sizeof(mount->options), "%s", options);
    return true;
}

/* The path of /proc/self/cgroup for a v1 controller, or for v2 when controller is "". */
static bool own_path(const char *own, const char *controller, char *path, size_t size)
{
    char line[CGROUP_PATH_SIZE + TEXT_SIZE];
    while (next_line(&own, line, sizeof(line))) {
        char *rest = line;
        strsep(&rest, ":");
        char *list = strsep(&rest, ":");
        if (list == NULL || rest == NULL)
            continue;
        bool match = controller[0] == '\0' ? list[0] == '\0' : has_word(list, controller, ',');
        if (match && strlen(rest) < size) {
            memcpy(path, rest, strlen(rest) + 1);
            return true;
        }
    }
    return false;
}

/* Our group below the mount. Both names are relative to our cgroup namespace; a mount made outside
 * of it shows a root, and a group outside of it a path, that begins with "/..": the names between are
 * hidden from us, and the mount's own top is all we can name. */
static void path_below_mount(const char *root, const char *own, char *below, size_t size)
{
    size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    below[0] = '\0';
    if (strstr(own, "/..") != NULL || strstr(root, "/..") != NULL)
        return;
    if (strncmp(own, root, length) != 0 || (own[length] != '/' && own[length] != '\0'))
        return;
    if (strcmp(own + length, "/") != 0)
        snprintf(below, size, "%s", own + length);
}

/* ---- the tree ---- */

static bool join_path(char *out, size_t size, const char *left, const char *right)
{
    int length = snprintf(out, size, "%s%s", left, right);
    return length >= 0 && (size_t)length < size;
}

static ssize_t read_below(const char *directory, const char *file, char *text, size_t size)
{
    char path[CGROUP_PATH_SIZE + 64];
    text[0] = '\0';
    if (!join_path(path, sizeof(path), directory, file))
        return -1;
    return read_file_at(AT_FDCWD, path, text, size);
}

static bool exists_below(const char *directory, const char *file)
{
    char path[CGROUP_PATH_SIZE + 64];
    return join_path(path, sizeof(path), directory, file) && access(path, F_OK) == 0;
}

static bool writable(const char *directory)
{
    char procs[CGROUP_PATH_SIZE + 64];
    return faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) == 0 &&
           join_path(procs, sizeof(procs), directory, "/cgroup.procs") &&
           faccessat(AT_FDCWD, procs, W_OK, AT_EACCESS) == 0;
}

/* systemd marks what it gives away (CGROUP_DELEGATION.md): above that it writes itself. */
static bool delegated_to_us(const char *directory)
{
    static const char *const marks[] = {"trusted.delegate", "user.delegate"};
    for (size_t i = 0; i < COUNT_OF(marks); i++) {
        char value[8];
        if (getxattr(directory, marks[i], value, sizeof(value)) == 1 && value[0] == '1')
            return true;
    }
    return false;
}

/* Would leaving this group for its parent leave a limit behind? */
static bool limits_something(enum cgroup_kind kind, unsigned controllers, const char *directory,
                             const char *parent)
{
    char text[TEXT_SIZE];
    if (kind == CGROUP_V2) {
        static const char *const files[] = {"/memory.max", "/memory.high", "/cpu.max"};
        for (size_t i = 0; i < COUNT_OF(files); i++)
            if (read_below(directory, files[i], text, sizeof(text)) > 0 &&
                strncmp(text, "max", 3) != 0)
                return true;
        return read_below(directory, "/cpuset.cpus", text, sizeof(text)) > 0;
    }
    if (controllers & CGROUP_MEMORY &&
        read_below(directory, "/memory.limit_in_bytes", text, sizeof(text)) > 0 &&
        strtoull(text, NULL, 10) < UINT64_C(1) << 60) /* unlimited: LONG_MAX rounded to a page */
        return true;
    if (controllers & CGROUP_CPU &&
        read_below(directory, "/cpu.cfs_quota_us", text, sizeof(text)) > 0 &&
        strtoll(text, NULL, 10) > 0)
        return true;
    static const char *const sets[] = {"/cpuset.cpus", "/cpuset.mems"};
    for (size_t i = 0; i < COUNT_OF(sets) && (controllers & CGROUP_CPUSET); i++) {
        char above[TEXT_SIZE];
        if (read_below(directory, sets[i], text, sizeof(text)) > 0 &&
            read_below(parent, sets[i], above, sizeof(above)) > 0 && strcmp(text, above) != 0)
            return true;
    }
    return false;
}

/* v2: the real root alone may hold processes beside groups with controllers; it has no type. */
static bool is_real_root(const char *directory)
{
    return !exists_below(directory, "/cgroup.type");
}

static bool has_processes(const char *directory)
{
    char text[TEXT_SIZE];
    return read_below(directory, "/cgroup.procs", text, sizeof(text)) > 0;
}

/* Sets hierarchy->base: see cgroup_detect() for the rule. */
static void choose_base(enum cgroup_kind kind, struct cgroup_hierarchy *hierarchy,
                        const char *below)
{
    char here[CGROUP_PATH_SIZE];
    if (!join_path(here, sizeof(here), hierarchy->mount, below) || access(here, F_OK) < 0)
        memcpy(here, hierarchy->mount, sizeof(here));
    size_t top = strlen(hierarchy->mount);
    for (int level = 0; level < CLIMB_MAX && strlen(here) > top; level++) {
        char parent[CGROUP_PATH_SIZE];
        memcpy(parent, here, sizeof(parent));
        *strrchr(parent, '/') = '\0';
        bool stay = delegated_to_us(here) || !writable(parent) ||
                    limits_something(kind, hierarchy->controllers, here, parent) ||
                    (kind == CGROUP_V2 && !is_real_root(parent) && has_processes(parent));
        if (stay)
            break;
        memcpy(here, parent, sizeof(here));
    }
    memcpy(hierarchy->base, here, sizeof(here));
    hierarchy->base_has_processes_rule = kind == CGROUP_V2 && !is_real_root(here);
}

static void place_mount(const struct cgroup_sources *sources, const struct mount *mount, char *out,
                        size_t size)
{
    size_t usual = strlen(USUAL_MOUNT_ROOT);
    const char *rest = mount->point + usual;
    if (sources->mount_root != NULL && strncmp(mount->point, USUAL_MOUNT_ROOT, usual) == 0 &&
        (*rest == '/' || *rest == '\0'))
        snprintf(out, size, "%s%s", sources->mount_root, rest);
    else
        snprintf(out, size, "%s", mount->point);
}

/* ---- v1 ---- */

static void detect_v1(const struct cgroup_sources *sources, struct cgroup_layout *layout)
{
    const char *text = sources->mountinfo;
    char line[4 * CGROUP_PATH_SIZE];
    while (next_line(&text, line, sizeof(line)) && layout->count < CGROUP_HIERARCHIES_MAX) {
        struct mount mount;
        if (!parse_mount(line, &mount) || strcmp(mount.type, "cgroup") != 0)
            continue;
        unsigned controllers = controllers_in(mount.options, ',') & ~layout->facts.controllers;
        if (controllers == 0)
            continue; /* name=systemd, freezer, ..., or a second mount of the same */
        struct cgroup_hierarchy *hierarchy = &layout->hierarchies[layout->count];
        hierarchy->controllers = controllers;
        place_mount(sources, &mount, hierarchy->mount, sizeof(hierarchy->mount));
        if (access(hierarchy->mount, F_OK) < 0)
            continue;
        char own[CGROUP_PATH_SIZE] = "/";
        char below[CGROUP_PATH_SIZE];
        const char *name =
            cgroup_controller_name((enum cgroup_controller)(controllers & -controllers));
        own_path(sources->own, name, own, sizeof(own));
        path_below_mount(mount.root, own, below, sizeof(below));
        choose_base(CGROUP_V1, hierarchy, below);
        layout->facts.controllers |= controllers;
        layout->count++;
    }
}

/* ---- v2 ---- */

static bool find_v2(const struct cgroup_sources *sources, struct mount *found)
{
    const char *text = sources->mountinfo;
    char line[4 * CGROUP_PATH_SIZE];
    while (next_line(&text, line, sizeof(line))) {
        if (parse_mount(line, found) && strcmp(found->type, "cgroup2") == 0)
            return true;
    }
    return false;
}

static void detect_v2(const struct cgroup_sources *sources, const struct mount *mount,
                      struct cgroup_layout *layout)
{
    struct cgroup_hierarchy *hierarchy = &layout->hierarchies[0];
    place_mount(sources, mount, hierarchy->mount, sizeof(hierarchy->mount));
    if (access(hierarchy->mount, F_OK) < 0) {
        cgroup_add_reason(&layout->facts, "%s cannot be reached: something may be mounted over it",
                          hierarchy->mount);
        return;
    }
    if (sources->delegated != NULL) {
        size_t length = strlen(hierarchy->mount);
        const char *below = sources->delegated;
        if (strncmp(below, hierarchy->mount, length) == 0 &&
            (below[length] == '/' || below[length] == '\0'))
            below += length;
        while (*below == '/')
            below++;
        if (strstr(below, "..") != NULL ||
            (size_t)snprintf(hierarchy->base, sizeof(hierarchy->base), "%s%s%s", hierarchy->mount,
                             *below != '\0' ? "/" : "", below) >= sizeof(hierarchy->base) ||
            access(hierarchy->base, F_OK) < 0) {
            cgroup_add_reason(&layout->facts, "the delegated group %s does not exist below %s",
                              sources->delegated, hierarchy->mount);
            return;
        }
        hierarchy->base_has_processes_rule = !is_real_root(hierarchy->base);
    } else {
        char own[CGROUP_PATH_SIZE] = "/";
        char below[CGROUP_PATH_SIZE];
        own_path(sources->own, "", own, sizeof(own));
        path_below_mount(mount->root, own, below, sizeof(below));
        choose_base(CGROUP_V2, hierarchy, below);
    }
    char available[TEXT_SIZE];
    read_below(hierarchy->base, "/cgroup.controllers", available, sizeof(available));
    hierarchy->controllers = controllers_in(available, ' ');
    if (exists_below(hierarchy->base, "/cpu.stat"))
        hierarchy->controllers |= CGROUP_CPUACCT; /* without any controller, cgroup-v2.rst */
    layout->facts.controllers = hierarchy->controllers;
    layout->facts.nsdelegate = has_word(mount->options, "nsdelegate", ',');
    layout->count = 1;
}

/* ---- why not ---- */

/* The "enabled" column of /proc/cgroups; -1 when the kernel does not know the controller. */
static int controller_enabled(const char *controllers, const char *name)
{
    char line[TEXT_SIZE];
    while (next_line(&controllers, line, sizeof(line))) {
        char found[64];
        int enabled;
        if (sscanf(line, "%63s %*d %*d %d", found, &enabled) == 2 && strcmp(found, name) == 0)
            return enabled;
    }
    return -1;
}

static void explain_missing(const struct cgroup_sources *sources, struct cgroup_layout *layout)
{
    static const enum cgroup_controller wanted[] = {CGROUP_MEMORY, CGROUP_PIDS, CGROUP_CPUACCT};
    struct cgroup_facts *facts = &layout->facts;
    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        const char *name = cgroup_controller_name(wanted[i]);
        if (facts->controllers & wanted[i] ||
            (facts->kind == CGROUP_V2 && wanted[i] == CGROUP_CPUACCT))
            continue;
        int enabled = controller_enabled(sources->controllers, name);
        if (enabled == 0)
            cgroup_add_reason(facts, "%s controller not enabled: boot with cgroup_enable=%s", name,
                              name);
        else if (enabled < 0 && facts->kind == CGROUP_V1)
            cgroup_add_reason(facts, "the kernel was built without the %s controller", name);
        else if (facts->kind == CGROUP_V1)
            cgroup_add_reason(facts,
                              "%s controller not mounted: mkdir -p /sys/fs/cgroup/%s && mount -t "
                              "cgroup -o %s cgroup /sys/fs/cgroup/%s",
                              name, name, name, name);
        else
            cgroup_add_reason(
                facts,
                "%s controller not available in %s: give the service Delegate=yes, or "
                "echo +%s into cgroup.subtree_control of the groups above",
                name, layout->hierarchies[0].base, name);
    }
}

static void explain_permission(struct cgroup_layout *layout)
{
    struct cgroup_facts *facts = &layout->facts;
    size_t kept = 0;
    for (size_t i = 0; i < layout->count; i++) {
        struct cgroup_hierarchy *hierarchy = &layout->hierarchies[i];
        if (writable(hierarchy->base)) {
            layout->hierarchies[kept++] = *hierarchy;
            continue;
        }
        facts->controllers &= ~hierarchy->controllers;
        if (facts->reason[0] == '\0')
            cgroup_add_reason(
                facts, "no write access to %s: %s", hierarchy->base,
                geteuid() == 0 ? "mount it read-write (docker: --privileged, or --cgroupns=private "
                                 "with a writable /sys/fs/cgroup)"
                : facts->kind == CGROUP_V2
                    ? "run as root, or: systemd-run --user --scope -p Delegate=yes cjudge ..."
                    : "run as root");
    }
    layout->count = kept;
}

static bool has_swap(const char *swaps)
{
    const char *newline = strchr(swaps, '\n'); /* after the heading */
    return newline != NULL && newline[1] != '\0';
}

void cgroup_detect(const struct cgroup_sources *sources, struct cgroup_layout *layout)
{
    memset(layout, 0, sizeof(*layout));
    struct cgroup_facts *facts = &layout->facts;
    struct mount unified;
    bool has_unified = find_v2(sources, &unified);
    detect_v1(sources, layout);
    if (layout->count > 0) {
        char place[CGROUP_PATH_SIZE];
        facts->kind = CGROUP_V1;
        if (has_unified) {
            place_mount(sources, &unified, place, sizeof(place));
            facts->hybrid = writable(place);
        }
    } else if (has_unified) {
        facts->kind = CGROUP_V2;
        detect_v2(sources, &unified, layout);
    } else {
        cgroup_add_reason(facts, "no cgroup file system is mounted: mount -t cgroup2 -o nsdelegate "
                                 "cgroup2 /sys/fs/cgroup");
        return;
    }
    explain_permission(layout);
    if (layout->count > 0)
        explain_missing(sources, layout);
    if (layout->count == 0 ||
        (facts->controllers & (CGROUP_MEMORY | CGROUP_PIDS | CGROUP_CPUACCT)) == 0) {
        facts->kind = CGROUP_NONE;
        facts->controllers = 0;
        layout->count = 0;
        return;
    }
    bool v1 = facts->kind == CGROUP_V1;
    for (size_t i = 0; i < layout->count; i++) {
        const struct cgroup_hierarchy *hierarchy = &layout->hierarchies[i];
        if (hierarchy->controllers & CGROUP_MEMORY)
            facts->limits_swap = !has_swap(sources->swaps) ||
                                 exists_below(hierarchy->base, v1 ? "/memory.memsw.limit_in_bytes"
                                                                  : "/memory.swap.max");
    }
    facts->limits_kernel_memory = strstr(sources->cmdline, "nokmem") == NULL;
}

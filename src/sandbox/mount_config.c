/* What a container's file system looks like: mount.yaml, or the built-in table.
 *
 * Nothing here is handed to a shell, and nothing is mounted: strings are checked and made absolute,
 * so that init can take them as they are. */
#include "sandbox/mount_config.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/yaml.h"

#include "mount_text.h"

enum {
    ENTRIES_MAX = 256, /* mounts, links, masks: each */
    ID_DEFAULT = 1000,
    ID_MAX =
        65533, /* 65534 is what the kernel shows for ids without a mapping, user_namespaces(7) */
};

/* ---- the built-in table ---- */

struct default_mount {
    bool writable;
    const char *pattern; /* glob(7); the host path and, below the root, the container's */
};

/* What compilers and interpreters of a distribution need to start, and nothing else. Of /etc only
 * files that say where things are: no /etc/passwd, no TLS keys, of PHP and R not the files in which
 * operators put credentials (fpm/pool.d, Renviron.site). No /etc/localtime: programs see UTC on
 * every machine. No /opt: whatever lives there is named in mount.yaml. */
static const struct default_mount default_mounts[] = {
    {false, "/bin"},
    {false, "/lib"},
    {false, "/lib64"},
    {false, "/lib32"},
    {false, "/libx32"},
    {false, "/usr"},
    {false, "/etc/ld.so.cache"},
    {false, "/etc/alternatives"},
    {false, "/etc/fpc.cfg"},
    {false, "/etc/mono"},
    {false, "/var/lib/ghc"},
    {false, "/etc/java"},
    {false, "/etc/java-*-openjdk"},
    {false, "/etc/php/*/cli"},
    {false, "/etc/php/*/mods-available"},
    {false, "/etc/R/Renviron"},
    {false, "/etc/R/Rprofile.site"},
    {false, "/etc/R/ldpaths"},
    {false, "/etc/R/repositories"},
    {false, "/etc/dmd.conf"},
    {false, "/etc/ldc2.conf"},
    {false, "/etc/nim"},
    {false, "/etc/racket"},
    {false, "/etc/matplotlibrc"},
    {true, "/dev/null"},
    {true, "/dev/zero"},
    {true, "/dev/full"},
    {true, "/dev/random"},
    {true, "/dev/urandom"},
};

static const char *const default_tmpfs[] = {"/w", "/tmp", "/dev/shm"};

static const struct {
    const char *path, *target;
} default_links[] = {
    {"/dev/fd", "/proc/self/fd"},
    {"/dev/stdin", "/proc/self/fd/0"},
    {"/dev/stdout", "/proc/self/fd/1"},
    {"/dev/stderr", "/proc/self/fd/2"},
};

static const char *const default_masks[] = {
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
    "/proc/acpi",
    "/proc/cmdline", /* of the kernel; boot loaders put ids and secrets there */
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/key-users",
    "/proc/locks", /* of the whole host: open file description locks have no pid to hide them by */
    "/proc/interrupts",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/usr/lib/wsl/drivers",
    "/usr/lib/wsl/lib",
};

static const char default_host_name[] = "executor_server";

/* ---- ownership ---- */

static void mount_free(struct mount_item *mount)
{
    free(mount->source);
    free(mount->target);
    free(mount->data);
}

static void link_free(struct symlink_item *link)
{
    free(link->path);
    free(link->target);
}

void mount_config_free(struct mount_config *config)
{
    for (size_t i = 0; i < config->mount_count; i++)
        mount_free(&config->mounts[i]);
    for (size_t i = 0; i < config->link_count; i++)
        link_free(&config->links[i]);
    for (size_t i = 0; i < config->mask_count; i++)
        free(config->masks[i]);
    free(config->mounts);
    free(config->links);
    free(config->masks);
    free(config->work_dir);
    free(config->host_name);
    free(config->domain_name);
    free(config->init_command);
    *config = (struct mount_config){0};
}

#define auto_mount  __attribute__((cleanup(mount_free)))
#define auto_link   __attribute__((cleanup(link_free)))
#define auto_config __attribute__((cleanup(mount_config_free)))

static void hand_over(struct mount_config *config, struct mount_config *out)
{
    *out = *config;
    *config = (struct mount_config){0};
}

/* ---- entries ---- */

/* Appends a copy of item to a list that holds *count; what it points to goes along. */
static int list_add(void **list, size_t *count, const void *item, size_t size, struct cj_error *err)
{
    if (*count >= ENTRIES_MAX)
        return error_set(err, ERROR_CONFIG, 0, "more than %d entries", ENTRIES_MAX);
    char *larger = reallocarray(*list, *count + 1, size);
    if (larger == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "out of memory");
    memcpy(larger + *count * size, item, size);
    *list = larger;
    (*count)++;
    return 0;
}

/* Whether a bind's source is there. What hides it for another reason than absence is an error. */
static int source_exists(const char *source, bool *exists, struct cj_error *err)
{
    struct stat facts;
    *exists = stat(source, &facts) == 0;
    if (!*exists && errno != ENOENT && errno != ENOTDIR)
        return error_errno(err, "look at %s", source);
    return 0;
}

/* Takes over the mount's strings; a bind whose source is missing is dropped. */
static int add_mount(struct mount_config *config, struct mount_item *mount, struct cj_error *err)
{
    bool exists = true;
    if (mount->kind == MOUNT_BIND && source_exists(mount->source, &exists, err) < 0)
        return -1;
    if (!exists)
        return 0;
    if (list_add((void **)&config->mounts, &config->mount_count, mount, sizeof(*mount), err) < 0)
        return -1;
    *mount = (struct mount_item){0};
    return 0;
}

/* Takes over the link's strings. */
static int add_link(struct mount_config *config, struct symlink_item *link, struct cj_error *err)
{
    if (list_add((void **)&config->links, &config->link_count, link, sizeof(*link), err) < 0)
        return -1;
    *link = (struct symlink_item){0};
    return 0;
}

static int add_mask(struct mount_config *config, const char *path, struct cj_error *err)
{
    auto_free char *mask = NULL;
    if (mount_text_path_below_root(path, &mask, err) < 0 ||
        list_add((void **)&config->masks, &config->mask_count, &mask, sizeof(mask), err) < 0)
        return -1;
    mask = NULL;
    return 0;
}

/* ---- the built-in configuration ---- */

static int add_bind(struct mount_config *config, bool read_only, const char *path,
                    const char *target, struct cj_error *err)
{
    auto_mount struct mount_item mount = {.kind = MOUNT_BIND, .read_only = read_only};
    if (mount_text_copy(path, &mount.source, err) < 0 ||
        mount_text_target(target, &mount.target, err) < 0 ||
        mount_text_copy("", &mount.data, err) < 0)
        return -1;
    return add_mount(config, &mount, err);
}

static int add_default_bind(struct mount_config *config, bool read_only, const char *path,
                            struct cj_error *err)
{
    return add_bind(config, read_only, path, path, err);
}

static int add_tmpfs(struct mount_config *config, const char *target, const char *data,
                     struct cj_error *err)
{
    auto_mount struct mount_item mount = {.kind = MOUNT_TMPFS};
    if (mount_text_copy("", &mount.source, err) < 0 ||
        mount_text_target(target, &mount.target, err) < 0 ||
        mount_text_tmpfs_data(data, &mount.data, err) < 0)
        return -1;
    return add_mount(config, &mount, err);
}

/* Adds every host path that matches; none is fine. */
static int add_default_binds(struct mount_config *config, const struct default_mount *entry,
                             struct cj_error *err)
{
    glob_t found = {0};
    int status = glob(entry->pattern, 0, NULL, &found);
    int result = 0;
    if (status == GLOB_NOSPACE)
        result = error_set(err, ERROR_SYSTEM, ENOMEM, "out of memory");
    for (size_t i = 0; status == 0 && result == 0 && i < found.gl_pathc; i++)
        result = add_default_bind(config, !entry->writable, found.gl_pathv[i], err);
    globfree(&found);
    return result;
}

static int add_default_mounts(struct mount_config *config, const char *tmpfs_data,
                              struct cj_error *err)
{
    for (size_t i = 0; i < COUNT_OF(default_mounts); i++)
        if (add_default_binds(config, &default_mounts[i], err) < 0)
            return -1;
    for (size_t i = 0; i < COUNT_OF(default_tmpfs); i++)
        if (add_tmpfs(config, default_tmpfs[i], tmpfs_data, err) < 0)
            return -1;
    return 0;
}

static int add_default_links(struct mount_config *config, struct cj_error *err)
{
    for (size_t i = 0; i < COUNT_OF(default_links); i++) {
        auto_link struct symlink_item link = {0};
        if (mount_text_copy(default_links[i].path, &link.path, err) < 0 ||
            mount_text_copy(default_links[i].target, &link.target, err) < 0 ||
            add_link(config, &link, err) < 0)
            return -1;
    }
    return 0;
}

static int add_default_masks(struct mount_config *config, struct cj_error *err)
{
    for (size_t i = 0; i < COUNT_OF(default_masks); i++)
        if (add_mask(config, default_masks[i], err) < 0)
            return -1;
    return 0;
}

/* What holds unless mount.yaml says otherwise. */
static int set_scalars(struct mount_config *config, struct cj_error *err)
{
    config->uid = config->gid = ID_DEFAULT;
    if (mount_text_copy("/w", &config->work_dir, err) < 0 ||
        mount_text_copy(default_host_name, &config->host_name, err) < 0 ||
        mount_text_copy(default_host_name, &config->domain_name, err) < 0 ||
        mount_text_copy("", &config->init_command, err) < 0)
        return -1;
    return 0;
}

int mount_config_default(const char *tmpfs_data, struct mount_config *out, struct cj_error *err)
{
    auto_config struct mount_config config = {.proc = true};
    if (set_scalars(&config, err) < 0 || add_default_mounts(&config, tmpfs_data, err) < 0 ||
        add_default_links(&config, err) < 0 || add_default_masks(&config, err) < 0)
        return error_wrap(err, "built-in mounts");
    hand_over(&config, out);
    return 0;
}

/* ---- mount.yaml ---- */

/* Fails at node with the reason that a check gave; memory and system errors keep their domain. */
static int fail_at(const struct yml_node *node, const struct cj_error *reason, struct cj_error *err)
{
    yml_fail(node, err, "%s", reason->message);
    if (err != NULL && reason->domain != ERROR_CONFIG) {
        err->domain = reason->domain;
        err->code = reason->code;
    }
    return -1;
}

/* Checks map's key and puts it into *slot, which stays as it is when the key is absent or empty
 * (which is the same, as it is in go-judge). */
static int read_text(const struct yml_node *map, const char *key, mount_text_fn *check, char **slot,
                     struct cj_error *err)
{
    const struct yml_node *node = yml_get(map, key);
    const char *text;
    struct cj_error reason;
    if (node == NULL)
        return 0;
    if (yml_text(node, &text, err) < 0)
        return -1;
    if (text[0] != '\0' && check(text, slot, &reason) < 0)
        return fail_at(node, &reason, err);
    return 0;
}

static int need_text(const struct yml_node *map, const char *key, mount_text_fn *check, char **slot,
                     struct cj_error *err)
{
    if (read_text(map, key, check, slot, err) < 0)
        return -1;
    return *slot == NULL ? yml_fail(map, err, "%s is missing", key) : 0;
}

static int read_bool(const struct yml_node *map, const char *key, bool *value, struct cj_error *err)
{
    const struct yml_node *node = yml_get(map, key);
    return node == NULL ? 0 : yml_bool(node, value, err);
}

static int read_id(const struct yml_node *map, const char *key, uint32_t *id, struct cj_error *err)
{
    const struct yml_node *node = yml_get(map, key);
    uint64_t value;
    if (node == NULL)
        return 0;
    if (yml_uint(node, ID_MAX, &value, err) < 0)
        return -1;
    *id = value == 0 ? ID_DEFAULT : (uint32_t)value;
    return 0;
}

static int read_kind(const struct yml_node *map, enum mount_kind *kind, struct cj_error *err)
{
    const struct yml_node *node = yml_get(map, "type");
    const char *text;
    if (node == NULL)
        return yml_fail(map, err, "type is missing");
    if (yml_text(node, &text, err) < 0)
        return -1;
    *kind = strcmp(text, "tmpfs") == 0 ? MOUNT_TMPFS : MOUNT_BIND;
    if (*kind == MOUNT_BIND && strcmp(text, "bind") != 0)
        return yml_fail(node, err, "'%s' is not a type of mount: write bind or tmpfs", text);
    return 0;
}

typedef int read_entry_fn(struct mount_config *config, const struct yml_node *node,
                          struct cj_error *err);

static int read_mount(struct mount_config *config, const struct yml_node *node,
                      struct cj_error *err)
{
    auto_mount struct mount_item mount = {0};
    struct cj_error reason;
    if (yml_expect(node, YML_MAP, err) < 0 || read_kind(node, &mount.kind, err) < 0 ||
        read_bool(node, "readonly", &mount.read_only, err) < 0 ||
        need_text(node, "target", mount_text_target, &mount.target, err) < 0 ||
        mount_text_copy("", &mount.data, err) < 0)
        return -1;
    if (mount.kind == MOUNT_BIND) {
        if (need_text(node, "source", mount_text_host_path, &mount.source, err) < 0)
            return -1;
    } else {
        mount.read_only = false;
        if (mount_text_copy("", &mount.source, err) < 0 ||
            read_text(node, "data", mount_text_tmpfs_data, &mount.data, err) < 0)
            return -1;
    }
    return add_mount(config, &mount, &reason) < 0 ? fail_at(node, &reason, err) : 0;
}

static int read_link(struct mount_config *config, const struct yml_node *node, struct cj_error *err)
{
    auto_link struct symlink_item link = {0};
    struct cj_error reason;
    if (yml_expect(node, YML_MAP, err) < 0 ||
        need_text(node, "linkPath", mount_text_path_below_root, &link.path, err) < 0 ||
        need_text(node, "target", mount_text_link_target, &link.target, err) < 0)
        return -1;
    return add_link(config, &link, &reason) < 0 ? fail_at(node, &reason, err) : 0;
}

static int read_mask(struct mount_config *config, const struct yml_node *node, struct cj_error *err)
{
    const char *path;
    struct cj_error reason;
    if (yml_text(node, &path, err) < 0)
        return -1;
    return add_mask(config, path, &reason) < 0 ? fail_at(node, &reason, err) : 0;
}

static int read_list(struct mount_config *config, const struct yml_node *root, const char *key,
                     read_entry_fn *read_entry, struct cj_error *err)
{
    const struct yml_node *list = yml_get(root, key);
    if (list != NULL && yml_expect(list, YML_SEQUENCE, err) < 0)
        return -1;
    for (size_t i = 0; i < yml_count(list); i++) {
        const struct yml_node *node = yml_item(list, i);
        if (node == NULL)
            return yml_fail(list, err, "entry %zu is empty", i);
        if (read_entry(config, node, err) < 0)
            return -1;
    }
    return 0;
}

/* Without caps a tmpfs takes half of the machine's memory, tmpfs(5). */
static int cap_tmpfs(struct mount_config *config, const char *tmpfs_data, struct cj_error *err)
{
    auto_free char *checked = NULL;
    if (mount_text_tmpfs_data(tmpfs_data, &checked, err) < 0)
        return -1;
    for (size_t i = 0; i < config->mount_count; i++)
        if (config->mounts[i].kind == MOUNT_TMPFS &&
            mount_text_tmpfs_caps(checked, &config->mounts[i].data, err) < 0)
            return -1;
    return 0;
}

/* Nothing can be written there, and what there is are other processes' affairs. */
static int check_work_dir(const struct mount_config *config, const struct yml_node *root,
                          struct cj_error *err)
{
    const char *path = config->work_dir;
    if (strncmp(path, "/proc", strlen("/proc")) != 0 ||
        (path[strlen("/proc")] != '/' && path[strlen("/proc")] != '\0'))
        return 0;
    return yml_fail(yml_get(root, "workDir"), err, "programs cannot work in %s", path);
}

static int read_root(struct mount_config *config, const struct yml_node *root, struct cj_error *err)
{
    if (read_list(config, root, "mount", read_mount, err) < 0 ||
        read_list(config, root, "symLink", read_link, err) < 0 ||
        read_list(config, root, "maskPath", read_mask, err) < 0 ||
        read_bool(root, "proc", &config->proc, err) < 0 ||
        read_bool(root, "procrw", &config->proc_writable, err) < 0 ||
        read_text(root, "workDir", mount_text_path, &config->work_dir, err) < 0 ||
        check_work_dir(config, root, err) < 0 ||
        read_text(root, "hostName", mount_text_host_name, &config->host_name, err) < 0 ||
        read_text(root, "domainName", mount_text_host_name, &config->domain_name, err) < 0 ||
        read_text(root, "initCmd", mount_text_copy, &config->init_command, err) < 0 ||
        read_id(root, "uid", &config->uid, err) < 0 || read_id(root, "gid", &config->gid, err) < 0)
        return -1;
    if (config->link_count == 0 && add_default_links(config, err) < 0)
        return -1;
    if (config->mask_count == 0 && add_default_masks(config, err) < 0)
        return -1;
    return 0;
}

static bool is_known(const char *key)
{
    static const char *const known[] = {"mount",   "symLink", "maskPath", "proc",
                                        "procrw",  "workDir", "hostName", "domainName",
                                        "initCmd", "uid",     "gid",      "<<"};
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (strcmp(key, known[i]) == 0)
            return true;
    return false;
}

/* Unknown keys are no error, but a misspelt one should not go unnoticed. */
static void warn_of_unknown_keys(const char *path, const struct yml_node *root)
{
    for (size_t i = 0; i < yml_count(root); i++)
        if (!is_known(yml_key(root, i)))
            log_warn("unknown key", log_text("file", path), log_text("key", yml_key(root, i)));
}

static int read_document(const char *path, const struct yml_document *document,
                         const char *tmpfs_data, struct mount_config *out, struct cj_error *err)
{
    auto_config struct mount_config config = {0};
    const struct yml_node *root = yml_root(document);
    if (root != NULL && yml_expect(root, YML_MAP, err) < 0)
        return -1;
    if (set_scalars(&config, err) < 0 || read_root(&config, root, err) < 0 ||
        cap_tmpfs(&config, tmpfs_data, err) < 0)
        return -1;
    warn_of_unknown_keys(path, root);
    hand_over(&config, out);
    return 0;
}

int mount_config_load(const char *path, const char *tmpfs_data, struct mount_config *out,
                      struct cj_error *err)
{
    struct yml_document *document = NULL;
    struct cj_error reason;
    if (yml_load(path, &document, &reason) < 0) {
        if (reason.code == ENOENT)
            return mount_config_default(tmpfs_data, out, err);
        return error_set(err, ERROR_CONFIG, reason.code, "%s", reason.message);
    }
    int result = read_document(path, document, tmpfs_data, out, err);
    yml_free(document);
    return result;
}

int mount_config_show_at(struct mount_config *config, const char *path, const char *target,
                         struct cj_error *err)
{
    return add_bind(config, true, path, target, err);
}

/* Whether a bind of the config shows path in its own place. */
static bool is_shown(const struct mount_config *config, const char *path)
{
    for (size_t i = 0; i < config->mount_count; i++) {
        const struct mount_item *mount = &config->mounts[i];
        size_t length = strlen(mount->source != NULL ? mount->source : "");
        if (mount->kind == MOUNT_BIND && length > 0 &&
            strcmp(mount->source + 1, mount->target) == 0 &&
            strncmp(path, mount->source, length) == 0 &&
            (path[length] == '\0' || path[length] == '/'))
            return true;
    }
    return false;
}

int mount_config_show(struct mount_config *config, const char *path, struct cj_error *err)
{
    if (is_shown(config, path))
        return 0;
    return add_default_bind(config, true, path, err);
}

/* GET /version and GET /config. Both are what they are from the start, so they are written once. */
#include <string.h>
#include <sys/mount.h>
#include <sys/utsname.h>

#include "base/json_writer.h"
#include "rest_private.h"

/* go-judge's names of abilities; the keys of both objects are sorted. */
enum { CAN_STREAM = false }; /* /stream is not there yet */

/* The go-judge whose interface this is: clients compare it with the version that brought what they need.
 * Ours stands beside it. */
#define GO_JUDGE_VERSION "v1.12.2"

static const char *platform(void)
{
    static const struct {
        const char *machine, *name;
    } names[] = {
        {"x86_64", "amd64"}, {"aarch64", "arm64"},       {"riscv64", "riscv64"}, {"i686", "386"},
        {"armv7l", "arm"},   {"loongarch64", "loong64"}, {"ppc64le", "ppc64le"}, {"s390x", "s390x"},
    };
    static struct utsname name;
    if (uname(&name) < 0)
        return "unknown";
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strcmp(names[i].machine, name.machine) == 0)
            return names[i].name;
    return name.machine;
}

static void put_text(struct json_writer *json, const char *key, const char *text)
{
    json_key(json, key);
    json_string(json, text);
}

static void put_bool(struct json_writer *json, const char *key, bool value)
{
    json_key(json, key);
    json_bool(json, value);
}

void rest_write_version(const struct rest_options *options, struct buf *out)
{
    struct json_writer json = json_writer_to(out, JSON_COMPACT);
    json_object_begin(&json);
    put_bool(&json, "addressSpaceLimit", true);
    put_text(&json, "buildVersion", GO_JUDGE_VERSION);
    put_bool(&json, "copyOutOptional", true);
    put_bool(&json, "copyOutTruncate", true);
    put_bool(&json, "fixSymlinkEscape", true);
#ifdef __clang__
    put_text(&json, "goVersion", __VERSION__);
#else
    put_text(&json, "goVersion", "gcc " __VERSION__); /* what it was built with */
#endif
    put_text(&json, "os", "linux");
    put_bool(&json, "pipeProxy", true);
    put_bool(&json, "pipeProxyZeroCopy", true);
    put_text(&json, "platform", platform());
    put_bool(&json, "procPeak", true);
    put_text(&json, "protection", protection_name(options->facts->level));
    put_text(&json, "server", "cjudge");
    put_text(&json, "serverVersion", options->version);
    put_bool(&json, "stream", CAN_STREAM);
    put_bool(&json, "symlink", true);
    json_object_end(&json);
}

/* ---- /config ---- */

static void put_cgroup(struct json_writer *json, const struct sandbox_facts *facts)
{
    static const struct {
        unsigned bit;
        const char *name;
    } controllers[] = {
        {CGROUP_CPU, "cpu"},       {CGROUP_CPUACCT, "cpuacct"}, {CGROUP_CPUSET, "cpuset"},
        {CGROUP_MEMORY, "memory"}, {CGROUP_PIDS, "pids"},
    };
    bool used = facts->level == PROTECTION_FULL;
    enum cgroup_kind kind = used ? facts->cgroup.kind : CGROUP_NONE;
    json_key(json, "cgroupType");
    json_int(json, kind == CGROUP_V1 ? 1 : kind == CGROUP_V2 ? 2 : 0);
    json_key(json, "cgroupControllers");
    json_array_begin(json);
    for (size_t i = 0; used && i < COUNT_OF(controllers); i++)
        if ((facts->cgroup.controllers & controllers[i].bit) != 0)
            json_string(json, controllers[i].name);
    json_array_end(json);
    if (kind == CGROUP_V2)
        put_bool(json, "clone3", true);
}

static uint64_t mount_flags(const struct mount_item *item)
{
    if (item->kind == MOUNT_TMPFS)
        return MS_NOSUID | MS_NODEV | MS_NOATIME;
    return MS_BIND | MS_NOSUID | MS_PRIVATE | MS_REC | (item->read_only ? MS_RDONLY : 0);
}

static void put_mount(struct json_writer *json, const struct mount_item *item)
{
    bool bind = item->kind == MOUNT_BIND;
    json_object_begin(json);
    put_text(json, "Source", bind ? item->source : "tmpfs");
    put_text(json, "Target", item->target);
    put_text(json, "FsType", bind ? "" : "tmpfs");
    put_text(json, "Data", bind ? "" : item->data);
    json_key(json, "Flags");
    json_uint(json, mount_flags(item));
    json_object_end(json);
}

static void put_mounts(struct json_writer *json, const struct mount_config *mounts)
{
    json_key(json, "mount");
    json_array_begin(json);
    for (size_t i = 0; i < mounts->mount_count; i++)
        put_mount(json, &mounts->mounts[i]);
    if (mounts->proc) {
        json_object_begin(json);
        put_text(json, "Source", "proc");
        put_text(json, "Target", "proc");
        put_text(json, "FsType", "proc");
        put_text(json, "Data", "");
        json_key(json, "Flags");
        json_uint(json, MS_NOSUID | MS_NODEV | MS_NOEXEC | (mounts->proc_writable ? 0 : MS_RDONLY));
        json_object_end(json);
    }
    json_array_end(json);
    json_key(json, "symbolicLink");
    json_array_begin(json);
    for (size_t i = 0; i < mounts->link_count; i++) {
        json_object_begin(json);
        put_text(json, "LinkPath", mounts->links[i].path);
        put_text(json, "Target", mounts->links[i].target);
        json_object_end(json);
    }
    json_array_end(json);
    json_key(json, "maskedPaths");
    json_array_begin(json);
    for (size_t i = 0; i < mounts->mask_count; i++)
        json_string(json, mounts->masks[i]);
    json_array_end(json);
}

static void put_runner(struct json_writer *json, const struct rest_options *options)
{
    const struct sandbox_facts *facts = options->facts;
    json_key(json, "runnerConfig");
    json_object_begin(json);
    put_cgroup(json, facts);
    put_mounts(json, options->mounts);
    put_text(json, "hostName", options->mounts->host_name);
    put_text(json, "domainName", options->mounts->domain_name);
    put_text(json, "workDir", facts->work_dir);
    json_key(json, "uid");
    json_uint(json, facts->uid);
    json_key(json, "gid");
    json_uint(json, facts->gid);
    json_object_end(json);
}

/* What stands behind the level, for who has to mend it. */
static void put_protection(struct json_writer *json, const struct sandbox_facts *facts)
{
    json_key(json, "protection");
    json_object_begin(json);
    put_text(json, "level", protection_name(facts->level));
    if (facts->reason[0] != '\0')
        put_text(json, "reason", facts->reason);
    json_object_end(json);
}

void rest_write_config(const struct rest_options *options, struct buf *out)
{
    const struct store_facts *store = store_facts(options->store);
    struct json_writer json = json_writer_to(out, JSON_COMPACT);
    json_object_begin(&json);
    put_bool(&json, "addressSpaceLimit", true);
    put_bool(&json, "copyOutOptional", true);
    put_bool(&json, "copyOutTruncate", true);
    put_text(&json, "fileStorePath", store->in_memory ? "memory" : store->directory);
    put_bool(&json, "fixSymlinkEscape", true);
    put_bool(&json, "pipeProxy", true);
    put_bool(&json, "pipeProxyZeroCopy", true);
    put_bool(&json, "procPeak", true);
    put_protection(&json, options->facts);
    put_runner(&json, options);
    put_bool(&json, "stream", CAN_STREAM);
    put_bool(&json, "symlink", true);
    json_object_end(&json);
}

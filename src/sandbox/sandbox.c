/* What all containers of a process share. */
#include "sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/protocol.h"
#include "init_image.h"
#include "sandbox/seccomp_filter.h"
#include "sandbox_private.h"
#include "setup_blob.h"

static int too_little(const struct sandbox *sandbox, enum protection_level required,
                      struct cj_error *err)
{
    return error_set(
        err, ERROR_UNSUPPORTED, 0, "protection '%s' is required, this host gives '%s': %s",
        protection_name(required), protection_name(sandbox->facts.level), sandbox->facts.reason);
}

/* A group counts when it limits memory and processes and measures CPU; less is no protection. */
static bool cgroups_suffice(const struct cgroup_facts *facts)
{
    unsigned needed = CGROUP_MEMORY | CGROUP_PIDS | CGROUP_CPUACCT;
    return facts->kind != CGROUP_NONE && (facts->controllers & needed) == needed;
}

static int find_cgroups(struct sandbox *sandbox, const struct sandbox_options *options,
                        struct cj_error *err)
{
    sandbox->facts.level = PROTECTION_NO_CGROUP;
    if (!protection_meets(options->highest, PROTECTION_FULL)) {
        snprintf(sandbox->facts.reason, sizeof(sandbox->facts.reason), "no more was asked for");
        return 0;
    }
    const struct cgroup_options cgroup_options = {.prefix = options->cgroup_prefix,
                                                  .delegated = options->cgroup_root};
    if (cgroup_host_open(&cgroup_options, &sandbox->cgroups, err) < 0)
        return error_wrap(err, "prepare cgroups");
    sandbox->facts.cgroup = *cgroup_host_facts(sandbox->cgroups);
    if (cgroups_suffice(&sandbox->facts.cgroup)) {
        sandbox->facts.level = PROTECTION_FULL;
        return 0;
    }
    snprintf(sandbox->facts.reason, sizeof(sandbox->facts.reason), "%s",
             sandbox->facts.cgroup.reason);
    cgroup_host_close(sandbox->cgroups);
    sandbox->cgroups = NULL;
    return 0;
}

/* A place that no program can know; see seccomp_filter_default(). Far from where the kernel places
 * anything of a static program, between its image and the mmap area, and anywhere in its page. */
static uint64_t random_place(void)
{
    uint64_t random[2] = {0};
    if (getrandom(random, sizeof(random), 0) != sizeof(random))
        return 0;
    return UINT64_C(0x100000000000) + (random[0] % UINT64_C(0x400000000)) * 4096 +
           random[1] % 480 * 8;
}

/* Whether a program could leave something for a later one to find: devices hold nothing, and file systems of the
 * container's own are empty when a run begins. */
static bool keeps_files(const struct mount_config *mounts)
{
    for (size_t i = 0; i < mounts->mount_count; i++) {
        const struct mount_item *mount = &mounts->mounts[i];
        struct stat info;
        if (mount->kind == MOUNT_BIND && !mount->read_only &&
            (stat(mount->source, &info) < 0 || !S_ISCHR(info.st_mode)))
            return true;
    }
    return false;
}

/* A program must not reach the interpreter that it was forked from: that takes another uid. Who waits must stand
 * in a run's group, and what an operator's own filter allows init nobody knows. */
static bool decide_warm(struct sandbox *sandbox, const struct sandbox_options *options)
{
    const char *why = "";
#if !defined(__x86_64__)
    why = "it is not written for this architecture";
#endif
    if (options->warm_runs == 0)
        why = "switched off";
    else if (sandbox->single_id)
        why = "the service is not root, and containers have one uid only";
    else if (sandbox->cgroups == NULL)
        why = "there are no control groups";
    else if (!sandbox->facts.filter_inherited)
        why = "seccomp.yaml has a filter of its own";
    else if (sandbox->has_init_command)
        why = "mount.yaml has an initCmd, which may leave files";
    else if (keeps_files(options->mounts))
        why = "mount.yaml has a writable mount, where a run may leave files";
    else if (!sandbox->own_work_dir)
        why = "the work directory is no tmpfs of the container's own";
    snprintf(sandbox->facts.warm_reason, sizeof(sandbox->facts.warm_reason), "%s", why);
    sandbox->warm_runs = options->warm_runs;
    sandbox->warm = sandbox->facts.warm = why[0] == '\0';
    return sandbox->warm;
}

/* Interpreters clone into runs' groups at a place of their own: what is forked from them may have seen it, so it gets
 * a filter on top that forbids this one, too (init/siblings.c). Of the launcher's place they know nothing. */
static int make_warm_filter(struct setup_filter *warm, struct cj_error *err)
{
    warm->clone3_args_address = random_place();
    if (seccomp_filter_default(warm->clone3_args_address, &warm->filter, err) < 0)
        return error_wrap(err, "system-call filter of interpreters");
    return 0;
}

static int describe(struct sandbox *sandbox, const struct sandbox_options *options,
                    struct cj_error *err)
{
    struct setup_filter programs = {.clone3_args_address = random_place()}, warm = {0};
    int loaded = -1;
    if (options->seccomp_file != NULL) {
        loaded = seccomp_filter_load(options->seccomp_file, &programs.filter, err);
        if (loaded < 0 && err->code != ENOENT)
            return error_wrap(err, "system-call filter");
    }
    if (loaded < 0 &&
        seccomp_filter_default(programs.clone3_args_address, &programs.filter, err) < 0)
        return error_wrap(err, "system-call filter");
    sandbox->facts.filter_inherited = programs.filter.inherited;
    uint32_t flags = 0;
    if (decide_warm(sandbox, options))
        flags |= SETUP_WARM;
    if (sandbox->trees != NULL)
        flags |= SETUP_TREES_PASSED;
    if (sandbox->single_id)
        flags |= SETUP_SINGLE_ID;
    if (options->loopback && !options->share_net)
        flags |= SETUP_LOOPBACK;
    if (options->share_net)
        flags |= SETUP_SHARED_NET;
    if (sandbox->cgroups != NULL)
        flags |= sandbox->into_cgroup ? SETUP_RUN_CGROUP_NS : SETUP_CGROUP_NS;
    bool two = sandbox->warm && sandbox->into_cgroup;
    int result = two ? make_warm_filter(&warm, err) : 0;
    if (result == 0)
        result = setup_blob_make(options->mounts, &programs, two ? &warm : NULL, flags,
                                 &sandbox->setup_fd, err);
    seccomp_filter_free(&programs.filter);
    seccomp_filter_free(&warm.filter);
    return result;
}

/* Whether path is place or lies below it; neither begins nor ends with '/'. */
static bool is_below(const char *path, const char *place)
{
    size_t length = strlen(place);
    return strncmp(path, place, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

/* Nothing may be there but what a run puts there: no other mount, link, or leaving of the init command. */
static bool has_own_work_dir(const struct mount_config *mounts)
{
    const char *work_dir = mounts->work_dir + strspn(mounts->work_dir, "/");
    bool own = false;
    if (mounts->init_command[0] != '\0')
        return false;
    for (size_t i = 0; i < mounts->link_count; i++)
        if (is_below(mounts->links[i].path + strspn(mounts->links[i].path, "/"), work_dir))
            return false;
    for (size_t i = 0; i < mounts->mount_count; i++) {
        const struct mount_item *item = &mounts->mounts[i];
        const char *target = item->target + strspn(item->target, "/");
        if (strcmp(target, work_dir) == 0)
            own = item->kind == MOUNT_TMPFS;
        else if (is_below(target, work_dir))
            return false;
        else if (is_below(work_dir, target))
            own = false; /* covered */
    }
    return own;
}

static int open_parts(struct sandbox *sandbox, const struct sandbox_options *options,
                      struct cj_error *err)
{
    sandbox->single_id = geteuid() != 0;
    sandbox->share_net = options->share_net;
    sandbox->has_init_command = options->mounts->init_command[0] != '\0';
    sandbox->facts.uid = sandbox->single_id ? 0 : options->mounts->uid;
    sandbox->facts.gid = sandbox->single_id ? 0 : options->mounts->gid;
    snprintf(sandbox->work_dir, sizeof(sandbox->work_dir), "%s", options->mounts->work_dir);
    sandbox->facts.work_dir = sandbox->work_dir;
    sandbox->own_work_dir = has_own_work_dir(options->mounts);
    if (!protection_meets(options->highest, PROTECTION_NO_CGROUP))
        return error_set(err, ERROR_UNSUPPORTED, 0, "protection '%s' is not built yet",
                         protection_name(options->highest));
    if (find_cgroups(sandbox, options, err) < 0)
        return -1;
    if (!protection_meets(sandbox->facts.level, options->required))
        return too_little(sandbox, options->required, err);
    sandbox->into_cgroup = sandbox->facts.cgroup.kind == CGROUP_V2 && sandbox->cgroups != NULL;
    if (!sandbox->single_id && id_range_open(options->id_base, &sandbox->ids, err) < 0)
        return -1;
    if (bind_trees_open(options->mounts, &sandbox->trees, err) < 0)
        return -1;
    if (init_image_open(&sandbox->image_fd, err) < 0 || describe(sandbox, options, err) < 0)
        return -1;
    return spawner_open(&sandbox->spawner, err);
}

int sandbox_open(const struct sandbox_options *options, struct sandbox **out, struct cj_error *err)
{
    struct sandbox *sandbox = calloc(1, sizeof(*sandbox));
    if (sandbox == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "open the sandbox: out of memory");
    sandbox->image_fd = sandbox->setup_fd = sandbox->ids.lock_fd = -1;
    pthread_mutex_init(&sandbox->lock, NULL);
    struct cj_error local = {0};
    if (open_parts(sandbox, options, &local) < 0) {
        if (err != NULL)
            *err = local;
        sandbox_close(sandbox);
        return error_wrap(err, "open the sandbox");
    }
    *out = sandbox;
    return 0;
}

const struct sandbox_facts *sandbox_facts(const struct sandbox *sandbox)
{
    return &sandbox->facts;
}

int sandbox_spawner(struct sandbox *sandbox, struct spawner **out, struct cj_error *err)
{
    if (sandbox->spawner == NULL || !spawner_alive(sandbox->spawner)) {
        spawner_close(sandbox->spawner);
        sandbox->spawner = NULL;
        if (spawner_open(&sandbox->spawner, err) < 0)
            return -1;
    }
    *out = sandbox->spawner;
    return 0;
}

void sandbox_close(struct sandbox *sandbox)
{
    if (sandbox == NULL)
        return;
    spawner_close(sandbox->spawner);
    cgroup_host_close(sandbox->cgroups);
    fd_close(&sandbox->image_fd);
    fd_close(&sandbox->setup_fd);
    id_range_close(&sandbox->ids);
    bind_trees_close(sandbox->trees);
    pthread_mutex_destroy(&sandbox->lock);
    free(sandbox);
}

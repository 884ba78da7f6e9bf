#include "support.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/priority.h"
#include "sandbox/mount_config.h"

#define TMPFS_DATA "size=128m,nr_inodes=4k"

void bench_fail(const struct cj_error *err)
{
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

static char *must(char *text)
{
    if (text == NULL)
        abort();
    return text;
}

static char *own_directory(void)
{
    char path[PATH_MAX] = "";
    if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0)
        abort();
    return must(strdup(dirname(path)));
}

char *bench_host_path(const char *name)
{
    char *directory = own_directory(), *path;
    if (asprintf(&path, "%s/%s", directory, name) < 0)
        abort();
    free(directory);
    return path;
}

void bench_be_slot(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set) != 0) {
        perror("bind a slot to its CPU");
        exit(1);
    }
    prctl(PR_SET_TIMERSLACK, 1UL);
    priority_raise(0, -10); /* what it starts begins without */
}

static void mount_programs(struct mount_config *mounts)
{
    struct mount_item *items = realloc(mounts->mounts, (mounts->mount_count + 1) * sizeof(*items));
    if (items == NULL)
        abort();
    mounts->mounts = items;
    items[mounts->mount_count++] = (struct mount_item){
        .kind = MOUNT_BIND,
        .read_only = true,
        .source = own_directory(),
        .target = must(strdup(BENCH_INSIDE + 1)),
        .data = must(strdup("")),
    };
}

int bench_open(struct sandbox **out, struct cj_error *err)
{
    struct mount_config mounts = {0};
    if (mount_config_default(TMPFS_DATA, &mounts, err) < 0)
        return -1;
    mount_programs(&mounts);
    const struct sandbox_options options = {
        .mounts = &mounts,
        .required = PROTECTION_FULL,
        .highest = PROTECTION_FULL,
    };
    int result = sandbox_open(&options, out, err);
    mount_config_free(&mounts);
    return result;
}

/* ---- order statistics ---- */

void samples_add(struct samples *samples, int64_t value)
{
    if (samples->count == samples->capacity) {
        samples->capacity = samples->capacity == 0 ? 1024 : 2 * samples->capacity;
        samples->values = realloc(samples->values, samples->capacity * sizeof(*samples->values));
        if (samples->values == NULL)
            abort();
    }
    samples->values[samples->count++] = value;
}

void samples_join(struct samples *into, const struct samples *from)
{
    for (size_t i = 0; i < from->count; i++)
        samples_add(into, from->values[i]);
}

void samples_free(struct samples *samples)
{
    free(samples->values);
    *samples = (struct samples){0};
}

static int compare(const void *left, const void *right)
{
    const int64_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

int64_t samples_quantile(struct samples *samples, double q)
{
    if (samples->count == 0)
        return 0;
    qsort(samples->values, samples->count, sizeof(*samples->values), compare);
    size_t rank = (size_t)(q * (double)samples->count);
    return samples->values[rank < samples->count ? rank : samples->count - 1];
}

void json_us(struct json_writer *json, const char *key, int64_t ns)
{
    json_key(json, key);
    json_double(json, (double)ns / 1000);
}

#include "judge/roster.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

enum { CPU_RATE = 200 }; /* 1/1000: requests go first */

struct roster {
    const struct languages *languages;
    const struct judge_settings *settings;
    struct sandbox *sandbox;
    unsigned index; /* of the container */
    int stop_fd;    /* readable: it shall end */
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* of the versions */
    struct language_facts facts[];
};

int roster_new(const struct languages *languages, const struct judge_settings *settings,
               struct roster **out, struct cj_error *err)
{
    size_t count = languages_count(languages);
    struct roster *roster = calloc(1, sizeof(*roster) + count * sizeof(roster->facts[0]));
    if (roster == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "roster of languages: out of memory");
    roster->languages = languages;
    roster->settings = settings;
    roster->stop_fd = -1;
    pthread_mutex_init(&roster->lock, NULL);
    for (size_t i = 0; i < count; i++)
        roster->facts[i].installed =
            toolchain_is_installed(languages_at(languages, i), settings->mounts, settings->env,
                                   settings->env_count, roster->facts[i].missing);
    *out = roster;
    return 0;
}

static bool shall_stop(const struct roster *roster)
{
    struct pollfd stop = {.fd = roster->stop_fd, .events = POLLIN};
    return poll(&stop, 1, 0) > 0;
}

static int ask_all(struct roster *roster, struct container *container, struct cj_error *err)
{
    for (size_t i = 0; i < languages_count(roster->languages) && !shall_stop(roster); i++) {
        const struct language *language = languages_at(roster->languages, i);
        char version[LANGUAGE_VERSION_SIZE];
        if (!roster->facts[i].installed || language->version == NULL)
            continue;
        language_ask_version(container, roster->settings, language, CPU_RATE, roster->stop_fd,
                             version);
        pthread_mutex_lock(&roster->lock);
        memcpy(roster->facts[i].version, version, sizeof(version));
        pthread_mutex_unlock(&roster->lock);
        if (!shall_stop(roster) && container_reset(container, err) < 0)
            return -1;
    }
    return 0;
}

static void *run_thread(void *arg)
{
    struct roster *roster = arg;
    struct container *container = NULL;
    struct cj_error err;
    pthread_setname_np(pthread_self(), "cj-versions");
    if (container_new(roster->sandbox, roster->index, -1, &container, &err) < 0 ||
        ask_all(roster, container, &err) < 0)
        log_warn("the versions of languages are not known", log_text("because", err.message));
    container_free(container); /* nobody asks again */
    return NULL;
}

int roster_ask(struct roster *roster, struct sandbox *sandbox, unsigned index, struct cj_error *err)
{
    roster->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (roster->stop_fd < 0)
        return error_errno(err, "eventfd");
    roster->sandbox = sandbox;
    roster->index = index;
    int code = pthread_create(&roster->thread, NULL, run_thread, roster);
    if (code != 0)
        return error_set(err, ERROR_SYSTEM, code, "ask languages for versions: no thread");
    roster->has_thread = true;
    return 0;
}

void roster_get(struct roster *roster, size_t index, struct language_facts *out)
{
    pthread_mutex_lock(&roster->lock);
    *out = roster->facts[index];
    pthread_mutex_unlock(&roster->lock);
}

void roster_free(struct roster *roster)
{
    if (roster == NULL)
        return;
    if (roster->has_thread) {
        (void)!write(roster->stop_fd, &(uint64_t){1}, sizeof(uint64_t));
        pthread_join(roster->thread, NULL);
    }
    fd_close(&roster->stop_fd);
    pthread_mutex_destroy(&roster->lock);
    free(roster);
}

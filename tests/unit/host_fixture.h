/* Fixture hosts for tests: small trees of /proc and /sys, made below a temporary directory. */
#ifndef CJ_TESTS_HOST_FIXTURE_H
#define CJ_TESTS_HOST_FIXTURE_H

#include <stddef.h>

struct fixture_file {
    const char *path; /* NULL ends the list; a path that ends with '/' is a directory */
    const char *text;
};

enum fixture_host {
    FIXTURE_DEBIAN,  /* unprivileged_userns_clone=0, systemd v2 with nsdelegate, user session */
    FIXTURE_UBUNTU,  /* 24.04: AppArmor restricts user namespaces */
    FIXTURE_DOCKER,  /* default options: seccomp, docker-default, masked proc, read-only cgroup */
    FIXTURE_SYSTEMD, /* root on a plain systemd v2 host */
    FIXTURE_V1,      /* only v1 controllers, root */
    FIXTURE_HYBRID,  /* v1 controllers and a unified tree, in a chroot */
    FIXTURE_BARE,    /* /proc without anything that matters */
    FIXTURE_EMPTY,   /* nothing at all */
    FIXTURES,
};

extern const char *const fixture_names[FIXTURES];

/* Makes the tree; returns a descriptor of its root and its path in *path (heap), or -1. */
int fixture_open(enum fixture_host host, char **path);
/* Removes the tree, closes, frees. */
void fixture_close(int root_fd, char *path);

#endif

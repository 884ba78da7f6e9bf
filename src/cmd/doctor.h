/* cjudge doctor: what this host allows, what that costs, and how to mend it. */
#ifndef CJ_CMD_DOCTOR_H
#define CJ_CMD_DOCTOR_H

#include <stddef.h>

#include "base/attr.h"
#include "base/error.h"
#include "sandbox/cgroup.h"
#include "sandbox/protection.h"

/* What doctor asks of the layers above the host facts. Each may be NULL: then it is not tried. */
struct doctor_hooks {
    /* Runs a real program in the sandbox, as `cjudge run` would, and says in one line what came of
     * it ("/bin/true: Accepted, 0.6 ms CPU, 0.3 MiB"). Fails also when the sandbox gives less than
     * the expected protection. cold: of size bytes as well; why interpreters cannot be kept warm, "" when
     * they can. Returns 0, or -1 with err filled in. */
    int (*try_run)(enum protection_level expected, char *summary, char *cold, size_t size,
                   struct cj_error *err);
    /* The control groups as the service really opens them; without it doctor tries one by itself.
     */
    int (*cgroups)(struct cgroup_facts *out, struct cj_error *err);
};

/* Before threads exist. Returns the exit status: 0 when a full sandbox is possible (and the real
 * run went well), 1 when less is, 2 for wrong usage. */
WARN_UNUSED int cmd_doctor_with(int argc, char **argv, const struct doctor_hooks *hooks);

#endif

/* Everything that doctor found, and its two forms. */
#ifndef CJ_CMD_DOCTOR_REPORT_H
#define CJ_CMD_DOCTOR_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "advice.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/json_writer.h"
#include "sandbox/host_facts.h"
#include "sandbox/host_try.h"
#include "sandbox/protection.h"
#include "tools.h"

enum doctor_run { RUN_NOT_TRIED, RUN_WENT_WELL, RUN_FAILED };

struct doctor_report {
    struct host_facts facts;
    struct host_tries tries;
    struct cgroup_facts cgroup; /* from the hook */
    enum fact delegated;        /* v2: this process's group is marked as given away */
    bool has_cgroup;
    struct cj_error cgroup_error; /* the hook's, when it failed */
    struct protection_ability ability;
    struct protection_decision decision;
    struct remedy remedies[REMEDIES_MAX];
    size_t remedy_count;
    struct tool_facts *tools; /* heap */
    size_t tool_count;
    enum doctor_run run;
    char run_summary[256];
    char cold[256]; /* why interpreters cannot be kept warm; "": they can */
    struct cj_error run_error;
};

/* Whether the host is fit for a full sandbox. */
static inline bool doctor_is_full(const struct doctor_report *report)
{
    return report->decision.level == PROTECTION_FULL && report->run != RUN_FAILED;
}

/* A table for people. */
void doctor_write_text(const struct doctor_report *report, bool colour, struct buf *out)
    NONNULL(1, 3);

/* One object. */
void doctor_write_json(const struct doctor_report *report, enum json_style style, struct buf *out)
    NONNULL(1, 3);

/* How a tool that lies outside of the sandbox's mounts is brought in; "" for the others. */
void doctor_tool_hint(const struct tool_facts *tool, char *out, size_t size) NONNULL(1, 2);

/* "v1", "v1 (hybrid)", "v2", "none" */
const char *doctor_cgroup_kind(const struct host_cgroups *cgroups) NONNULL(1);

/* "unknown", "absent", "permissive", "enforcing" */
const char *doctor_selinux(enum host_selinux selinux);

#endif

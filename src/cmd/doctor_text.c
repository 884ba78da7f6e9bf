/* What doctor found, as tables for people. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "doctor_report.h"

enum mark { MARK_NONE, MARK_GOOD, MARK_SMALL, MARK_BAD };

struct page {
    struct buf *out;
    bool colour;
    const struct doctor_report *report;
};

/* The marks are words, so that they need no colour and no font. */
static const char *const mark_words[] = {"    ", "ok  ", "note", "LACK"};
static const char *const mark_colours[] = {"", "\033[32m", "\033[33m", "\033[31m"};

static void section(struct page *page, const char *title)
{
    buf_printf(page->out, page->colour ? "\n\033[1m%s\033[0m\n" : "\n%s\n", title);
}

static void row(struct page *page, enum mark mark, const char *name, const char *format, ...)
    PRINTF(4, 5);

static void row(struct page *page, enum mark mark, const char *name, const char *format, ...)
{
    char value[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(value, sizeof(value), format, args);
    va_end(args);
    bool coloured = page->colour && mark != MARK_NONE;
    buf_printf(page->out, "  %s%s%s  %-26s %s\n", coloured ? mark_colours[mark] : "",
               mark_words[mark], coloured ? "\033[0m" : "", name, value);
}

/* A number, "unknown" or what its absence means. */
static void row_number(struct page *page, enum mark mark, const char *name, int64_t value,
                       const char *absent)
{
    if (value == HOST_UNKNOWN)
        row(page, MARK_NONE, name, "%s", absent);
    else
        row(page, mark, name, "%" PRId64, value);
}

static void row_text(struct page *page, const char *name, const char *value, const char *absent)
{
    row(page, MARK_NONE, name, "%s", value[0] != '\0' ? value : absent);
}

static const char *bytes_text(int64_t bytes, char text[static UNITS_TEXT_SIZE])
{
    if (bytes < 0)
        return "unknown";
    /* Exact to the byte is too much here: MiB. */
    if (bytes >= 1 << 20)
        bytes &= ~(int64_t)((1 << 20) - 1);
    return size_format((uint64_t)bytes, text);
}

static enum mark mark_of(enum fact works, enum mark bad)
{
    return works == FACT_YES ? MARK_GOOD : works == FACT_NO ? bad : MARK_NONE;
}

static void row_fact(struct page *page, enum mark bad, const char *name, enum fact value)
{
    row(page, mark_of(value, bad), name, "%s",
        value == FACT_YES  ? "yes"
        : value == FACT_NO ? "no"
                           : "not known");
}

/* ---- what follows ---- */

static void write_verdict(struct page *page)
{
    const struct protection_decision *decision = &page->report->decision;
    section(page, "Protection");
    row(page, decision->level == PROTECTION_FULL ? MARK_GOOD : MARK_BAD, "level", "%s: %s",
        protection_name(decision->level), protection_summary(decision->level));
    for (size_t i = 0; i < decision->reason_count; i++) {
        const struct protection_reason *reason = decision->reasons[i];
        row(page, reason->best == PROTECTION_FULL ? MARK_SMALL : MARK_BAD, reason->name, "%s",
            reason->what);
    }
    const struct doctor_report *report = page->report;
    if (report->run == RUN_WENT_WELL)
        row(page, MARK_GOOD, "a real run", "%s", report->run_summary);
    else if (report->run == RUN_FAILED)
        row(page, MARK_BAD, "a real run", "%s", report->run_error.message);
    else
        row(page, MARK_NONE, "a real run", "not tried");
    if (report->run == RUN_WENT_WELL)
        row(page, report->cold[0] == '\0' ? MARK_GOOD : MARK_SMALL, "warm interpreters", "%s%s",
            report->cold[0] == '\0' ? "yes" : "no: ", report->cold);
}

static void write_promises(struct page *page)
{
    section(page, "What that level promises");
    size_t count = 0;
    const struct protection_promise *promises = protection_promises(&count);
    for (size_t i = 0; i < count; i++)
        row(page, promises[i].kept[page->report->decision.level] ? MARK_GOOD : MARK_BAD,
            promises[i].name, "%s", promises[i].text);
}

static void write_figure(struct page *page, const char *name, const struct figure *figure)
{
    row(page, figure->accuracy == FIGURE_EXACT ? MARK_GOOD : MARK_SMALL, name, "%-8s %s",
        figure_accuracy_name(figure->accuracy), figure->note);
}

static void write_accuracy(struct page *page)
{
    const struct protection_decision *decision = &page->report->decision;
    section(page, "Accuracy");
    write_figure(page, "wall time", &decision->wall);
    write_figure(page, "CPU time", &decision->cpu);
    write_figure(page, "memory peak", &decision->memory_peak);
    write_figure(page, "process peak", &decision->process_peak);
    write_figure(page, "out-of-memory", &decision->oom);
    int64_t tick_ns = page->report->tries.tick_ns;
    if (tick_ns > 0)
        row(page, MARK_NONE, "scheduler tick",
            "%.3g ms (CONFIG_HZ=%" PRId64 "): a CPU limit is seen within one",
            (double)tick_ns / (double)NS_PER_MS, (NS_PER_S + tick_ns / 2) / tick_ns);
}

static void write_remedies(struct page *page)
{
    const struct doctor_report *report = page->report;
    if (report->remedy_count == 0)
        return;
    section(page, "What would mend it");
    for (size_t i = 0; i < report->remedy_count; i++) {
        const struct remedy *remedy = &report->remedies[i];
        row(page, remedy->lowers_level ? MARK_BAD : MARK_SMALL, remedy->name, "%s",
            remedy->problem);
        row(page, MARK_NONE, "  costs", "%s", remedy->cost);
        row(page, MARK_NONE, "  mend", "%s", remedy->command);
    }
}

/* ---- what was found ---- */

static void write_host(struct page *page)
{
    const struct host_facts *facts = &page->report->facts;
    const struct host_identity *identity = &facts->identity;
    const struct host_resources *resources = &facts->resources;
    char text[UNITS_TEXT_SIZE], other[UNITS_TEXT_SIZE];
    section(page, "Host");
    row(page, MARK_NONE, "kernel", "%s %s", identity->release, identity->arch);
    row_text(page, "system", identity->system, "unknown");
    row_text(page, "virtual machine", identity->hypervisor, "none seen");
    row(page, MARK_NONE, "container", "%s%s%s%s",
        identity->container[0] != '\0' ? identity->container : "none seen",
        identity->container[0] != '\0' ? " (by " : "", identity->container_mark,
        identity->container[0] != '\0' ? ")" : "");
    row(page, MARK_NONE, "CPUs", "%" PRId64 " of %" PRId64 " (%s)", facts->process.cpus_allowed,
        resources->cpus_online, facts->process.cpus_allowed_list);
    row(page, MARK_NONE, "memory", "%s, swap %s", bytes_text(resources->memory_bytes, text),
        bytes_text(resources->swap_bytes, other));
    row_text(page, "clock source", resources->clocksource, "unknown");
    row_text(page, "root file system", resources->root.type, "unknown");
    row(page, MARK_NONE, "/tmp", "%s, %s free", resources->tmp.type,
        bytes_text(page->report->tries.tmp_free_bytes, text));
    row(page, MARK_NONE, "/dev/shm", "%s, %s", resources->shm.type,
        bytes_text(page->report->tries.shm_size_bytes, text));
    row_fact(page, MARK_BAD, "tmpfs", resources->tmpfs);
    row_number(page, MARK_NONE, "kernel.pid_max", resources->pid_max, "unknown");
    row_number(page, MARK_NONE, "kernel.threads-max", resources->threads_max, "unknown");
    row_number(page, MARK_NONE, "vm.max_map_count", resources->max_map_count, "unknown");
    row_number(page, MARK_NONE, "vm.overcommit_memory", resources->overcommit_memory, "unknown");
    row_number(page, MARK_NONE, "kernel.sched_rt_runtime_us", resources->sched_rt_runtime_us,
               "unknown");
    row_text(page, "kernel.core_pattern", resources->core_pattern, "unknown");
}

static void write_rules(struct page *page)
{
    const struct host_facts *facts = &page->report->facts;
    const struct host_rules *rules = &facts->rules;
    section(page, "Rights and rules");
    row(page, MARK_NONE, "user", "uid %" PRId64 ", capabilities %" PRIx64, facts->process.uid,
        (uint64_t)facts->process.capabilities);
    row(page, MARK_NONE, "no_new_privs, seccomp", "%" PRId64 ", %" PRId64 "%s",
        facts->process.no_new_privs, facts->process.seccomp_mode,
        facts->process.seccomp_mode == 2 ? " (a filter was inherited)" : "");
    row(page, facts->process.chrooted == FACT_YES ? MARK_BAD : MARK_NONE, "chroot", "%s",
        facts->process.chrooted == FACT_YES ? "yes: the kernel refuses user namespaces" : "no");
    row_number(page, rules->max_user_namespaces == 0 ? MARK_BAD : MARK_NONE,
               "user.max_user_namespaces", rules->max_user_namespaces, "unknown");
    row_number(page, rules->unprivileged_userns_clone == 0 ? MARK_SMALL : MARK_NONE,
               "unprivileged_userns_clone", rules->unprivileged_userns_clone, "not in this kernel");
    row_number(page, rules->apparmor_restrict_userns == 1 ? MARK_SMALL : MARK_NONE,
               "apparmor_restrict_userns", rules->apparmor_restrict_userns, "not in this kernel");
    row_number(page, rules->apparmor_restrict_unconfined == 1 ? MARK_SMALL : MARK_NONE,
               "apparmor_restr._unconfined", rules->apparmor_restrict_unconfined,
               "not in this kernel");
    row_text(page, "AppArmor profile", facts->process.apparmor_profile, "none");
    row(page, MARK_NONE, "SELinux", "%s", doctor_selinux(rules->selinux));
    row_text(page, "security modules", rules->lsm, "unknown");
    row_number(page, MARK_NONE, "kernel.yama.ptrace_scope", rules->ptrace_scope,
               "not in this kernel");
    row_number(page, rules->memfd_noexec == 2 ? MARK_SMALL : MARK_NONE, "vm.memfd_noexec",
               rules->memfd_noexec, "not in this kernel");
    row_text(page, "seccomp actions", rules->seccomp_actions, "unknown");
    row(page, MARK_NONE, "Landlock ABI", "%" PRId64, page->report->tries.landlock_abi);
}

static void write_tries(struct page *page)
{
    section(page, "Tried");
    for (unsigned i = 0; i < HOST_STEPS; i++) {
        const struct host_try *tried = &page->report->tries.steps[i];
        char name[64], text[64];
        snprintf(name, sizeof(name), "%s%s", host_step_name(i),
                 i < HOST_NAMESPACES ? " namespace" : "");
        const char *note = tried->works == FACT_NO        ? strerror_r(tried->error, text, 64)
                           : tried->works == FACT_UNKNOWN ? "not tried"
                                                          : "";
        bool masked = i == TRY_MOUNT_PROC && tried->works == FACT_NO &&
                      page->report->facts.resources.proc_masks > 0;
        bool small = i == TRY_OWN_UID || i == TRY_MEMFD_EXEC || i == TRY_NAMESPACE + HOST_NS_TIME ||
                     i == TRY_NAMESPACE + HOST_NS_CGROUP;
        row(page, mark_of(tried->works, small ? MARK_SMALL : MARK_BAD), name, "%s%s%s", note,
            masked ? ": parts of /proc are masked, such as " : "",
            masked ? page->report->facts.resources.proc_mask : "");
    }
}

static void write_cgroups(struct page *page)
{
    const struct host_cgroups *seen = &page->report->facts.cgroups;
    const struct host_cgroup_try *tried = &page->report->tries.cgroup;
    char text[128];
    section(page, "Control groups");
    row(page, seen->kind == CGROUP_NONE ? MARK_BAD : MARK_GOOD, "hierarchy", "%s%s",
        doctor_cgroup_kind(seen), seen->read_only ? ", mounted read-only" : "");
    if (seen->kind == CGROUP_NONE)
        return;
    if (seen->unified_mount[0] != '\0') {
        row(page, MARK_NONE, "unified tree", "%s%s", seen->unified_mount,
            seen->memory_recursiveprot ? ", memory_recursiveprot" : "");
        row(page, MARK_NONE, "nsdelegate", "%s", seen->nsdelegate ? "yes" : "no");
    }
    row(page, MARK_NONE, "this process is in", "%s",
        seen->kind == CGROUP_V2 ? seen->path : seen->memory_path);
    row(page, MARK_NONE, "delegation", "%s%s",
        seen->kind == CGROUP_V1               ? "none: cgroup v1 is root's"
        : page->report->delegated == FACT_YES ? "this group is marked as given away to us"
                                              : "this group has no mark of it",
        seen->kind == CGROUP_V2 && tried->mkdir.works == FACT_YES ? "; groups can be made" : "");
    row(page, MARK_NONE, "controllers", "%s",
        host_controllers_text(seen->available, text, sizeof(text)));
    row(page, MARK_NONE, "enabled", "%s", host_controllers_text(seen->enabled, text, sizeof(text)));
    row(page, mark_of(tried->mkdir.works, MARK_BAD), "a new group", "%s%s%s", tried->path,
        tried->mkdir.works == FACT_NO ? ": " : "",
        tried->mkdir.works == FACT_NO ? strerror_r(tried->mkdir.error, text, sizeof(text)) : "");
    row(page,
        (tried->usable & (CGROUP_MEMORY | CGROUP_PIDS)) != (CGROUP_MEMORY | CGROUP_PIDS)
            ? MARK_BAD
            : MARK_GOOD,
        "usable for runs", "%s", host_controllers_text(tried->usable, text, sizeof(text)));
    row_fact(page, MARK_SMALL, "cgroup.kill", tried->kill);
    row_fact(page, MARK_SMALL, "memory peak", tried->memory_peak);
    row_fact(page, MARK_SMALL, "process peak", tried->pids_peak);
    row_fact(page, MARK_SMALL, "swap limit", tried->swap_limit);
    if (seen->memory_limit_bytes != HOST_UNKNOWN)
        row(page, MARK_NONE, "memory limit upon us", "%" PRId64 " bytes", seen->memory_limit_bytes);
    if (seen->processes_limit != HOST_UNKNOWN)
        row(page, MARK_NONE, "process limit upon us", "%" PRId64, seen->processes_limit);
    if (seen->cpu_limit[0] != '\0')
        row(page, MARK_NONE, "CPU limit upon us", "%s us (quota, period)", seen->cpu_limit);
    if (page->report->cgroup_error.message[0] != '\0')
        row(page, MARK_BAD, "the service's groups", "%s", page->report->cgroup_error.message);
    else if (page->report->has_cgroup && page->report->cgroup.reason[0] != '\0')
        row(page, MARK_BAD, "the service's groups", "%s", page->report->cgroup.reason);
}

/* ---- tools ---- */

static void write_tool(struct page *page, const struct tool_facts *tool)
{
    char hint[TOOL_PATH_SIZE * 3 + 256];
    char name[64];
    snprintf(name, sizeof(name), "%s: %s", tool->tool->language->id, tool->tool->command);
    doctor_tool_hint(tool, hint, sizeof(hint));
    if (tool->place == TOOL_MISSING) {
        row(page, tool->tool->language->first_class ? MARK_SMALL : MARK_NONE, name, "- %s%s",
            tool->tool->packages != NULL ? "apt-get install " : "(not in Debian 12)",
            tool->tool->packages != NULL ? tool->tool->packages : "");
        return;
    }
    row(page, tool->place == TOOL_VISIBLE ? MARK_GOOD : MARK_SMALL, name, "%s  %s%s%s", tool->path,
        tool->version, tool->problem[0] != '\0' ? "  " : "", tool->problem);
    if (hint[0] != '\0')
        row(page, MARK_NONE, "", "%s", hint);
}

static void write_tools(struct page *page)
{
    section(page, "Compilers and interpreters");
    for (size_t i = 0; i < page->report->tool_count; i++)
        write_tool(page, &page->report->tools[i]);
}

void doctor_write_text(const struct doctor_report *report, bool colour, struct buf *out)
{
    struct page page = {.out = out, .colour = colour, .report = report};
    write_host(&page);
    write_rules(&page);
    write_tries(&page);
    write_cgroups(&page);
    write_tools(&page);
    write_promises(&page);
    write_accuracy(&page);
    write_verdict(&page);
    write_remedies(&page); /* last: where the eye falls when the output has scrolled by */
}

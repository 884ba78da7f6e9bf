/* What doctor found, as one JSON object. Unknown is null. */
#include <stdio.h>
#include <string.h>

#include "doctor_report.h"

const char *doctor_cgroup_kind(const struct host_cgroups *cgroups)
{
    switch (cgroups->kind) {
    case CGROUP_V1:
        return cgroups->hybrid ? "v1 (hybrid)" : "v1";
    case CGROUP_V2:
        return "v2";
    case CGROUP_NONE:
        break;
    }
    return "none";
}

const char *doctor_selinux(enum host_selinux selinux)
{
    static const char *const texts[] = {"unknown", "absent", "permissive", "enforcing"};
    return (unsigned)selinux < COUNT_OF(texts) ? texts[selinux] : "unknown";
}

void doctor_tool_hint(const struct tool_facts *tool, char *out, size_t size)
{
    static const char cargo[] = "/.cargo";
    out[0] = '\0';
    if (tool->place != TOOL_OUTSIDE)
        return;
    size_t length = strlen(tool->mount);
    size_t home = length - (sizeof(cargo) - 1);
    bool rustup = length >= sizeof(cargo) && strcmp(tool->mount + home, cargo) == 0;
    snprintf(out, size,
             "outside /usr: not visible in the sandbox unless mounted; in mount.yaml: "
             "{type: bind, source: %s, target: %s, readonly: true}%s%.*s%s",
             tool->mount, tool->mount, rustup ? " and the same for " : "", rustup ? (int)home : 0,
             tool->mount, rustup ? "/.rustup" : "");
}

static void put_text(struct json_writer *json, const char *key, const char *text)
{
    json_key(json, key);
    if (text == NULL || text[0] == '\0')
        json_null(json);
    else
        json_string(json, text);
}

static void put_number(struct json_writer *json, const char *key, int64_t value)
{
    json_key(json, key);
    if (value == HOST_UNKNOWN)
        json_null(json);
    else
        json_int(json, value);
}

static void put_fact(struct json_writer *json, const char *key, enum fact fact)
{
    json_key(json, key);
    if (fact == FACT_UNKNOWN)
        json_null(json);
    else
        json_bool(json, fact == FACT_YES);
}

static void put_bool(struct json_writer *json, const char *key, bool value)
{
    json_key(json, key);
    json_bool(json, value);
}

static void begin(struct json_writer *json, const char *key)
{
    json_key(json, key);
    json_object_begin(json);
}

/* ---- what follows ---- */

static void put_reasons(struct json_writer *json, const struct protection_decision *decision)
{
    json_key(json, "reasons");
    json_array_begin(json);
    for (size_t i = 0; i < decision->reason_count; i++) {
        json_object_begin(json);
        put_text(json, "name", decision->reasons[i]->name);
        put_text(json, "what", decision->reasons[i]->what);
        put_text(json, "cost", decision->reasons[i]->cost);
        put_text(json, "bestLevel", protection_name(decision->reasons[i]->best));
        json_object_end(json);
    }
    json_array_end(json);
}

static void put_promises(struct json_writer *json, enum protection_level level)
{
    size_t count = 0;
    const struct protection_promise *promises = protection_promises(&count);
    json_key(json, "promises");
    json_array_begin(json);
    for (size_t i = 0; i < count; i++) {
        json_object_begin(json);
        put_text(json, "name", promises[i].name);
        put_text(json, "text", promises[i].text);
        put_bool(json, "kept", promises[i].kept[level]);
        json_object_end(json);
    }
    json_array_end(json);
}

static void put_figure(struct json_writer *json, const char *key, const struct figure *figure)
{
    begin(json, key);
    put_text(json, "accuracy", figure_accuracy_name(figure->accuracy));
    put_text(json, "note", figure->note);
    json_object_end(json);
}

static void put_protection(struct json_writer *json, const struct doctor_report *report)
{
    const struct protection_decision *decision = &report->decision;
    begin(json, "protection");
    put_text(json, "level", protection_name(decision->level));
    put_text(json, "summary", protection_summary(decision->level));
    put_reasons(json, decision);
    put_promises(json, decision->level);
    begin(json, "accuracy");
    put_figure(json, "wall", &decision->wall);
    put_figure(json, "cpu", &decision->cpu);
    put_figure(json, "memoryPeak", &decision->memory_peak);
    put_figure(json, "processPeak", &decision->process_peak);
    put_figure(json, "outOfMemory", &decision->oom);
    json_object_end(json);
    json_object_end(json);
}

static void put_run(struct json_writer *json, const struct doctor_report *report)
{
    begin(json, "run");
    put_bool(json, "tried", report->run != RUN_NOT_TRIED);
    put_fact(json, "ok",
             report->run == RUN_NOT_TRIED ? FACT_UNKNOWN : fact_of(report->run == RUN_WENT_WELL));
    put_text(json, "summary", report->run_summary);
    put_text(json, "error", report->run == RUN_FAILED ? report->run_error.message : NULL);
    put_fact(json, "warmInterpreters",
             report->run == RUN_WENT_WELL ? fact_of(report->cold[0] == '\0') : FACT_UNKNOWN);
    put_text(json, "coldBecause", report->run == RUN_WENT_WELL ? report->cold : NULL);
    json_object_end(json);
}

static void put_remedies(struct json_writer *json, const struct doctor_report *report)
{
    json_key(json, "remedies");
    json_array_begin(json);
    for (size_t i = 0; i < report->remedy_count; i++) {
        const struct remedy *remedy = &report->remedies[i];
        json_object_begin(json);
        put_text(json, "name", remedy->name);
        put_bool(json, "lowersLevel", remedy->lowers_level);
        put_text(json, "problem", remedy->problem);
        put_text(json, "cost", remedy->cost);
        put_text(json, "command", remedy->command);
        json_object_end(json);
    }
    json_array_end(json);
}

/* ---- what was found ---- */

static void put_mount(struct json_writer *json, const char *key, const struct host_mount *mount,
                      int64_t size_bytes, int64_t free_bytes)
{
    begin(json, key);
    put_text(json, "type", mount->type);
    put_text(json, "options", mount->options);
    put_number(json, "sizeBytes", size_bytes);
    put_number(json, "freeBytes", free_bytes);
    json_object_end(json);
}

static void put_host(struct json_writer *json, const struct doctor_report *report)
{
    const struct host_identity *identity = &report->facts.identity;
    const struct host_resources *resources = &report->facts.resources;
    begin(json, "host");
    put_text(json, "kernel", identity->release);
    put_text(json, "arch", identity->arch);
    put_text(json, "system", identity->system);
    put_text(json, "systemId", identity->system_id);
    put_text(json, "hypervisor", identity->hypervisor);
    put_text(json, "container", identity->container);
    put_text(json, "containerMark", identity->container_mark);
    put_number(json, "cpusOnline", resources->cpus_online);
    put_number(json, "memoryBytes", resources->memory_bytes);
    put_number(json, "memoryAvailableBytes", resources->memory_available_bytes);
    put_number(json, "swapBytes", resources->swap_bytes);
    put_text(json, "clocksource", resources->clocksource);
    put_number(json, "tickNs", report->tries.tick_ns);
    put_number(json, "pidMax", resources->pid_max);
    put_number(json, "threadsMax", resources->threads_max);
    put_number(json, "maxMapCount", resources->max_map_count);
    put_number(json, "overcommitMemory", resources->overcommit_memory);
    put_number(json, "schedRtRuntimeUs", resources->sched_rt_runtime_us);
    put_text(json, "corePattern", resources->core_pattern);
    put_fact(json, "tmpfs", resources->tmpfs);
    put_fact(json, "overlay", resources->overlay);
    put_mount(json, "root", &resources->root, resources->root.size_bytes, HOST_UNKNOWN);
    put_mount(json, "tmp", &resources->tmp, resources->tmp.size_bytes,
              report->tries.tmp_free_bytes);
    put_mount(json, "shm", &resources->shm, report->tries.shm_size_bytes,
              report->tries.shm_free_bytes);
    put_number(json, "procMasks", resources->proc_masks);
    json_object_end(json);
}

static void put_process(struct json_writer *json, const struct host_process *process)
{
    char capabilities[32] = "";
    if (process->capabilities != HOST_UNKNOWN)
        snprintf(capabilities, sizeof(capabilities), "%016llx",
                 (unsigned long long)process->capabilities);
    begin(json, "process");
    put_number(json, "uid", process->uid);
    put_text(json, "capabilities", capabilities);
    put_number(json, "seccompMode", process->seccomp_mode);
    put_number(json, "noNewPrivs", process->no_new_privs);
    put_number(json, "cpusAllowed", process->cpus_allowed);
    put_text(json, "cpusAllowedList", process->cpus_allowed_list);
    put_text(json, "apparmorProfile", process->apparmor_profile);
    put_fact(json, "initialUserNamespace", process->initial_user_namespace);
    put_fact(json, "chrooted", process->chrooted);
    json_object_end(json);
}

static void put_rules(struct json_writer *json, const struct doctor_report *report)
{
    const struct host_rules *rules = &report->facts.rules;
    begin(json, "rules");
    put_number(json, "maxUserNamespaces", rules->max_user_namespaces);
    put_number(json, "unprivilegedUsernsClone", rules->unprivileged_userns_clone);
    put_number(json, "apparmorRestrictUserns", rules->apparmor_restrict_userns);
    put_number(json, "apparmorRestrictUnconfined", rules->apparmor_restrict_unconfined);
    put_fact(json, "apparmor", rules->apparmor);
    put_text(json, "selinux", doctor_selinux(rules->selinux));
    put_text(json, "lsm", rules->lsm);
    put_number(json, "ptraceScope", rules->ptrace_scope);
    put_number(json, "memfdNoexec", rules->memfd_noexec);
    put_number(json, "ioUringDisabled", rules->io_uring_disabled);
    put_text(json, "seccompActions", rules->seccomp_actions);
    json_object_end(json);
}

static void put_namespaces(struct json_writer *json, const struct host_rules *rules)
{
    begin(json, "namespaces");
    for (unsigned i = 0; i < HOST_NAMESPACES; i++)
        put_fact(json, host_namespace_name((enum host_namespace)i), rules->namespaces[i]);
    json_object_end(json);
}

static void put_try(struct json_writer *json, const char *key, const struct host_try *tried)
{
    begin(json, key);
    put_fact(json, "works", tried->works);
    put_text(json, "error", tried->works == FACT_NO ? strerrorname_np(tried->error) : NULL);
    json_object_end(json);
}

static void put_tries(struct json_writer *json, const struct host_tries *tries)
{
    begin(json, "tries");
    for (unsigned i = 0; i < HOST_STEPS; i++)
        put_try(json, host_step_name(i), &tries->steps[i]);
    json_object_end(json);
    json_key(json, "landlockAbi");
    json_int(json, tries->landlock_abi);
}

static void put_controllers(struct json_writer *json, const char *key, unsigned controllers)
{
    json_key(json, key);
    json_array_begin(json);
    for (unsigned bit = 1; bit <= CGROUP_PIDS; bit <<= 1) {
        char name[32];
        if ((controllers & bit) != 0)
            json_string(json, host_controllers_text(bit, name, sizeof(name)));
    }
    json_array_end(json);
}

static void put_cgroups(struct json_writer *json, const struct doctor_report *report)
{
    const struct host_cgroups *seen = &report->facts.cgroups;
    const struct host_cgroup_try *tried = &report->tries.cgroup;
    begin(json, "cgroup");
    put_text(json, "kind",
             seen->kind == CGROUP_V1   ? "v1"
             : seen->kind == CGROUP_V2 ? "v2"
                                       : "none");
    put_bool(json, "hybrid", seen->hybrid);
    put_bool(json, "nsdelegate", seen->nsdelegate);
    put_fact(json, "delegated", report->delegated);
    put_bool(json, "memoryRecursiveprot", seen->memory_recursiveprot);
    put_bool(json, "readOnly", seen->read_only);
    put_controllers(json, "available", seen->available);
    put_controllers(json, "enabled", seen->enabled);
    put_controllers(json, "usable", tried->usable);
    put_text(json, "unifiedMount", seen->unified_mount);
    put_text(json, "path", seen->kind == CGROUP_V1 ? seen->memory_path : seen->path);
    put_number(json, "memoryLimitBytes", seen->memory_limit_bytes);
    put_number(json, "processesLimit", seen->processes_limit);
    put_text(json, "cpuLimit", seen->cpu_limit);
    put_try(json, "mkdir", &tried->mkdir);
    put_text(json, "mkdirIn", tried->path);
    json_key(json, "otherProcesses");
    json_int(json, tried->other_processes);
    put_fact(json, "kill", tried->kill);
    put_fact(json, "memoryPeak", tried->memory_peak);
    put_fact(json, "pidsPeak", tried->pids_peak);
    put_fact(json, "swapLimit", tried->swap_limit);
    put_fact(json, "kernelMemory", tried->kernel_memory);
    put_text(json, "servicePath", report->has_cgroup ? report->cgroup.path : NULL);
    put_text(json, "serviceReason", report->has_cgroup ? report->cgroup.reason : NULL);
    put_text(json, "serviceError", report->cgroup_error.message);
    json_object_end(json);
}

static void put_tools(struct json_writer *json, const struct doctor_report *report)
{
    json_key(json, "tools");
    json_array_begin(json);
    for (size_t i = 0; i < report->tool_count; i++) {
        const struct tool_facts *tool = &report->tools[i];
        char hint[TOOL_PATH_SIZE * 3 + 256];
        doctor_tool_hint(tool, hint, sizeof(hint));
        json_object_begin(json);
        put_text(json, "language", tool->tool->language->id);
        put_text(json, "command", tool->tool->command);
        put_bool(json, "found", tool->place != TOOL_MISSING);
        put_fact(json, "visible",
                 tool->place == TOOL_MISSING ? FACT_UNKNOWN : fact_of(tool->place == TOOL_VISIBLE));
        put_text(json, "path", tool->path);
        put_text(json, "target", tool->target);
        put_text(json, "mount", tool->mount);
        put_text(json, "version", tool->version);
        put_text(json, "problem", tool->problem);
        put_text(json, "package", tool->tool->packages);
        put_text(json, "hint", hint);
        json_object_end(json);
    }
    json_array_end(json);
}

void doctor_write_json(const struct doctor_report *report, enum json_style style, struct buf *out)
{
    struct json_writer json = json_writer_to(out, style);
    json_object_begin(&json);
    put_bool(&json, "full", doctor_is_full(report));
    put_protection(&json, report);
    put_run(&json, report);
    put_remedies(&json, report);
    put_host(&json, report);
    put_process(&json, &report->facts.process);
    put_rules(&json, report);
    put_namespaces(&json, &report->facts.rules);
    put_tries(&json, &report->tries);
    put_cgroups(&json, report);
    put_tools(&json, report);
    json_object_end(&json);
}

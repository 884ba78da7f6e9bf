/* The service's settings: one table for flags, ES_ variables, help, manual and docs.
 *
 * Names and defaults are go-judge's, so its command lines, units and compose files keep working.
 * What differs on purpose: -cgroup-prefix is "cjudge" (both services may share a host),
 * -container-cred-start is the base of a range that nobody else uses, and runs without limits get
 * the -default- ones. */
#ifndef CJ_CMD_SETTINGS_H
#define CJ_CMD_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "base/options.h"
#include "sandbox/protection.h"

enum {
    SETTINGS_OPTIONS_MAX = 128,
    /* systemd's table of user ids calls 0x70000000 and what follows unused (UIDS-GIDS.md). */
    SETTINGS_ID_BASE = 0x70000000,
};

enum prepare_choice { PREPARE_AT_USE, PREPARE_AT_START, PREPARE_OFF };
enum template_sandbox { TEMPLATE_AUTO, TEMPLATE_INSIDE, TEMPLATE_HOST };

/* Strings and lists belong to the struct; strings are never NULL. */
struct settings {
    /* the doors */
    char *http_addr;
    char *judge_addr;
    char *grpc_addr;
    char *monitor_addr;
    char *auth_token; /* "": everybody may */
    uint64_t max_body_bytes;
    uint64_t max_connections;
    int64_t header_timeout_ns;
    int64_t idle_timeout_ns;
    int64_t drain_timeout_ns;
    uint64_t grpc_message_bytes;
    bool enable_grpc;
    bool enable_metrics;
    bool enable_debug;

    /* runs */
    uint64_t parallelism; /* slots; at least 1, and one for each entry of cpuset if there is any */
    struct option_list cpuset; /* entry i: CPUs of slot i, "2" or "0-3" */
    bool no_pinning;
    uint64_t queue_length; /* requests that wait */
    bool enable_cpu_rate;
    int64_t cpu_period_ns;
    int64_t default_cpu_ns;
    int64_t default_wall_ns; /* 0: 2 x CPU + 1 s */
    uint64_t default_memory_bytes;
    uint64_t default_processes;
    uint64_t extra_memory_bytes;
    uint64_t output_bytes;   /* RLIMIT_FSIZE */
    uint64_t copy_out_bytes; /* of each file that says nothing itself */
    uint64_t open_files;
    struct option_list pass_env;
    uint64_t warm_runs; /* 0: every interpreter starts cold */
    bool warm_preload;

    /* the batch judging API; code-judge's variables */
    char *languages; /* "": the built-in file */
    uint64_t max_execution_s;
    uint64_t max_memory_mib; /* 0: the machine's share of a slot */
    uint64_t max_text_characters;
    uint64_t max_workers; /* 0: as parallelism */
    uint64_t run_workers;
    uint64_t queue_life_s;
    uint64_t long_queue_life_s;
    uint64_t judge_output_bytes;
    uint64_t artifact_bytes;
    uint64_t build_cache_bytes; /* 0: each build is made */
    int prepare;                /* enum prepare_choice */
    char *prepare_dir;
    uint64_t batch_chunk, long_batch_chunk;
    char *error_case_path; /* "": none are kept */
    char *python_executor;
    char *cpp_compiler;
    char *python_command; /* "": made of the executor */
    char *cpp_compile_command;
    char *cpp_command;
    int template_sandbox; /* enum template_sandbox */
    char *redis_uri, *redis_key_prefix, *redis_result_queue_prefix, *redis_worker_id_prefix;
    char *redis_result_expire, *redis_result_long_batch_expire, *redis_work_queue_block_timeout;
    char *redis_worker_register_timeout, *redis_socket_timeout, *work_queue_name;

    /* files */
    char *dir;                       /* "": a directory of our own in memory, removed at exit */
    int64_t file_timeout_ns;         /* 0: never */
    uint64_t file_store_bytes;       /* in memory; 0: a quarter of the machine's */
    struct option_list src_prefixes; /* empty: every path */

    /* containers */
    int require; /* enum protection_level; no_fallback is worked in */
    bool no_fallback;
    char *mount_conf;
    char *seccomp_conf;
    char *tmpfs_data;
    bool net_share;
    bool net_loopback;
    uint64_t id_base; /* first host uid and gid of containers; fits uint32_t with all slots */
    char *cgroup_prefix;
    char *cgroup_root; /* "": found */

    /* the log */
    bool release;
    bool silent;

    /* read and not used: see enum option_status in the table */
    char *container_init_path;
    uint64_t pre_fork;
    int64_t checker_interval_ns;
    uint64_t force_gc_bytes;
    int64_t force_gc_interval_ns;

    /* asked for on the command line only */
    bool version;
    bool help;

    uint8_t origins[SETTINGS_OPTIONS_MAX]; /* enum option_origin, by index in the table */
};

/* The table, for help, manual and docs. */
const struct option_table *settings_table(void);

/* Reads and checks everything. Words that are no option are an error, and so are files that were named
 * and are not there. is_first_process: as pid 1
 * (in a container) the doors are open to all addresses and the log is JSON, unless said otherwise.
 */
WARN_UNUSED int settings_load(int argc, char *const *argv, char *const *environment,
                              bool is_first_process, struct settings *out, struct cj_error *err);

/* Says in the log, once for each, which of the options that were set do nothing (yet), or less than
 * go-judge's. Returns how many. */
unsigned settings_warn(const struct settings *settings);

void settings_free(struct settings *settings);

#endif

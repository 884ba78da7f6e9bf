/* The options of `cjudge run`, from one table. */
#ifndef CJ_CMD_RUN_OPTIONS_H
#define CJ_CMD_RUN_OPTIONS_H

#include "base/options.h"
#include "exec/exec.h"
#include "sandbox/protection.h"

struct run_options {
    int64_t cpu_ns, wall_ns;
    uint64_t memory_bytes, processes, stack_bytes, output_bytes, file_size_bytes, open_files;
    bool data_segment, address_space;
    uint64_t cpu_rate;
    char *cpu_set;
    char *input;
    struct option_list copy_in, copy_out, env;
    uint64_t copy_out_max_bytes;
    bool copy_out_truncate;
    bool json, quiet;
    uint64_t repeat;
    char *script;
    int required, highest; /* enum protection_level; no_fallback is worked in */
    bool no_fallback;
    char *mount_conf, *seccomp_conf, *tmpfs_data, *cgroup_prefix, *cgroup_root;
    uint64_t id_base;
    bool share_net, loopback;
    bool help;
};

extern const struct option_table run_option_table;

/* Reads the command line and checks what a table cannot know: options_free() the result. *next is the
 * index of the program in argv. */
WARN_UNUSED int run_options_load(int argc, char *const *argv, struct run_options *options,
                                 int *next, struct cj_error *err);

#endif

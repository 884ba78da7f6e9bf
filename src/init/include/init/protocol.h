/* What the service and cjudge-init say to each other.
 *
 * cjudge-init is pid 1 of a container's namespaces. It is started with four descriptors and never
 * opens another way in:
 *
 *     INIT_FD_RUN     SEQPACKET: READY from init, then two pipes for it (struct init_pipes): one EXEC at
 *                     a time comes through the first, its answer, when the run has ended and everything
 *                     it started is dead and reaped, goes through the second. A pipe's round trip costs
 *                     less; the socket carries descriptors of programs. Served by the launcher thread.
 *     INIT_FD_FILES   SEQPACKET: everything else (files, kept pipes, KILL, RESET). Served by the
 *                     janitor thread, also while a program runs.
 *     INIT_FD_SETUP   sealed memfd with a struct init_setup: how the container looks
 *     INIT_FD_ARENA   memfd sealed against resizing, mapped by both sides: argv, env, paths of the
 *                     message just sent
 *
 * Every message is one fixed struct; init checks magic, size and every offset again. End of file on
 * INIT_FD_FILES means that the service is gone: init exits, and the kernel kills the rest of the pid
 * namespace (pid_namespaces(7)). This header is all that both programs share. */
#ifndef CJ_INIT_PROTOCOL_H
#define CJ_INIT_PROTOCOL_H

#include <stdint.h>

enum {
    INIT_FD_RUN = 3,
    INIT_FD_FILES = 4,
    INIT_FD_SETUP = 5,
    INIT_FD_ARENA = 6,
    INIT_FD_FIRST_FREE = 7,
};

enum {
    INIT_MAGIC = 0x636a3037,    /* "cj07"; changes with every change below */
    INIT_TASKS = 2,             /* threads of init: launcher and janitor; SETUP_WARM: and keeper */
    INIT_WARM_MAX = 4,          /* warm interpreters of a container */
    INIT_DESCRIPTORS_MAX = 250, /* of a program; SCM_MAX_FD is 253, unix(7) */
    INIT_TREES_MAX = 8,         /* mounts in one message: few descriptors may be allowed */
    INIT_OUTPUTS = 2,           /* pipes that init keeps between runs */
    INIT_MADE_MAX = 4,          /* files that it makes for the outputs of a run */
    INIT_TMPFS_MAX = 16,        /* writable tmpfs mounts of a container */
    INIT_ARENA_SIZE =
        8 * 1024 * 1024,    /* > the kernel's own limit on args + env, 6 MiB, execve(2) */
    INIT_FILTER_MAX = 4096, /* BPF_MAXINSNS */
    INIT_SETUP_SIZE_MAX = 1024 * 1024,
    INIT_PATH_MAX = 4096,
};

/* The name of the janitor's thread: the service gives it priority. */
#define INIT_JANITOR_NAME "janitor"

/* In the arena's last page, written by init only: what the service may look at while a run goes on. */
struct init_live {
    int64_t start_ns; /* CLOCK_MONOTONIC right before the clone; 0 until then */
};

enum {
    INIT_LIVE_OFFSET = INIT_ARENA_SIZE - 4096,
    /* Below it, what made files held at the end of a run. The service has touched these pages before init
     * does, so that they are charged to it. Strings end below them. */
    INIT_MADE_SIZE = 32 * 1024,
    INIT_MADE_OFFSET = INIT_LIVE_OFFSET - INIT_MADE_SIZE,
};

/* ---- setup ---- */

/* A string in the setup blob: offset from its start, length without the NUL that follows it. */
struct init_text {
    uint32_t offset;
    uint32_t length;
};

enum init_setup_flags {
    SETUP_PROC = 1 << 0, /* mount /proc */
    SETUP_PROC_WRITABLE = 1 << 1,
    SETUP_SINGLE_ID = 1 << 2, /* only one uid is mapped: programs run as it (inside 0) */
    SETUP_CGROUP_NS =
        1 << 3, /* v1: init unshares its cgroup namespace once, it stays in the group */
    SETUP_RUN_CGROUP_NS =
        1 << 4, /* v2: each run's process unshares it, after clone3 put it there */
    SETUP_FILTER_INHERITED = 1 << 5, /* the launcher installs the filter on itself */
    SETUP_LOOPBACK = 1 << 6,         /* bring lo up */
    SETUP_SHARED_NET = 1 << 7,       /* the network namespace is the host's */
    SETUP_TREES_PASSED = 1 << 8,     /* copies of the bind sources come on INIT_FD_RUN */
    SETUP_WARM = 1 << 9,             /* interpreters may be kept warm: a thread more */
    SETUP_FLAGS_END = 1 << 10,       /* init refuses this and what is above */
};

enum init_mount_kind { INIT_MOUNT_BIND, INIT_MOUNT_TMPFS };

struct init_mount {
    uint32_t kind; /* enum init_mount_kind */
    uint32_t read_only;
    struct init_text source; /* bind: host path */
    struct init_text target; /* below the root, no leading '/' */
    struct init_text data;   /* tmpfs options */
};

struct init_link {
    struct init_text path;
    struct init_text target;
};

struct init_setup {
    uint32_t magic;
    uint32_t size; /* of the whole blob */
    uint32_t flags;
    uint32_t uid, gid;                    /* of programs, inside */
    uint32_t mount_count, mount_offset;   /* struct init_mount[] */
    uint32_t link_count, link_offset;     /* struct init_link[] */
    uint32_t mask_count, mask_offset;     /* struct init_text[] */
    uint32_t filter_count, filter_offset; /* struct sock_filter[] */
    uint32_t warm_filter_count,
        warm_filter_offset; /* the same, of warm interpreters; none: they have the other one */
    struct init_text work_dir;
    struct init_text host_name;
    struct init_text domain_name;
    struct init_text init_command;
    uint64_t
        clone3_args_address; /* where the launcher puts its clone3 arguments; 0: clone(2) only */
    uint64_t warm_clone3_args_address; /* where warm interpreters do */
};

/* To init on INIT_FD_RUN, before anything else, where SETUP_TREES_PASSED: detached copies (open_tree(2)) of
 * the bind sources, in the order of the mounts, INIT_TREES_MAX of them in each message but the last. */
struct init_trees {
    uint32_t magic;
    uint32_t count; /* of descriptors beside it */
};

/* The first message on INIT_FD_RUN, from init: the container stands, or why it does not. */
struct init_ready {
    uint32_t magic;
    int32_t failed; /* 0: ready */
    int32_t error;  /* errno */
    char step[244]; /* what failed */
};

/* The answer to READY, with two descriptors: the end to read EXEC from, the end to write init_end to. */
struct init_pipes {
    uint32_t magic;
};

/* ---- runs: the two pipes ---- */

enum init_source {
    INIT_SOURCE_CLOSED, /* the descriptor is closed in the program */
    INIT_SOURCE_PASSED, /* index: position in the SCM_RIGHTS array of struct init_passed */
    INIT_SOURCE_KEPT,   /* enum init_kept, opened anew so that no flag of an earlier run stays */
    INIT_SOURCE_MADE,   /* index: in made_offsets; for writing. With one index: one open file */
};

enum init_kept {
    INIT_KEPT_EMPTY,  /* an empty file, for reading */
    INIT_KEPT_OUTPUT, /* and the next: pipes, for writing */
    INIT_KEPT_COUNT = INIT_KEPT_OUTPUT + INIT_OUTPUTS,
};

struct init_descriptor {
    uint16_t source; /* enum init_source */
    uint16_t index;
};

enum init_run_flags {
    RUN_TTY = 1 << 0,         /* descriptor 0 becomes the controlling terminal */
    RUN_CPU_SET = 1 << 1,     /* cpu_mask is valid */
    RUN_INTO_CGROUP = 1 << 2, /* clone3 into the kept cgroup descriptor */
    RUN_MOVED = 1 << 3,     /* v1: init was moved to another group since the last run: the launcher
                               * unshares its cgroup namespace again */
    RUN_WARM = 1 << 4,      /* by the process that waits in `warm`, if it still does */
    RUN_FLAGS_END = 1 << 5, /* init refuses this and what is above */
};

enum init_rlimit {
    INIT_RLIMIT_CPU,
    INIT_RLIMIT_FSIZE,
    INIT_RLIMIT_DATA,
    INIT_RLIMIT_STACK,
    INIT_RLIMIT_AS,
    INIT_RLIMIT_NOFILE,
    INIT_RLIMIT_NPROC,
    INIT_RLIMIT_COUNT,
};

struct init_rlimit_value {
    uint64_t soft, hard; /* UINT64_MAX: unlimited */
};

enum { INIT_CPU_MASK_WORDS = 16 }; /* 1024 CPUs */

/* Precedes an EXEC with passed_count > 0, on INIT_FD_RUN: the descriptors. */
struct init_passed {
    uint32_t magic;
    uint32_t sequence; /* of that EXEC */
};

/* EXEC: up to the last descriptor that counts, and no byte more. The arena holds: uint64_t argv offsets (arg_count, then a 0), uint64_t env offsets (env_count,
 * then a 0), strings with their NULs, the last byte being one. path_offset: the value of PATH, 0 = none;
 * used to look up an argv[0] without '/', work directory first. */
struct init_exec {
    uint32_t magic;
    uint32_t sequence;
    uint32_t flags; /* enum init_run_flags */
    uint32_t arg_count;
    uint32_t env_count;
    uint32_t arena_used;
    uint32_t path_offset;
    uint32_t descriptor_count;
    uint32_t passed_count;
    uint32_t made_count;
    uint32_t made_offsets[INIT_MADE_MAX]; /* behind the tables: names in the work directory */
    uint32_t warm;                        /* RUN_WARM: which */
    uint32_t rlimit_mask; /* bit per enum init_rlimit: others stay as init has them */
    struct init_rlimit_value rlimits[INIT_RLIMIT_COUNT];
    uint64_t cpu_mask[INIT_CPU_MASK_WORDS];
    struct init_descriptor descriptors[INIT_DESCRIPTORS_MAX];
};

/* Where a start failed; texts are made by the service. */
enum init_step {
    STEP_NONE,
    STEP_PROTOCOL,
    STEP_MAKE, /* detail: which file */
    STEP_CLONE,
    STEP_SESSION,
    STEP_CGROUP_NS,
    STEP_OOM_SCORE,
    STEP_SCHEDULER,
    STEP_RLIMIT, /* detail: enum init_rlimit */
    STEP_AFFINITY,
    STEP_DESCRIPTOR, /* detail: which */
    STEP_TTY,
    STEP_CREDENTIALS,
    STEP_KEYRING,
    STEP_FILTER,
    STEP_LOOKUP_NO_PATH, /* a bare name and no PATH in the environment */
    STEP_LOOKUP,         /* a bare name found nowhere */
    STEP_EXEC,
};

enum init_dirt {
    DIRT_TMPFS = 1 << 0, /* bits 0..15: the tmpfs of that number was touched */
    DIRT_IPC =
        1 << 16, /* IPC objects are left, or loopback was used: nothing but a new container helps */
    DIRT_KEPT = 1 << 17,    /* bits 17..19: what is kept under that number was changed */
    DIRT_SOCKETS = 1 << 25, /* sockets that nobody holds but each other */
    DIRT_INIT = 1 << 26,    /* init's own limits: as DIRT_IPC */
};

/* A made file at the end of its run: the whole of it is in the arena, or its descriptor has been sent on
 * INIT_FD_RUN with a struct init_passed, in the order of the files. */
struct init_made {
    uint64_t bytes;
    uint32_t offset; /* in the arena */
    uint32_t passed; /* 1: as a descriptor */
};

/* How a run began. */
enum init_start {
    START_COLD,
    START_WARM,
    START_FELL_BACK, /* it was to be warm: who waited is gone, the run was cold */
    START_AGAIN, /* not an end: who waited is gone, and the run begins again, cold, when the service has set the
                      * limits of such a one, and says so with a struct init_again on the pipe of EXEC */
};

struct init_again {
    uint32_t magic;
    uint32_t sequence; /* of the EXEC */
};

struct init_end {
    uint32_t magic;
    uint32_t sequence;
    int32_t step;  /* enum init_step: STEP_NONE = the program ran */
    int32_t error; /* errno of that step */
    uint32_t detail;
    int32_t wait_status;        /* of the main process, as in wait(2) */
    int64_t start_ns;           /* CLOCK_MONOTONIC right before the clone */
    int64_t end_ns;             /* right after the main process was reaped */
    int64_t user_ns, system_ns; /* of the main process and the children it waited for */
    int64_t all_cpu_ns;         /* of all processes that were reaped, wait(2) rules */
    int64_t init_cpu_ns;        /* of init's launcher since the end of the run before */
    uint64_t max_rss_bytes;     /* largest process */
    uint64_t faults;            /* of pages, of all processes that were reaped */
    uint64_t
        file_bytes;  /* without cgroup: left in tmpfs and segments, not counting copied-in files */
    uint32_t dirt;   /* enum init_dirt */
    uint32_t reaped; /* processes besides the main one */
    uint32_t start;  /* enum init_start */
    uint32_t warm;   /* bit i: interpreter i is still there */
    uint32_t waits;  /* bit i: and the next run's process */
    struct init_made made[INIT_MADE_MAX];
};

/* ---- everything else: INIT_FD_FILES ---- */

enum init_op {
    INIT_OP_KILL = 1, /* SIGKILL to everything but init */
    INIT_OP_OPEN_IN,  /* create the file arena[path], 0777, owned by the run's uid; parents too.
                         * Answer carries a descriptor, to be opened anew for writing */
    INIT_OP_SYMLINK,  /* arena[path] -> arena[target]; fails when something is there */
    INIT_OP_OPEN_OUT, /* open the regular file arena[path] for reading. Answer carries it */
    INIT_OP_OUTPUT, /* make the pipe kept as number index (enum init_kept) anew. Answer carries its
                         * read end, non-blocking and never at end of file */
    INIT_OP_RESET,  /* clean what dirt names: tmpfs mounts, sockets */
    INIT_OP_CGROUP, /* the descriptor that came is the directory to clone into from now on */
    INIT_OP_PING,
    INIT_OP_WARM, /* struct init_request, `warm`. Only between runs */
    INIT_OP_LOOK, /* CPU time and memory of the run's live processes (levels without cgroup) */
    INIT_OP_HOLD, /* the file arena[path] of the work directory stays over resets that say so, while no run has had it for
                     * writing; one at a time. EOPNOTSUPP where that cannot be */
    INIT_OP_OPEN_FOLDER, /* open the directory arena[path] for reading. Answer carries it */
    INIT_OP_MADE, /* while a run goes on: answer carries the work directory, and tells the inodes of the run's made files */
};

enum init_warm_action {
    WARM_STOP, /* number index, and whoever waits in it */
    WARM_START, /* starts number index: the arena holds arguments and environment as for EXEC. The run it
                   * is for has streams of these kinds as its descriptors 0, 1, 2 */
    WARM_PREPARE, /* has number index fork who will be the next run, and wait for it. v2: in the group whose
                     * directory came as a descriptor */
};

enum init_warm_stream { WARM_STREAM_FILE, WARM_STREAM_PIPE };

/* Why an interpreter does not become a warm one; texts are made by the service. */
enum init_warm_obstacle {
    WARM_NONE,
    WARM_SYSTEM,      /* a step of ours failed, with the answer's error */
    WARM_ENDED,       /* it ended before it came to its program */
    WARM_THREADS,     /* it has several threads, or children */
    WARM_DESCRIPTORS, /* it has more open than it was given */
    WARM_SILENT,      /* our code in it does not answer */
    WARM_CHANGED, /* PREPARE: its program is another file by now; it is stopped, and can be started again */
};

struct init_request {
    uint32_t magic;
    uint32_t op;
    uint32_t sequence;
    uint32_t path_offset,
        path_length; /* in the arena, NUL after it; relative to the root, no '/' first */
    uint32_t target_offset, target_length;
    uint32_t index;
    uint32_t dirt;
    uint32_t keep_held;                        /* RESET: the held file may stay */
    uint32_t warm_action;                      /* enum init_warm_action */
    uint32_t arg_count, env_count, arena_used; /* WARM_START, as in struct init_exec */
    uint32_t streams[3];                       /* WARM_START: enum init_warm_stream */
    uint32_t has_preload; /* WARM_START: the last argument is none, but names modules */
    uint32_t
        has_text; /* WARM_START: its script will be a plain text in the work directory, args[1] without '/' or behind
                          that: the interpreter may look at one before */
    uint32_t has_stack; /* WARM_START: its stack limit */
    uint64_t stack_bytes;
};

struct init_answer {
    uint32_t magic;
    uint32_t sequence;
    int32_t error;   /* errno, 0 = done */
    uint32_t detail; /* OPEN_OUT: 1 = there, but not a regular file; RESET: 1 = the held file stays;
                       WARM: enum init_warm_obstacle */
    int64_t value;   /* LOOK: CPU time, ns */
    uint64_t tasks;  /* LOOK: tasks alive */
    uint64_t
        memory_bytes; /* LOOK: of the largest process, and of all files and segments; WARM_START: what the
                            * interpreter holds for itself */
    uint64_t made_inodes[INIT_MADE_MAX]; /* MADE; 0: not there */
};

#endif

"""What each program must end as: one row for each behaviour, run in C and in Python, on every host.

A row names a program in programs/ (its own name unless it says otherwise) and the exact verdict. Limits
that a row does not name are LIMITS; None: not asked for. `no_cgroup` holds what differs where there are no
control groups, and the comment beside it says what such a host cannot know. `c` and `py` hold what differs by language.

Fields of a row:
  argv, env, stdin     what it is given ({under_cpu_limit}: milliseconds just below the CPU limit)
  cpu, wall            limits in seconds     memory, stack, output, file_size  limits in bytes
  status, exit         the verdict; a tuple where more than one is right
  stdout               the exact text of `files.stdout`, None when it does not matter
  ended_by             "cpu" or "wall": which limit; bounds of time and runTime follow from it
  time, run_time       bounds in seconds     used, peak  bounds in MiB of memory, in tasks of procPeak
  repeat               how often it has to hold
"""

MIB = 1 << 20

LIMITS = dict(cpu=1.0, wall=3.0, memory=64 * MIB, procs=16, stack=64 * MIB, output=64 << 10,
              file_size=16 * MIB, open_files=64)
NO_CGROUP_STACK = 8 * MIB
PYTHON_LIMITS = dict(LIMITS, memory=128 * MIB)

OK = "Accepted"
NONZERO = "Nonzero Exit Status"
SIGNALLED = "Signalled"
TIME = "Time Limit Exceeded"
MEMORY = "Memory Limit Exceeded"
OUTPUT = "Output Limit Exceeded"
FILE_ERROR = "File Error"
SYSCALL = "Dangerous Syscall"
INTERNAL = "Internal Error"

SIGKILL, SIGXCPU = 9, 24
ANY = None

large_input = bytes(range(256)) * (10 * MIB // 256)


def row(name, status, exit=ANY, **fields):
    return dict(fields, name=name, status=status, exit=exit)


def accepted(name, stdout=None, **fields):
    return row(name, OK, 0, stdout=stdout, **fields)


def over_time(name, ended_by, **fields):
    if ended_by == "cpu":  # a busy machine may take long to give so much CPU
        fields.setdefault("wall", 12.0)
    return row(name, TIME, (SIGKILL, SIGXCPU) if ended_by == "cpu" else SIGKILL, ended_by=ended_by, **fields)


def over_memory(name, **fields):
    fields.setdefault("used", (58, 68))
    fields.setdefault("py", dict(used=(118, 132)))
    return row(name, MEMORY, ANY, **fields)


# Without control groups memory is bounded by RLIMIT_DATA for each process: an allocation is refused. Seen
# are the largest process, tmpfs and System V segments; a look comes every 5 ms, so the figure may lag.
SEEN = dict(used=None, memory=64 * MIB)
REFUSED = dict(status=(MEMORY, NONZERO), used=None)
UNSEEN = dict(status=(OK, NONZERO, MEMORY, SIGNALLED), used=None)

TABLE = [
    # ---- ends well
    accepted("hello", "hello\n", used=(0, 4), time=(0, 0.1), peak=(1, 1), py=dict(used=(2, 32))),
    accepted("reads_stdin", "6\n", stdin=b"1 2\n3\n"),
    accepted("reads_large_input", "%d %d\n" % (len(large_input), sum(large_input)), stdin=large_input),
    accepted("never_reads_input", "not interested\n", stdin=large_input),
    accepted("closes_stdout", ""),
    accepted("sleeps_200ms", "awake\n", time=(0, 0.1), run_time=(0.2, 1)),
    accepted("burns_300ms", "warm\n", time=(0.3, 0.36), run_time=(0.3, 3.0)),
    accepted("just_under_cpu_limit", "in time\n", argv=["{under_cpu_limit}"], cpu=0.2, repeat=20,
             py=dict(cpu=0.25)),
    accepted("forks_and_waits_for_cpu", "done\n", time=(0.2, 0.3), peak=(2, 3)),
    accepted("touches_32_mib", "7\n", used=(31.75, 35), py=dict(used=(64, 90))),
    accepted("frees_and_allocates_again", "ten times\n", used=(30, 33), py=dict(used=(30, 64)),
             # 30 MiB by page from Python takes longer than a second on a slow host
             cpu=3.0, wall=9.0),
    # address space that is not touched is no memory; RLIMIT_DATA cannot tell the two apart
    accepted("reserves_without_touching", "reserved\n", used=(0, 4), py=dict(used=(2, 32)),
             no_cgroup=dict(status=(OK, NONZERO, MEMORY), exit=(0, 3), stdout=None)),
    accepted("recurses_within_stack", "10000\n", memory=160 * MIB, stack=64 * MIB, used=(36, 48), py=dict(used=(10, 90))),
    accepted("uses_threads", "400\n", peak=(5, 5)),
    accepted("starts_subprocess", "from a child\n", peak=(2, 3)),
    accepted("uses_worker_pool", "2000\n", peak=(3, 8)),
    accepted("uses_temp_files", "in the work directory\n"),
    accepted("exact_output_cap", ("abcdefghijklmnopqrstuvwxyz" * 2521)[:65536], program="writes_bytes",
             argv=["65536"]),
    accepted("prints_nul_bytes", "a\0b\0\n"),
    accepted("prints_invalid_utf8", "x\ufffd\ufffdy\n"),
    accepted("prints_control_bytes",
             "".join(chr(i % 127 + 1) for i in range(60000)).replace("\n", "n")),
    accepted("counts_arguments", "10 1000000\n", argv=["x" * 100000] * 10),
    accepted("no_arguments", "0 0\n", program="counts_arguments"),
    accepted("prints_variable", "[a = b \u00e9]\n", env=["PROBE=a = b \u00e9"]),
    accepted("opens_many_files", "61 EMFILE\n"),
    # its standard streams are there, and no more; a loader of libraries would get no further
    accepted("open_files_3", "hello\n", program="hello", open_files=3, langs=["c"]),
    accepted("forks_until_refused", "15\n", peak=(16, 16)),
    accepted("threads_until_refused", "15\n", peak=(16, 16)),
    # what is left behind does not hold the answer up
    accepted("daemonizes", "left a daemon\n", run_time=(0, 1), peak=(2, 3)),
    accepted("orphan_holds_pipes", "parent gone\n", run_time=(0, 1)),
    accepted("leader_thread_exits", "the other thread\n", run_time=(0.1, 1)),
    accepted("child_crashes", "child 11\n"),
    accepted("kills_everyone_else", "alone\n"),

    # ---- exit codes
    row("exits_3", NONZERO, 3, program="exits_with", argv=["3"]),
    row("exits_124", NONZERO, 124, program="exits_with", argv=["124"]),
    row("exits_137", NONZERO, 137, program="exits_with", argv=["137"]),
    row("exits_255", NONZERO, 255, program="exits_with", argv=["255"]),
    row("exits_by_thread", NONZERO, 7),
    row("replaces_itself", NONZERO, 5),
    row("prints_forged_verdict", NONZERO, 1, stdout='{"status":"Accepted","exitStatus":0,"time":1}\n'),
    row("divides_by_zero", SIGNALLED, 8, py=dict(status=NONZERO, exit=1)),

    # ---- signals: one that the program sends itself is not a limit
    row("aborts", SIGNALLED, 6),
    row("segfaults", SIGNALLED, 11, stdout="before\n"),
    row("kills_itself_kill", SIGNALLED, 9, program="kills_itself", argv=["9"]),
    row("kills_itself_term", SIGNALLED, 15, program="kills_itself", argv=["15"]),
    row("kills_itself_hup", SIGNALLED, 1, program="kills_itself", argv=["1"]),
    row("kills_itself_int", SIGNALLED, 2, program="kills_itself", argv=["2"],
        py=dict(status=(SIGNALLED, NONZERO), exit=(2, 130))),  # CPython turns it into an exception
    row("kills_itself_xcpu", SIGNALLED, 24, program="kills_itself", argv=["24"]),
    row("kills_itself_alrm", SIGNALLED, 14, program="kills_itself", argv=["14"]),
    row("kills_itself_rtmin", SIGNALLED, 34, program="kills_itself", argv=["34"]),
    row("killed_by_child", SIGNALLED, 9),

    # ---- CPU time
    over_time("spins", "cpu"),
    over_time("spins_briefly", "cpu", program="spins", cpu=0.15, py=dict(cpu=0.2)),
    over_time("spins_ignoring_signals", "cpu", cpu=0.3),
    over_time("spins_in_4_threads", "cpu", cpu=0.5, peak=(5, 5), c=dict(peak=(5, 5))),
    # without control groups the time of children that nobody waited for is not known while they run
    over_time("spins_in_children", "cpu", cpu=0.5, peak=(4, 4),
              no_cgroup=dict(ended_by=None, exit=(9, 24), wall=2.0)),
    over_time("burns_in_unwaited_children", "cpu", cpu=0.5, argv=["{300_ms}"],
              no_cgroup=dict(ended_by=None, status=(OK, TIME), exit=ANY)),
    over_time("fork_bomb", "cpu", cpu=0.5, peak=(16, 16),
              no_cgroup=dict(ended_by=None, exit=(9, 24), wall=2.0)),

    # ---- wall time
    over_time("sleeps", "wall", wall=0.6),
    over_time("sleeps_ignoring_signals", "wall", wall=0.5),
    over_time("stops_itself", "wall", wall=0.5),
    over_time("hangs_in_vfork", "wall", wall=0.5),
    row("waits_to_be_traced", (TIME, SIGNALLED), ANY, wall=0.5),  # Signalled where ptrace is denied

    # ---- memory
    over_memory("allocates_touching", no_cgroup=dict(REFUSED, exit=ANY)),
    # the kernel refuses at exec or kills late; the second is all that Python can show
    over_memory("big_bss", langs=["c"], no_cgroup=dict(status=(MEMORY, SIGNALLED), used=None)),
    over_memory("fills_tmp", program="fills_directory", argv=["/tmp"], no_cgroup=SEEN),
    over_memory("fills_dev_shm", program="fills_directory", argv=["/dev/shm"], no_cgroup=SEEN),
    over_memory("fills_work_directory", program="fills_directory", argv=["."], no_cgroup=SEEN),
    over_memory("touches_shared_memory", no_cgroup=SEEN),
    over_memory("fills_memfds", no_cgroup=UNSEEN),
    over_memory("fills_sysv_shm", no_cgroup=SEEN),
    over_memory("five_children_memory", no_cgroup=UNSEEN),
    # the arguments alone are more: execve(2) has to give up while nobody but its caller can be killed
    over_memory("arguments_over_memory", program="counts_arguments", argv=["x" * 120000] * 12, langs=["c"],
                memory=1 * MIB, stack=None, used=(0.6, 1), repeat=3, no_cgroup=dict(used=None)),
    over_memory("arguments_over_memory_and_stack", program="counts_arguments", argv=["x" * 120000] * 12, langs=["c"],
                memory=1 * MIB, stack=2 * MIB, used=(0, 1), repeat=3, no_cgroup=dict(used=None)),
    accepted("arguments_within_memory", "15 1800000\n", program="counts_arguments", argv=["x" * 120000] * 15,
             memory=4 * MIB, stack=None, langs=["c"], repeat=3),
    # both limits are met at once
    over_memory("recurses_with_all_memory", program="recurses_for_ever", langs=["c"], memory=32 * MIB, stack=32 * MIB,
                used=(31, 32), repeat=3, no_cgroup=dict(used=None)),
    # less than the kernel takes for a process
    over_memory("memory_4_kib", program="hello", memory=4096, langs=["c"], used=(0, 0.004), repeat=3,
                no_cgroup=dict(used=None)),
    over_memory("memory_20_kib", program="hello", memory=20 << 10, langs=["c"], used=(0, 0.02), repeat=3,
                no_cgroup=dict(used=None)),

    # ---- output and files
    row("floods_stdout", OUTPUT, ANY, program="floods", argv=["1"], run_time=(0, 2)),
    row("floods_stderr", OUTPUT, ANY, program="floods", argv=["2"], run_time=(0, 2)),
    row("output_cap_plus_1", OUTPUT, ANY, program="writes_bytes", argv=["65537"],
        stdout=("abcdefghijklmnopqrstuvwxyz" * 2521)[:65536]),
    row("writes_past_file_size", (OUTPUT, SIGNALLED), 25, py=dict(status=NONZERO, exit=27)),
    # infinite recursion: C meets the stack limit, CPython its own
    row("recurses_for_ever", SIGNALLED, 11, stack=8 * MIB, py=dict(status=NONZERO, exit=1)),

    # ---- what cannot be started
    row("missing_binary", INTERNAL, ANY, command=["./nothing-here"], langs=["c"], error="o such file"),
    row("missing_in_path", INTERNAL, ANY, command=["nothing-here"], langs=["c"], error="o such file|not found"),
    row("directory_as_binary", INTERNAL, ANY, command=["/tmp"], langs=["c"], error="ermission denied|directory"),
    row("not_executable", INTERNAL, ANY, command=["/etc/passwd"], langs=["c"],
        error="ermission denied|o such file"),
    row("bad_shebang", INTERNAL, ANY, command=["./script"], langs=["c"], error="o such file",
        content=b"#!/nothing/here\n"),
    row("wrong_format", INTERNAL, ANY, command=["./script"], langs=["c"], error="xec format",
        content=b"\x7fELF\x02\x01\x01 and so on"),
    row("empty_binary", INTERNAL, ANY, command=["./script"], langs=["c"], error="xec format", content=b""),
]


def cases(level, langs=("c", "py")):
    """Yields one flat dict for each row and language, with everything that differs applied."""
    for entry in TABLE:
        for lang in entry.get("langs", langs):
            if lang not in langs:
                continue
            case = dict(PYTHON_LIMITS if lang == "py" else LIMITS, argv=[], env=[], stdin=None, stdout=None,
                        ended_by=None, repeat=1)
            case.update(entry, lang=lang, id=f"{entry['name']}-{lang}")
            case.update(entry.get(lang, {}))
            if level == "no-cgroup":
                case.update(peak=None)  # nobody counts tasks there
                # RLIMIT_DATA counts what is reserved: with 64 MiB of stack for each thread none would start
                if "stack" not in entry and "stack" not in entry.get(lang, {}):
                    case.update(stack=NO_CGROUP_STACK)
                case.update(entry.get("no_cgroup", {}))
            yield case

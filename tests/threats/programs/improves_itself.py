# Tries to get more CPU, IO or memory priority. Prints "NAME improved" or "NAME refused".
import ctypes
import os
import resource
import struct
import sys

with open("/proc/self/status") as status:
    if "NoNewPrivs:\t1" not in status.read() or os.getcwd() != "/w":
        sys.exit("not in a sandbox")

libc = ctypes.CDLL(None, use_errno=True)


def attempt(name, make, improved=lambda: True):
    try:
        result = make()
        if isinstance(result, int) and result < 0:
            raise OSError(ctypes.get_errno(), "")
        print(name, "improved" if improved() else "unchanged")
    except (OSError, ValueError) as error:
        print(name, "refused", error)


before = os.sched_getaffinity(0)
attempt("nice_up", lambda: os.setpriority(os.PRIO_PROCESS, 0, -1))
attempt("nice_group", lambda: os.setpriority(os.PRIO_PGRP, 0, -20))
attempt("fifo", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))
attempt("rr", lambda: os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1)))
attempt("deadline", lambda: libc.syscall(314, 0, struct.pack("=IIQiIQQQ", 48, 6, 0, 0, 0, 10**6, 10**7, 10**7), 0))
attempt("batch_then_other", lambda: os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)), lambda: False)
attempt("ioprio_realtime", lambda: libc.syscall(251, 1, 0, 1 << 13))
attempt("affinity_all", lambda: os.sched_setaffinity(0, range(1024)), lambda: not os.sched_getaffinity(0) <= before)
attempt("affinity_others", lambda: os.sched_setaffinity(0, set(range(1024)) - before), lambda: not os.sched_getaffinity(0) <= before)
attempt("rtprio_limit", lambda: resource.setrlimit(resource.RLIMIT_RTPRIO, (99, 99)))
attempt("nice_limit", lambda: resource.setrlimit(resource.RLIMIT_NICE, (40, 40)))


def write(path, value):
    with open(path, "w") as file:
        file.write(value)


attempt("autogroup", lambda: write("/proc/self/autogroup", "-10"))
attempt("uclamp", lambda: libc.syscall(314, 0, struct.pack("=IIQiIQQQII", 56, 0, 0x60, 0, 0, 0, 0, 0, 1024, 1024), 0), lambda: False)
attempt("sched_reset", lambda: os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0)), lambda: os.getpriority(0, 0) < 0)
hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
attempt("memlock_limit", lambda: resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard + 1, hard + 1))
        if hard != resource.RLIM_INFINITY else -1)
attempt("timer_slack_of_init", lambda: write("/proc/1/timerslack_ns", "1"))
attempt("cpu_latency", lambda: write("/dev/cpu_dma_latency", "\0\0\0\0"))
attempt("core_sched", lambda: libc.prctl(62, 1, 1, 0, 0))

#!/usr/bin/env python3
"""Many mixed runs through `cjudge run --script`, in one or two containers, comparing what must not grow.

    python3 tests/soak/mixed_runs.py --cjudge build/cjudge --runs 10000 [--containers 2]

Descriptors and resident memory of cjudge and its helpers, cgroups (/proc/cgroups, directories), mounts,
IPC objects and processes are read early (after a twentieth of the runs), late (after the last) and after
the end. Every verdict is checked. Leaves with 1 on a difference. Standard library only."""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../threats"), os.path.join(HERE, "../table")]

import box as box_module
import host
from box import MEMORY, MIB, MS, NONZERO, OK, OUTPUT, SIGNALLED, TIME


def kinds(box):
    """name -> (weight, command, allowed statuses)"""
    quick = dict(cpu=30 * MS, wall=2000 * MS)
    return dict(
        ok=(40, box.shell("echo $$ > f; cat f > /tmp/g; echo x > /dev/shm/h"), {OK}),
        exits=(10, box.shell("exit 3"), {NONZERO}),
        crash=(10, box.shell("kill -SEGV $$"), {SIGNALLED}),
        cpu=(5, box.command("burns_cpu", ["ignoring_signals"], **quick), {TIME}),
        wall=(3, box.command("waits", ["sleeps"], wall=30 * MS), {TIME}),
        oom=(6, box.command("takes_memory", ["touching", 40], memory=16 * MIB), {MEMORY}),
        shm_oom=(3, box.command("takes_memory", ["dev_shm_files", 40], memory=16 * MIB), {MEMORY}),
        # the kernel memory of thousands of dying processes counts, too, until it is freed
        fork_bomb=(3, box.command("bombs", ["fork"], **quick), {TIME, MEMORY}),
        zombies=(4, box.command("leaves_behind", ["zombies"]), {OK}),
        daemon=(4, box.command("leaves_behind", ["daemon"]), {OK}),
        flood=(3, box.command("floods_output", ["both"]), {OUTPUT}),
        litter=(3, box.command("litters", ["odd_names"], memory=128 * MIB), {OK}),
        ipc=(3, box.shell("ipcmk -M 4096 -Q -S 3 > /dev/null; echo left"), {OK}),
        copy_out=(3, box.shell("echo 1 > out", copyOut=["out"]), {OK}),
    )


class Watch:
    """Counts of a running cjudge and everything of its own below it."""

    def __init__(self, process):
        self.process = process

    def read(self):
        table = host.parents()  # cjudge, its spawner, its init; what is below is the programs'
        pids = border = {self.process.pid}
        for _ in range(2):
            border = {pid for pid, (parent, _, _) in table.items() if parent in border}
            pids = pids | border
        descriptors = memory = count = 0
        for pid in pids:
            try:
                descriptors += len(os.listdir(f"/proc/{pid}/fd"))
                memory += int(host.read(f"/proc/{pid}/statm").split()[1]) * 4096
                count += 1
            except (OSError, IndexError):
                pass
        return dict(descriptors=descriptors, memory=memory, processes=count)


def dead_groups():
    """Groups that the kernel still counts (/proc/cgroups) though their directory is gone, by controller. Directories of
    other users of the machine come and go and are not ours to count; ours are in host.Snapshot."""
    found = {}
    for line in host.read("/proc/cgroups").splitlines()[1:]:
        name, hierarchy, count = line.split()[:3]
        top = f"{host.CGROUP_ROOT}/{name}" if hierarchy != "0" else host.CGROUP_ROOT
        if os.path.isdir(top):
            # less than none: the folder shows more than this controller's groups, and others' come and go in it
            found[name] = max(0, int(count) - sum(1 for _ in os.walk(top)))
    return found


def soak(box, runs, seed, report):
    chance = random.Random(seed)
    table = kinds(box)
    names = chance.choices(list(table), [weight for weight, _, _ in table.values()], k=runs)
    early = max(runs // 20, 1)
    wrong, marks, slowest = [], {}, 0.0
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", prefix="soak-") as file:
        for name in names:
            file.write(json.dumps(table[name][1]) + "\n")
        file.flush()
        process = subprocess.Popen([*box.start_line, "--script", file.name], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        watch = Watch(process)
        errors = []
        drain = threading.Thread(target=lambda: errors.append(process.stderr.read()), daemon=True)
        drain.start()
        start = last = time.monotonic()
        for number, line in enumerate(process.stdout):
            now = time.monotonic()
            slowest, last = max(slowest, now - last), now
            result = json.loads(line)
            if number >= len(names) or result["status"] not in table[names[number]][2]:
                wrong.append((number, names[min(number, runs - 1)], result["status"], result["exitStatus"], result.get("error", "")))
            if number == early or number in (runs // 2, runs * 9 // 10):
                marks[number] = watch.read()
        process.wait(30)
        drain.join(5)
    elapsed = time.monotonic() - start
    report(f"seed {seed}: {number + 1} of {runs} results in {elapsed:.1f} s ({runs / elapsed:.0f}/s), slowest gap {slowest:.2f} s")
    for at, counts in sorted(marks.items()):
        report(f"  after {at}: {counts}")
    if number + 1 != runs or process.returncode is None or process.returncode < 0:
        wrong.append(f"{number + 1} results, exit {process.returncode}: {b''.join(errors)[-1000:]!r}")
    if marks:
        first, final = marks[min(marks)], marks[max(marks)]
        if final["descriptors"] - first["descriptors"] > 5:
            wrong.append(f"descriptors grew: {first} {final}")
        if final["memory"] - first["memory"] > 32 * MIB:
            wrong.append(f"memory grew: {first} {final}")
        if final["processes"] > first["processes"]:
            wrong.append(f"processes grew: {first} {final}")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cjudge", default=os.environ.get("CJUDGE", os.path.join(HERE, "../../build/cjudge")))
    parser.add_argument("--runs", type=int, default=10000, help="in all containers together")
    parser.add_argument("--containers", type=int, choices=[1, 2], default=1, help="cjudge processes side by side")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    host.adopt_orphans()
    if not os.path.abspath(options.cjudge).startswith("/tmp/"):
        host.make_private()
    with tempfile.TemporaryDirectory(prefix="soak-programs-") as folder:
        box = box_module.Box(os.path.abspath(options.cjudge), box_module.programs(folder))
        before, counts = host.Snapshot(), dead_groups()
        wrong = []
        threads = [threading.Thread(target=lambda seed=seed: wrong.extend(
            soak(box, options.runs // options.containers, seed, lambda text: print(text, flush=True))))
            for seed in range(options.seed, options.seed + options.containers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wrong += before.differences(5.0)
        for _ in range(100):  # they go when their last page does
            grown = {name: (counts[name], now) for name, now in dead_groups().items() if now > counts[name] + 10}
            if not grown:
                break
            time.sleep(0.1)
        wrong += [f"dead groups of {name}: {old} became {now}" for name, (old, now) in grown.items()]
        lost = before.memory_lost(64 * MIB, 5.0)
        if lost > 64 * MIB:
            wrong.append(f"{lost >> 20} MiB of memory did not come back")
    for text in wrong[:50]:
        print("WRONG", text)
    print(f"{options.runs} runs, {len(wrong)} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

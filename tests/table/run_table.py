#!/usr/bin/env python3
"""Runs the table of verdicts (table.py) against a cjudge binary: a plain program, standard library only.

    python3 tests/table/run_table.py --cjudge build/cjudge --level full [--only NAME] [--slow N [--again N]]

Prints one line for each case and leaves with 1 when any differs from the table. `--build DIR` compiles
the C programs and stops, `--programs DIR` uses what was compiled before (a guest without a compiler)."""
import argparse
import concurrent.futures
import functools
import json
import os
import re
import subprocess
import sys
import tempfile
import time

from table import ANY, FILE_ERROR, INTERNAL, MEMORY, MIB, OK, OUTPUT, SIGNALLED, SYSCALL, TIME, cases

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = os.path.join(HERE, "programs")
PYTHON = "/usr/bin/python3"
CORES = os.cpu_count() or 1


def build(folder, sources=SOURCES, compiler=os.environ.get("CC_PROGRAMS", "gcc")):
    """Compiles every C program of a folder that is newer than its executable. Never with sanitizers."""
    os.makedirs(folder, exist_ok=True)
    work = []
    for name in sorted(os.listdir(sources)):
        source, target = os.path.join(sources, name), os.path.join(folder, name[:-2])
        if name.endswith(".c") and not (os.path.exists(target)
                                        and os.path.getmtime(target) >= os.path.getmtime(source)):
            work.append((source, target))

    def compile_one(job):
        part = f"{job[1]}.{os.getpid()}"
        done = subprocess.run([compiler, "-O1", "-static", "-std=gnu17", "-Wall", "-Wextra", "-pthread", "-I", SOURCES,
                               "-o", part, job[0]], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{job[0]} does not compile:\n{done.stderr}")
        os.rename(part, job[1])

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(compile_one, work))
    return folder


def exit_code_for(result):
    """What `cjudge run` leaves with for a result; None where the contract leaves it open."""
    fixed = {OK: 0, TIME: 124, MEMORY: 137, OUTPUT: 153, INTERNAL: 125, FILE_ERROR: None}
    if result["status"] in fixed:
        return fixed[result["status"]]
    return result["exitStatus"] + (128 if result["status"] in (SIGNALLED, SYSCALL) else 0)


def command_line(case, cjudge, level, slow, programs, scratch):
    """argv of `cjudge run` for a case; writes the files it needs into scratch."""
    line = [cjudge, "run", "--json", "--cpu", f"{round(case['cpu'] * slow * 1000)}ms",
            "--wall", f"{round(case['wall'] * slow * 1000)}ms"]
    for option in ("memory", "procs", "stack", "output", "file_size", "open_files"):
        if case[option] is not None:
            line += ["--" + option.replace("_", "-"), str(case[option])]
    line += ["--require", "full"] if level == "full" else ["--protection", level]
    for entry in case["env"]:
        line += ["--env", entry]
    if case["stdin"] is not None:
        with open(os.path.join(scratch, "stdin"), "wb") as file:
            file.write(case["stdin"])
        line += ["--in", os.path.join(scratch, "stdin")]
    if "content" in case:
        with open(os.path.join(scratch, "script"), "wb") as file:
            file.write(case["content"])
        line += ["--copy-in", os.path.join(scratch, "script")]
    program = case.get("program", case["name"])
    under = round((case["cpu"] * 1000 - 12) * slow)
    argv = [argument.replace("{under_cpu_limit}", str(under)).replace("{300_ms}", str(round(300 * slow))) for argument in case["argv"]]
    if "command" in case:
        return line + ["--"] + case["command"] + argv
    if case["lang"] == "c":
        return line + ["--copy-in", os.path.join(programs, program), "--", "./" + program] + argv
    return line + ["--copy-in", os.path.join(SOURCES, program + ".py"), "--", PYTHON, program + ".py"] + argv


def among(wanted, value):
    return wanted is ANY or value == wanted or isinstance(wanted, tuple) and value in wanted


def differences(case, result, code, elapsed, level, slow):
    """Everything in which a result is not what the table says, in words."""
    wrong = []

    def check(good, text):
        if not good:
            wrong.append(text)

    def within(what, value, bounds, factor=1.0):
        if bounds is not None:
            check(bounds[0] <= value <= bounds[1] * factor, f"{what} {value:.3f}, not in {bounds}, times {factor}")

    cpu, wall = result["time"] / 1e9, result["runTime"] / 1e9
    cpu_limit, wall_limit = case["cpu"] * slow, case["wall"] * slow
    status, files = result["status"], result.get("files") or {}
    check(among(case["status"], status),
          f"status {status} {result['exitStatus']} {result.get('error', '')!r}, not {case['status']}")
    check(among(case["exit"], result["exitStatus"]), f"exitStatus {result['exitStatus']}, not {case['exit']}")
    if case["stdout"] is not None:
        got = files.get("stdout", "")
        check(got == case["stdout"], f"stdout {got[:60]!r} ({len(got)}), not {case['stdout'][:60]!r} "
                                     f"({len(case['stdout'])})")
    if "error" in case:
        check(re.search(case["error"], result.get("error", "")), f"error {result.get('error')!r}")

    # what holds for every run
    expected_code = exit_code_for(result)
    check(expected_code in (None, code), f"cjudge left with {code}, not {expected_code}")
    check(elapsed <= wall + 2 * slow, f"answered {elapsed:.2f} s after the start, run time {wall:.2f} s")
    check(wall <= wall_limit + 1, f"runTime {wall:.3f} beyond the wall limit {wall_limit}")
    check(0 <= cpu <= wall * CORES + 0.02 * slow, f"time {cpu:.3f} in {wall:.3f} s on {CORES} cores")
    # without control groups memory is looked at every few milliseconds, and may be passed by so much
    margin = 4 * MIB if level == "full" else 64 * MIB
    check(0 <= result["memory"] <= case["memory"] + margin, f"memory {result['memory']}")
    check(result.get("procPeak", 0) <= case["procs"], f"procPeak {result.get('procPeak')}")
    for name in ("stdout", "stderr"):
        check(len(files.get(name, "").encode("utf-8", "surrogatepass")) <= max(case["output"] * 3, 1),
              f"{name} has {len(files.get(name, ''))} characters")
        if "\ufffd" not in files.get(name, ""):
            check(len(files.get(name, "").encode()) <= case["output"], f"{name} over its cap")
    if status == OK:
        check(cpu <= cpu_limit and wall <= wall_limit, f"Accepted over a limit: {cpu:.3f} {wall:.3f}")
    if status == TIME:
        check(cpu > cpu_limit or wall > wall_limit, f"TLE within limits: {cpu:.3f} {wall:.3f}")
    held = (result.get("protection") or {}).get("level")
    check(held == level, f"protection level {held!r}, not {level!r}")

    # what this row says
    if case["ended_by"] == "cpu":
        within("time", cpu, (cpu_limit, cpu_limit + 0.3 * CORES * slow))
    elif case["ended_by"] == "wall":
        within("runTime", wall, (wall_limit, wall_limit + 0.2 * slow))
        # starting an interpreter is all it does; under emulation that is dearer than the factor
        within("time", cpu, (0, 0.1 if case["lang"] == "py" else 0.03), slow if slow == 1 else 3 * slow)
    within("time", cpu, case.get("time"), slow)
    within("runTime", wall, case.get("run_time"), slow)
    within("memory MiB", result["memory"] / MIB, case.get("used"))
    within("procPeak", result.get("procPeak", 0), case.get("peak"))
    return wrong


def run_case(case, cjudge, level, programs, slow=1.0):
    """Runs a case as often as it asks for. Returns (differences, last result or None)."""
    result = None
    for turn in range(case["repeat"]):
        with tempfile.TemporaryDirectory(prefix="table-") as scratch:
            line = command_line(case, cjudge, level, slow, programs, scratch)
            start = time.monotonic()
            try:
                done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True,
                                      timeout=case["wall"] * slow + 20 * slow)
            except subprocess.TimeoutExpired:
                return ["no answer in time"], None
            elapsed = time.monotonic() - start
        try:
            result = json.loads(done.stdout)
        except ValueError:
            return [f"no JSON; exit {done.returncode}, stdout {done.stdout[:200]!r}, "
                    f"stderr {done.stderr[-300:]!r}"], None
        wrong = differences(case, result, done.returncode, elapsed, level, slow)
        if wrong:
            return [f"(run {turn + 1} of {case['repeat']}) " * (case["repeat"] > 1) + text for text in wrong], result
    return [], result


def show(case, wrong, result):
    """Prints the row; whether it differs."""
    shown = result or dict(status="-", exitStatus=0, time=0, runTime=0, memory=0)
    print(f"{'FAIL' if wrong else 'ok':4} {case['id']:32} {shown['status']:22} {shown['exitStatus']:4} "
          f"cpu {shown['time'] / 1e9:6.3f} wall {shown['runTime'] / 1e9:6.3f} "
          f"mem {shown['memory'] / MIB:7.2f} tasks {shown.get('procPeak', 0)}", flush=True)
    for text in wrong:
        print(f"       {text}")
    return bool(wrong)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cjudge", default=os.environ.get("CJUDGE", os.path.join(HERE, "../../build/cjudge")))
    parser.add_argument("--level", choices=["full", "no-cgroup"], default="full")
    parser.add_argument("--only", help="rows whose name contains this")
    parser.add_argument("--lang", choices=["c", "py"], help="only this language")
    parser.add_argument("--slow", type=float, default=1.0, help="factor for time limits and bounds (emulation)")
    parser.add_argument("--again", type=float, help="rows that differ count only if they do so alone, with this factor, too")
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--programs", help="folder of compiled programs; compiled there when missing")
    parser.add_argument("--build", metavar="DIR", help="compile the programs into DIR and stop")
    options = parser.parse_args()
    if options.build:
        build(options.build)
        return 0
    with tempfile.TemporaryDirectory(prefix="table-programs-") as scratch:
        programs = options.programs or build(scratch)
        selected = [case for case in cases(options.level, (options.lang,) if options.lang else ("c", "py"))
                    if not options.only or options.only in case["id"]]
        run = functools.partial(run_case, cjudge=options.cjudge, level=options.level, programs=programs)
        with concurrent.futures.ThreadPoolExecutor(options.parallel) as pool:
            runs = pool.map(lambda case: (case, *run(case, slow=options.slow)), selected)
            different = [case for case, wrong, result in runs if show(case, wrong, result)]
        if options.again and different:
            print(f"once more, alone, at {options.again:g}:")
            different = [case for case in different if show(case, *run(case, slow=options.again))]
        failed = len(different)
    print(f"{len(selected) - failed} of {len(selected)} as the table says ({options.level})")
    return 1 if failed or not selected else 0


if __name__ == "__main__":
    sys.exit(main())

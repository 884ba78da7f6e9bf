"""Runs programs through `cjudge run` for the threat probes: one run, or several in one container."""
import json
import os
import subprocess
import tempfile
import time

import host
import run_table

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = os.path.join(HERE, "programs")
PYTHON = "/usr/bin/python3"
MIB = 1 << 20
MS = 1_000_000

OK, NONZERO, SIGNALLED = "Accepted", "Nonzero Exit Status", "Signalled"
TIME, MEMORY, OUTPUT = "Time Limit Exceeded", "Memory Limit Exceeded", "Output Limit Exceeded"
FILE_ERROR, SYSCALL, INTERNAL = "File Error", "Dangerous Syscall", "Internal Error"
STATUSES = {OK, NONZERO, SIGNALLED, TIME, MEMORY, OUTPUT, FILE_ERROR, SYSCALL}

# Limits of a probe unless it asks for others: sandbox-threats' typical ones, times cut short.
LIMITS = dict(cpu=1000 * MS, wall=3000 * MS, memory=64 * MIB, procs=16, stack=64 * MIB, output=64 << 10,
              fileSize=16 * MIB, openFiles=64)
FLAGS = {"fileSize": "--file-size", "openFiles": "--open-files"}


class Result(dict):
    """One result object, with what surrounded it."""
    code = None
    elapsed = None
    raw_stderr = b""

    @property
    def status(self):
        return self["status"]

    @property
    def out(self):
        return (self.get("files") or {}).get("stdout", "")

    @property
    def err(self):
        return (self.get("files") or {}).get("stderr", "")

    @property
    def cpu(self):
        return self["time"] / 1e9

    @property
    def wall(self):
        return self["runTime"] / 1e9

    @property
    def lines(self):
        """stdout as a mapping: first word of each line -> the rest."""
        return dict((line + " ").split(" ", 1) for line in self.out.splitlines())


class Box:
    """A cjudge binary and the folder of compiled probe programs."""

    def __init__(self, cjudge, programs):
        self.cjudge, self.programs = cjudge, programs
        # control groups of this process's own, so that other users of the machine cannot be mistaken for ours
        self.start_line = [cjudge, "run", "--cgroup-prefix", host.CGROUP_PREFIX]

    def command(self, program, args=(), **options):
        """The fields of one run: program is NAME.py, a compiled NAME, or a list that is run as it is."""
        fields = dict(LIMITS, copyIn={}, env=["PATH=/usr/local/bin:/usr/bin:/bin"], stdin="", copyOut=[])
        if isinstance(program, (list, tuple)):
            fields["args"] = list(program)
        elif program.endswith(".py"):
            fields["args"] = [PYTHON, program]
            fields["copyIn"] = {program: os.path.join(SOURCES, program)}
            fields["memory"] = 128 * MIB
        else:
            fields["args"] = ["./" + program]
            fields["copyIn"] = {program: os.path.join(self.programs, program)}
        fields["args"] = fields["args"] + [str(argument) for argument in args]
        copy_in = options.pop("copyIn", {})
        fields.update(options)
        fields["copyIn"] = dict(fields["copyIn"], **copy_in)
        return fields

    def python(self, code, **options):
        """A run of Python text. It is an argument, so nothing is copied in."""
        return self.command([PYTHON, "-c", code], memory=options.pop("memory", 128 * MIB), **options)

    def shell(self, text, **options):
        return self.command(["/bin/sh", "-c", text], **options)

    def script(self, commands, options=(), timeout=None, cwd=None, env=None):
        """Runs commands one after another in ONE container; a list of Result."""
        if timeout is None:
            timeout = sum(command["wall"] for command in commands) / 1e9 + 20 + len(commands) * 0.5
        with tempfile.NamedTemporaryFile("w", prefix="script-", suffix=".jsonl") as file:
            for command in commands:
                file.write(json.dumps(command) + "\n")
            file.flush()
            line = [*self.start_line, *options, "--script", file.name]
            start = time.monotonic()
            done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, cwd=cwd,
                                  env=env)
            elapsed = time.monotonic() - start
        results = []
        for text in done.stdout.splitlines():
            result = Result(json.loads(text))
            result.code, result.elapsed, result.raw_stderr = done.returncode, elapsed, done.stderr
            results.append(result)
        assert len(results) == len(commands), (
            f"{len(results)} results for {len(commands)} commands, exit {done.returncode}: {done.stderr[-2000:]!r}")
        return results

    def line(self, fields, *options, json_output=True):
        """argv of `cjudge run` for a command (its stdin is given with --in by the caller)."""
        line = self.start_line + (["--json"] if json_output else [])
        for key in LIMITS:
            value = f"{fields[key] // 1000000}ms" if key in ("cpu", "wall") else str(fields[key])
            line += [FLAGS.get(key, "--" + key), value]
        for name, path in fields["copyIn"].items():
            line += ["--copy-in", f"{path}:{name}"]
        for name in fields["copyOut"]:
            line += ["--copy-out", name]
        for entry in fields["env"]:
            line += ["--env", entry]
        return line + list(options) + ["--"] + fields["args"]

    def run(self, fields, *options, **popen):
        """One run in a container of its own, with flags instead of a script."""
        start = time.monotonic()
        popen.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run(self.line(fields, *options), capture_output=True,
                              timeout=fields["wall"] / 1e9 + 20, **popen)
        try:
            result = Result(json.loads(done.stdout))
        except ValueError:
            raise AssertionError(f"no JSON, exit {done.returncode}: {done.stdout[:500]!r} {done.stderr[-2000:]!r}")
        result.code, result.elapsed, result.raw_stderr = done.returncode, time.monotonic() - start, done.stderr
        return result

    def start(self, fields, *options, **popen):
        """A run in the background; the Popen object."""
        popen.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(self.line(fields, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, **popen)

    def reference(self):
        return self.command("state_report", output=256 << 10, wall=5000 * MS, memory=64 * MIB)


def programs(folder):
    return run_table.build(folder, SOURCES)

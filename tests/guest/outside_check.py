#!/usr/bin/env python3
"""Commands on the host's side (-template-sandbox host), on whatever cgroups this machine has: verdicts, and nothing left.
Run by test_outside.py in a guest."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))

from service import Service, processes  # noqa: E402


def check(condition, what):
    if not condition:
        sys.exit(f"outside_check: {what}")


def main():
    cjudge, accounting = sys.argv[1:]
    env = {"PYTHON_EXECUTE_COMMAND": "python3 {source}", "MAX_EXECUTION_TIME": "20", "MAX_MEMORY": "128"}
    with Service(cjudge, "-template-sandbox", "host", "-parallelism", 1, judge="127.0.0.1:0", env=env) as service:
        def run(source, **more):
            return service.judged("/run", {"type": "python", "solution": source, **more})

        answer = service.judged("/v1/judge", {"language": "bash", "source": "echo 1", "cases": [{}]})
        check(answer["summary"]["accounting"] == accounting, answer)
        result = run("print(input())", input="9", expected_output="9")
        check(result["success"] and result["stdout"] == "9\n", result)
        result = run("x = b'x' * (1 << 30)\nprint(len(x))")
        check("Memory limit of 256 MiB exceeded." in result["stderr"], result)
        result = run("import subprocess\nsubprocess.Popen(['sleep', '61236'], start_new_session=True)\nprint(1)")
        check(result["run_success"] and not processes("61236"), result)
        result = run("import os, time\nwhile True:\n    try:\n        if os.fork() == 0:\n            time.sleep(61)\n"
                     "    except BlockingIOError:\n        print('enough')\n        break")
        check(result["run_success"] and result["stdout"] == "enough\n", result)
    print("outside_check: good")


if __name__ == "__main__":
    main()

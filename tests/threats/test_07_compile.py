"""Class 7: compile stage: a compiler is a program like any other, with larger limits."""
import os

import pytest

from box import FILE_ERROR, MEMORY, MIB, MS, NONZERO, OK, OUTPUT, SIGNALLED, STATUSES, TIME

LIMITS = dict(cpu=4000 * MS, wall=8000 * MS, memory=512 * MIB, procs=32, fileSize=64 * MIB, stack=64 * MIB)


@pytest.fixture
def compile_source(threat, box, tmp_path):
    def run(text, name="a.c", compiler="gcc", options=(), **limits):
        source = tmp_path / "source"
        source.write_text(text)
        fields = box.command(["/usr/bin/" + compiler, *options, "-o", "a.out", name], copyIn={name: str(source)}, copyOut=["a.out"])
        fields.update(LIMITS, **limits)
        return threat(fields)

    return run


def artifact(result):
    return (result.get("files") or {}).get("a.out")


def test_compiles_and_runs(threat, box, compile_source):
    result = compile_source("#include <stdio.h>\nint main(void) { puts(\"hi\"); return 0; }\n")
    assert result.status == OK and artifact(result), result
    result = compile_source("#include <bits/stdc++.h>\nint main() { std::cout << 1; }\n", "a.cpp", "g++", wall=12000 * MS, cpu=10000 * MS)
    assert result.status == OK and artifact(result), result


FAILING = {
    "syntax_error": "int main( {",
    "urandom": '#include "/dev/urandom"\n',
    "random": '#include </dev/random>\n',
    "own_stdin": '#include "/dev/stdin"\nint x = ;\n',
    "shadow": '#include "/etc/shadow"\nint main(void) { return 0; }\n',
    "machine_id": '#include "/etc/machine-id"\nint main(void) { return 0; }\n',
    "incbin_shadow": 'asm(".incbin \\"/etc/shadow\\"");\nint main(void) { return 0; }\n',
    "incbin_proc": 'asm(".incbin \\"/proc/1/environ\\"");\nint main(void) { return 0; }\n',
    "includes_itself": '#include "a.c"\n#include "a.c"\n',
    "unknown_option_text": '#pragma GCC plugin("/tmp/x.so")\n#error no\n',
}


@pytest.mark.parametrize("name", FAILING)
def test_failures_are_failures(compile_source, name):
    result = compile_source(FAILING[name])
    assert result.status in (NONZERO, TIME, MEMORY, OUTPUT), result
    assert "root:" not in result.err and len(result.err) <= 64 << 10
    assert not artifact(result)


@pytest.mark.parametrize("name, text, limits", [
    ("zero", '#include "/dev/zero"\n', {}),
    ("template_bomb", "template<int N> struct A { enum { v = A<N + 1>::v }; };\nint main() { return A<0>::v; }\n", dict(options=["-ftemplate-depth=1000000"])),
    ("macro_bomb", "#define A(x) x x x x x x x x\n#define B(x) A(A(A(A(x))))\n#define C(x) B(B(B(x)))\nint main() { C(C(0;)) }\n", {}),
    ("huge_array", "char a[1UL << 40] = {1};\nint main() { return a[5]; }\n", {}),
    ("big_data", "char a[300 << 20] = {1};\nint main() { return a[5]; }\n", {}),
    ("error_flood", "template<int N> struct A { typename A<N-1>::x y; };\ntemplate struct A<800>;\n" + "int x = y;\n" * 20000, {}),
    ("constexpr_loop", "constexpr int f(int n) { int s = 0; for (long i = 0; i < 1000000000; i++) s += i; return s; }\nconstexpr int x = f(1);\nint main() {}\n", dict(options=["-std=c++17", "-fconstexpr-ops-limit=100000000000", "-fconstexpr-loop-limit=2147483647"])),
], ids=["zero", "template_bomb", "macro_bomb", "huge_array", "big_data", "error_flood", "constexpr_loop"])
def test_bombs_end(compile_source, name, text, limits):
    options = limits.pop("options", [])
    result = compile_source(text, "a.cpp", "g++", options, cpu=1500 * MS, wall=3000 * MS, **limits)
    assert result.status in STATUSES - {OK}, result
    assert result.wall < 4


def test_compiler_leaves_nothing(threat, box, compile_source):
    """A poisoned include directory, GCC's own settings by environment, a server left behind."""
    poison = box.shell("mkdir -p /tmp/include; echo '#error poisoned' > /tmp/include/stdio.h; echo '#error poisoned' > /w/stdio.h; "
                       "gcc -E - < /dev/null > /dev/null; (while :; do cp /etc/passwd /w/a.c 2>/dev/null; done) & exit 0", **LIMITS)
    assert threat(poison).status == OK
    assert compile_source("#include <stdio.h>\nint main(void) { return 0; }\n").status == OK


def test_names_are_not_options(compile_source):
    result = compile_source("int main(void) { return 0; }\n", "-x.c")
    assert result.status in (NONZERO, OK, FILE_ERROR), result
    result = compile_source("int main(void) { return 0; }\n", "$(touch evil).c")
    assert result.status == OK, result


def test_killed_compiler_gives_no_artifact(compile_source):
    result = compile_source("#include <bits/stdc++.h>\nint main() { std::map<int, std::string> m; }\n", "a.cpp", "g++", memory=48 * MIB)
    # so little memory may also mean that it does nothing but read its own pages again
    assert result.status in (MEMORY, NONZERO, TIME) and not artifact(result), result


def test_secrets_of_the_host_do_not_compile_in(compile_source, tmp_path):
    secret = tmp_path / "secret.h"
    secret.write_text("#error cjudge-secret-content\n")
    result = compile_source(f'#include "{secret}"\n#include "/proc/self/environ"\nint main(void) {{ return 0; }}\n')
    assert result.status == NONZERO and "cjudge-secret-content" not in result.err, result

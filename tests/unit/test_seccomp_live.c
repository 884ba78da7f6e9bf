/* The filter in the kernel: a child installs it as init does (no_new_privs, then seccomp(2)) and
 * either makes calls itself or runs real programs, with no other sandbox around them. Interpreters
 * that are not installed are skipped; without seccomp everything is (status 77). */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/sched.h>
#include <seccomp.h>

#include "base/clock.h"
#include "base/fd.h"
#include "seccomp_rule.h"

enum { EXIT_SKIP = 77, EXIT_BAD_FILTER = 99, PROGRAM_SECONDS = 240 };

static int install(const struct seccomp_filter *filter)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    const struct sock_fprog program = {.len = (unsigned short)filter->count,
                                       .filter = filter->code};
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

/* Runs body under filter in a child; returns its wait status. */
static int under_filter(const struct seccomp_filter *filter, int body(const void *),
                        const void *argument)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setpgid(0, 0);
        if (install(filter) < 0)
            _exit(EXIT_BAD_FILTER);
        _exit(body(argument));
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static struct seccomp_filter default_filter(uint64_t clone3_args_address)
{
    struct seccomp_filter filter = {0};
    struct cj_error err = {0};
    if (seccomp_filter_default(clone3_args_address, &filter, &err) < 0)
        fail_msg("%s", err.message);
    return filter;
}

/* ---- Denied calls ---- */

/* Each would do nothing, or fail with another error, without the filter and for root. */
struct denied_call {
    const char *name;
    long args[6];
    int error;
};

static const struct denied_call denied_calls[] = {
    {"mount", {0}, EPERM},
    {"umount2", {0, -1}, EPERM},
    {"setns", {-1}, EPERM},
    {"unshare", {0}, EPERM},
    {"ptrace", {-1}, EPERM},
    {"process_vm_readv", {0}, EPERM},
    {"kcmp", {1, 1, -1}, EPERM},
    {"keyctl", {0, -3}, EPERM},
    {"bpf", {-1}, EPERM},
    {"perf_event_open", {0}, EPERM},
    {"userfaultfd", {-1}, EPERM},
    {"io_uring_setup", {0}, EPERM},
    {"open_by_handle_at", {-1}, EPERM},
    {"syslog", {10}, EPERM}, /* the size of the log's buffer */
    {"clock_settime", {-1}, EPERM},
    {"socket", {AF_NETLINK, SOCK_RAW, 0}, EAFNOSUPPORT},
    {"socket", {AF_VSOCK, SOCK_STREAM, 0}, EAFNOSUPPORT},
    {"socket", {AF_INET, SOCK_SEQPACKET, 132}, EPROTONOSUPPORT},
    {"ioctl", {-1, 0x5412}, EPERM}, /* TIOCSTI */
    {"clone3", {0}, ENOSYS},
    {"clone", {CLONE_NEWUSER | CLONE_PARENT_SETTID | CLONE_SIGHAND}, EPERM},
    {"mmap", {0, 0, 0, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1}, ENOMEM},
    {"personality", {ADDR_COMPAT_LAYOUT}, EPERM},
};

static int denied_calls_fail(const void *unused)
{
    (void)unused;
    for (size_t i = 0; i < COUNT_OF(denied_calls); i++) {
        const struct denied_call *call = &denied_calls[i];
        const long *args = call->args;
        int number = seccomp_syscall_number(seccomp_arch_native(), call->name);
        long result = syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
        if (result != -1 || errno != call->error) {
            dprintf(2, "case %zu, %s: %ld, %s\n", i, call->name, result, strerror(errno));
            return 1;
        }
    }
    for (int number = 471; number < 1024; number++)
        if (syscall(number, 0, 0, 0, 0, 0, 0) != -1 || errno != ENOSYS)
            return 1;
    return 0;
}

static void denied_calls_fail_with_their_errors(void **state)
{
    (void)state;
    struct seccomp_filter filter = default_filter(0);
    assert_int_equal(under_filter(&filter, denied_calls_fail, NULL), 0);
    seccomp_filter_free(&filter);
}

/* ---- The launcher's clone3 ---- */

static int clone3_works_only_at(const void *address)
{
    struct clone_args elsewhere = {.exit_signal = SIGCHLD};
    if (syscall(SYS_clone3, &elsewhere, sizeof(elsewhere)) != -1 || errno != ENOSYS)
        return 1;
    struct clone_args *args = (struct clone_args *)(uintptr_t)address;
    *args = elsewhere;
    long child = syscall(SYS_clone3, args, sizeof(*args));
    if (child == 0)
        _exit(0);
    int status = -1;
    return child < 0 || waitpid((pid_t)child, &status, 0) != child || status != 0;
}

static void the_launcher_keeps_clone3(void **state)
{
    (void)state;
    struct clone_args args = {0};
    struct seccomp_filter filter = default_filter((uintptr_t)&args);
    assert_int_equal(under_filter(&filter, clone3_works_only_at, &args), 0);
    seccomp_filter_free(&filter);
}

/* ---- The CPU's other conventions ---- */

#ifdef __x86_64__
enum {
    I386_GETPID = 20,
    I386_MOUNT = 21,
    X32_GETPID = 0x40000000 | 39,
    FOREIGN = 1001,
    X32 = 1002
};

static long int_0x80(long number)
{
    long result = number;
    /* The 32-bit entry of a 64-bit process leaves r8-r11 undefined. */
    __asm__ volatile("int $0x80"
                     : "+a"(result)
                     : "b"(0), "c"(0), "d"(0), "S"(0), "D"(0)
                     : "memory", "r8", "r9", "r10", "r11");
    return (int)result;
}

static int other_conventions_are_absent(const void *unused)
{
    (void)unused;
    bool absent = int_0x80(I386_GETPID) == -ENOSYS && int_0x80(I386_MOUNT) == -ENOSYS &&
                  syscall(X32_GETPID) == -1 && errno == ENOSYS;
    return absent ? 0 : 1;
}

/* Errors of our own show that it is the filter that answers, not the kernel's configuration. */
static int other_conventions_meet_the_filter(const void *unused)
{
    (void)unused;
    bool met = int_0x80(I386_GETPID) == -FOREIGN && syscall(X32_GETPID) == -1 && errno == X32;
    return met && getpid() > 0 ? 0 : 1;
}

static int entry_exists(const void *unused)
{
    (void)unused;
    return int_0x80(I386_GETPID) == getpid() ? 0 : 1;
}

static void int_0x80_and_x32_are_filtered(void **state)
{
    (void)state;
    const struct seccomp_policy open_policy = {
        .arch = AUDIT_ARCH_X86_64,
        .default_action = SECCOMP_RET_ALLOW,
        .foreign_action = SECCOMP_RET_ALLOW,
        .x32_action = SECCOMP_RET_ERRNO | X32,
    };
    struct seccomp_policy marked_policy = open_policy;
    marked_policy.foreign_action = SECCOMP_RET_ERRNO | FOREIGN;
    struct seccomp_filter filter = {0};

    assert_int_equal(seccomp_filter_compile(&open_policy, &filter, NULL), 0);
    bool has_32_bit_entry = under_filter(&filter, entry_exists, NULL) == 0;
    seccomp_filter_free(&filter);
    if (!has_32_bit_entry)
        skip();

    assert_int_equal(seccomp_filter_compile(&marked_policy, &filter, NULL), 0);
    assert_int_equal(under_filter(&filter, other_conventions_meet_the_filter, NULL), 0);
    seccomp_filter_free(&filter);

    filter = default_filter(0);
    assert_int_equal(under_filter(&filter, other_conventions_are_absent, NULL), 0);
    seccomp_filter_free(&filter);
}
#endif

/* ---- seccomp.yaml ---- */

static int call_getppid(const void *unused)
{
    (void)unused;
    return syscall(SYS_getppid) == -1 ? errno : 0;
}

static int status_with_yaml(const char *text)
{
    struct seccomp_filter filter = {0};
    struct cj_error err = {0};
    if (seccomp_config_parse("test", text, strlen(text), &filter, &err) < 0)
        fail_msg("%s", err.message);
    int status = under_filter(&filter, call_getppid, NULL);
    seccomp_filter_free(&filter);
    return status;
}

static void actions_of_the_file_take_effect(void **state)
{
    (void)state;
    int status = status_with_yaml("default_action: allow\n"
                                  "syscalls: [{action: errno, names: [getppid]}]");
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EPERM);
    status = status_with_yaml("default_action: allow\n"
                              "syscalls: [{action: trace, names: [getppid]}]");
    assert_int_equal(WEXITSTATUS(status), ENOSYS);
    status = status_with_yaml("default_action: allow\n"
                              "syscalls: [{action: kill_process, names: [getppid]}]");
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
    status = status_with_yaml("syscalls: [{action: allow, names: [exit_group]}]");
    assert_true(WIFSIGNALED(status)); /* kill_thread by default */
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

/* ---- Ordinary programs ---- */

struct program {
    const char *needs;  /* found in PATH, or the program is skipped */
    const char *script; /* for sh -e, in an empty directory; must print "ok" last */
};

static int run_script(const void *script)
{
    alarm(PROGRAM_SECONDS);
    execl("/bin/sh", "sh", "-e", "-c", (const char *)script, NULL);
    return 127;
}

static bool in_path(const char *program)
{
    char command[128];
    snprintf(command, sizeof(command), "command -v %s >/dev/null 2>&1", program);
    return system(command) == 0;
}

/* Runs one program in a new directory and compares the last line. */
static void program_works(void **state)
{
    const struct program *program = *state;
    if (!in_path(program->needs))
        skip();
    char directory[] = "/tmp/seccomp_live.XXXXXX";
    assert_non_null(mkdtemp(directory));
    char script[16384];
    snprintf(script, sizeof(script), "cd %s\n(\n%s\n) > out\n[ \"$(tail -n 1 out)\" = ok ]",
             directory, program->script);
    struct seccomp_filter filter = default_filter(0);
    int status = under_filter(&filter, run_script, script);
    seccomp_filter_free(&filter);
    char clean[64];
    snprintf(clean, sizeof(clean), "chmod -R u+w %s; rm -rf %s", directory, directory);
    assert_int_equal(system(clean), 0);
    assert_int_equal(status, 0);
}

static struct program shell = {
    "bash", "bash -c 'seq 1 1000 | sort -rn | head -n 3 | tac | tee a >(cat >/dev/null) | wc -l\n"
            "mkfifo f; (echo x >f &) ; read y <f; [ $y = x ]\n"
            "ls -la / >/dev/null; cp a b; cmp a b; tar cf t.tar a b; gzip t.tar; find . -newer a "
            ">/dev/null\n"
            "cat <(echo p) <(echo q) | grep -c . ; wait; sleep 0.01; echo ok'"};

static struct program python = {
    "python3",
    "cat >p.py <<'EOF'\n"
    "import asyncio, concurrent.futures, mmap, multiprocessing, os, queue, random, select, signal\n"
    "import socket, subprocess, sys, tempfile, threading, time\n"
    "from multiprocessing import shared_memory\n"
    "def square(x): return x * x\n"
    "async def shell():\n"
    "    p = await asyncio.create_subprocess_shell('echo hi', stdout=asyncio.subprocess.PIPE)\n"
    "    out, _ = await p.communicate()\n"
    "    assert out == b'hi\\n'\n"
    "    server = await asyncio.start_server(lambda r, w: w.close(), '127.0.0.1', 0)\n"
    "    r, w = await asyncio.open_connection(*server.sockets[0].getsockname())\n"
    "    assert await r.read() == b''\n"
    "    w.close(); server.close()\n"
    "if __name__ == '__main__':\n"
    "    q = queue.Queue()\n"
    "    ts = [threading.Thread(target=q.put, args=(i,)) for i in range(8)]\n"
    "    [t.start() for t in ts]; [t.join() for t in ts]\n"
    "    assert q.qsize() == 8\n"
    "    assert subprocess.run(['echo', 'a'], capture_output=True).stdout == b'a\\n'\n"
    "    assert subprocess.run('exit 3', shell=True).returncode == 3\n"
    "    for method in 'fork', 'spawn', 'forkserver':\n"
    "        with multiprocessing.get_context(method).Pool(2) as pool:\n"
    "            assert pool.map(square, range(10)) == [x * x for x in range(10)]\n"
    "    with concurrent.futures.ProcessPoolExecutor(2) as pool:\n"
    "        assert list(pool.map(square, [3])) == [9]\n"
    "    shm = shared_memory.SharedMemory(create=True, size=100); shm.buf[0] = 1\n"
    "    shm.close(); shm.unlink()\n"
    "    asyncio.run(shell())\n"
    "    a, b = socket.socketpair(); a.send(b'x'); assert b.recv(1) == b'x'\n"
    "    s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())\n"
    "    socket.getaddrinfo('127.0.0.1', 80); socket.getaddrinfo('localhost', 80)\n"
    "    with tempfile.TemporaryFile() as f:\n"
    "        f.truncate(4096); mmap.mmap(f.fileno(), 4096)\n"
    "    os.sched_getaffinity(0); os.getloadavg(); os.memfd_create('m'); os.eventfd(0)\n"
    "    os.posix_spawn('/bin/true', ['true'], {}); os.wait()\n"
    "    signal.setitimer(signal.ITIMER_REAL, 0); time.sleep(0.01); random.random()\n"
    "    print('ok')\n"
    "EOF\n"
    "python3 p.py"};

static struct program node = {
    "node",
    "cat >n.js <<'EOF'\n"
    "const { Worker, isMainThread, parentPort } = require('worker_threads');\n"
    "if (!isMainThread) { parentPort.postMessage(42); }\n"
    "else (async () => {\n"
    "  const fs = require('fs'), os = require('os'), net = require('net'), cp = "
    "require('child_process');\n"
    "  await new Promise((r, f) => { const w = new Worker(__filename); w.on('message', r); "
    "w.on('error', f); });\n"
    "  await fs.promises.writeFile('x', 'y'); fs.readFileSync('x');\n"
    "  if (cp.execSync('echo a').toString() !== 'a\\n') throw 1;\n"
    "  await new Promise(r => cp.spawn(process.execPath, ['-e', '0']).on('exit', r));\n"
    "  await new Promise(r => { const s = net.createServer(c => { c.end(); }).listen(0, "
    "'127.0.0.1', () =>\n"
    "    net.connect(s.address().port, '127.0.0.1').on('close', () => { s.close(); r(); "
    "}).resume()); });\n"
    "  await require('dns').promises.lookup('localhost');\n"
    "  require('crypto').randomBytes(8); os.cpus(); os.totalmem(); require('zlib').gzipSync('a');\n"
    "  console.log('ok');\n"
    "})();\n"
    "EOF\n"
    "node n.js"};

static struct program java = {
    "java",
    "cat >Main.java <<'EOF'\n"
    "import java.net.*; import java.nio.file.*; import java.util.*; import java.util.stream.*;\n"
    "public class Main { public static void main(String[] a) throws Exception {\n"
    "  Thread t = new Thread(() -> System.gc()); t.start(); t.join();\n"
    "  if (IntStream.range(0, 1000000).parallel().filter(x -> x % 3 == 0).count() != 333334) throw "
    "new Error();\n"
    "  Process p = new ProcessBuilder(\"echo\", \"a\").start(); if (p.waitFor() != 0) throw new "
    "Error();\n"
    "  try (ServerSocket s = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());\n"
    "       Socket c = new Socket(s.getInetAddress(), s.getLocalPort())) { s.accept(); }\n"
    "  NetworkInterface.getNetworkInterfaces();\n"
    "  Files.writeString(Path.of(\"x\"), \"y\"); Files.list(Path.of(\".\")).count();\n"
    "  System.out.println(\"ok\"); } }\n"
    "EOF\n"
    "java -XX:+UseParallelGC Main.java; java -XX:+UseNUMA Main.java"};

static struct program golang = {
    "go", "cat >m.go <<'EOF'\n"
          "package main\n"
          "import (\"fmt\"; \"net\"; \"os\"; \"os/exec\"; \"sync\"; \"time\")\n"
          "func must(e error) { if e != nil { panic(e) } }\n"
          "func main() {\n"
          "  var w sync.WaitGroup\n"
          "  for i := 0; i < 100; i++ { w.Add(1); go func() { time.Sleep(time.Millisecond); "
          "w.Done() }() }\n"
          "  w.Wait()\n"
          "  out, e := exec.Command(\"echo\", \"a\").Output(); must(e); if string(out) != \"a\\n\" "
          "{ panic(out) }\n"
          "  l, e := net.Listen(\"tcp\", \"127.0.0.1:0\"); must(e)\n"
          "  _, e = net.Dial(\"tcp\", l.Addr().String()); must(e)\n"
          "  must(os.WriteFile(\"x\", nil, 0600)); _, e = os.ReadDir(\".\"); must(e)\n"
          "  must(os.RemoveAll(\"x\"))\n"
          "  fmt.Println(\"ok\")\n"
          "}\n"
          "EOF\n"
          "GO111MODULE=off go build -o m m.go; ./m"};

static struct program gcc = {
    "g++",
    "cat >c.cpp <<'EOF'\n"
    "#include <bits/stdc++.h>\n"
    "#include <pthread.h>\n"
    "int main() { std::mutex m; std::condition_variable v; bool go = false; long sum = 0;\n"
    "  std::thread t([&] { std::unique_lock<std::mutex> l(m); v.wait(l, [&] { return go; }); });\n"
    "  { std::lock_guard<std::mutex> l(m); go = true; } v.notify_all(); t.join();\n"
    "  auto f = std::async(std::launch::async, [] { return 7; });\n"
    "  #pragma omp parallel for reduction(+:sum)\n"
    "  for (int i = 0; i < 1000; i++) sum += i;\n"
    "  std::vector<int> big(1 << 20); std::sort(big.begin(), big.end());\n"
    "  if (sum == 499500 && f.get() == 7) std::puts(\"ok\"); }\n"
    "EOF\n"
    "g++ -O1 -fopenmp c.cpp -o c -pthread -pipe; ./c; g++ -static c.cpp -o s -fopenmp -pthread && "
    "./s"};

static struct program sanitizers = {
    "g++", "cat >c.cpp <<'EOF'\n"
           "#include <cstdio>\n"
           "#include <thread>\n"
           "int main() { int *p = new int(1); std::thread t([p] { *p = 2; }); t.join(); delete p; "
           "std::puts(\"ok\"); }\n"
           "EOF\n"
           "export ASAN_OPTIONS=detect_leaks=0\n" /* LeakSanitizer needs ptrace: docs/seccomp.md */
           "g++ -fsanitize=address,undefined c.cpp -o a -pthread; ./a\n"
           "g++ -fsanitize=thread c.cpp -o t -pthread; ./t"};

static struct program clang = {"clang", "echo 'int main(void) { return 0; }' >c.c; clang -O2 "
                                        "-flto=thin c.c -o c || clang c.c -o c; ./c; echo ok"};

static struct program rust = {
    "rustc", "cat >r.rs <<'EOF'\n"
             "use std::{net::*, process::Command, thread};\n"
             "fn main() { let t = thread::spawn(|| 7); assert_eq!(t.join().unwrap(), 7);\n"
             "  assert!(Command::new(\"true\").status().unwrap().success());\n"
             "  let l = TcpListener::bind(\"127.0.0.1:0\").unwrap(); "
             "TcpStream::connect(l.local_addr().unwrap()).unwrap();\n"
             "  println!(\"ok\"); }\n"
             "EOF\n"
             "rustc r.rs; ./r"};

static struct program perl = {
    "perl", "perl -e 'use Socket; my $p = fork // die; exit 3 unless $p; waitpid $p, 0; die if $? "
            ">> 8 != 3;"
            " socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die; print `echo ok`'"};

static struct program php = {"php", "php -r 'echo shell_exec(\"echo ok\");'"};
static struct program ruby = {"ruby", "ruby -e 'Thread.new { 1 }.join; puts `echo ok`'"};
static struct program mono = {"mono", "mono --version >/dev/null; echo ok"};
static struct program haskell = {
    "ghc", "echo 'main = putStrLn \"ok\"' >h.hs; ghc -threaded h.hs >/dev/null; ./h +RTS -N2"};

#define PROGRAM(which)                                                                             \
    {                                                                                              \
#which, program_works, NULL, NULL, &which                                                  \
    }

static int nothing(const void *unused)
{
    (void)unused;
    return 0;
}

int main(void)
{
    struct seccomp_filter filter = default_filter(0);
    int status = under_filter(&filter, nothing, NULL);
    seccomp_filter_free(&filter);
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_BAD_FILTER) {
        fprintf(stderr, "skipped: a seccomp filter cannot be installed here\n");
        return EXIT_SKIP;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(denied_calls_fail_with_their_errors),
        cmocka_unit_test(the_launcher_keeps_clone3),
#ifdef __x86_64__
        cmocka_unit_test(int_0x80_and_x32_are_filtered),
#endif
        cmocka_unit_test(actions_of_the_file_take_effect),
        PROGRAM(shell),
        PROGRAM(python),
        PROGRAM(node),
        PROGRAM(java),
        PROGRAM(golang),
        PROGRAM(gcc),
        PROGRAM(sanitizers),
        PROGRAM(clang),
        PROGRAM(rust),
        PROGRAM(perl),
        PROGRAM(php),
        PROGRAM(ruby),
        PROGRAM(mono),
        PROGRAM(haskell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

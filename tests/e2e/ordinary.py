"""An ordinary contest program in each first-class language: it reads a number, makes and sorts that many numbers, recurses
deeply, works with four threads where the language has them, and touches 150 MiB of memory (less than the default limit).

What all print: the checksum of the sorted numbers, the depth, four sums, and a byte of the memory."""

C = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
static unsigned *v; static long sums[4];
static int cmp(const void *a, const void *b) { unsigned x = *(unsigned *)a, y = *(unsigned *)b; return x < y ? -1 : x > y; }
static int depth(volatile int n) { return n == 0 ? 0 : 1 + depth(n - 1); }
static void *sum(void *arg) { long k = (long)arg; for (long i = 0; i < 1000; i++) sums[k] += i * k; return NULL; }
int main(void) {
    int n; unsigned long long x = 1, s = 0;
    if (scanf("%d", &n) != 1) return 1;
    v = malloc(n * sizeof *v);
    for (int i = 0; i < n; i++) { x = (x * 1103515245 + 12345) % 2147483648u; v[i] = x; }
    qsort(v, n, sizeof *v, cmp);
    for (int i = 0; i < n; i++) s = (s + (unsigned long long)v[i] * (i % 7)) % 1000000007;
    pthread_t t[4];
    for (long k = 0; k < 4; k++) if (pthread_create(&t[k], NULL, sum, (void *)k)) return 2;
    for (int k = 0; k < 4; k++) pthread_join(t[k], NULL);
    volatile char *m = malloc(150 << 20);
    for (int i = 0; i < 150 << 20; i++) m[i] = 7;
    printf("%llu %d %ld %ld %ld %ld %d\n", s, depth(50000), sums[0], sums[1], sums[2], sums[3], m[100 << 20]);
}
"""

CPP = r"""
#include <algorithm>
#include <iostream>
#include <thread>
#include <vector>
int depth(int n) { return n == 0 ? 0 : 1 + depth(n - 1); }
int main() {
    int n; unsigned long long x = 1, s = 0; std::cin >> n;
    std::vector<unsigned> v(n);
    for (auto &e : v) e = x = (x * 1103515245 + 12345) % 2147483648u;
    std::sort(v.begin(), v.end());
    for (int i = 0; i < n; i++) s = (s + (unsigned long long)v[i] * (i % 7)) % 1000000007;
    long sums[4] = {}; std::vector<std::thread> t;
    for (int k = 0; k < 4; k++) t.emplace_back([&sums, k] { for (long i = 0; i < 1000; i++) sums[k] += i * k; });
    for (auto &e : t) e.join();
    std::vector<char> m(150 << 20, 7);
    std::cout << s << ' ' << depth(50000) << ' ' << sums[0] << ' ' << sums[1] << ' ' << sums[2] << ' ' << sums[3] << ' ' << int(m[100 << 20]) << '\n';
}
"""

PYTHON = r"""
import sys, threading
sys.setrecursionlimit(100000); threading.stack_size(64 << 20)
def depth(n): return 0 if n == 0 else 1 + depth(n - 1)
def main():
    n, x, v = int(input()), 1, []
    for _ in range(n):
        x = (x * 1103515245 + 12345) % 2147483648
        v.append(x)
    v.sort()
    s = sum(e * (i % 7) for i, e in enumerate(v)) % 1000000007
    sums = [0] * 4
    def work(k):
        for i in range(1000): sums[k] += i * k
    t = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for e in t: e.start()
    for e in t: e.join()
    m = bytearray(b"\7") * (150 << 20)
    print(s, depth(50000), *sums, m[100 << 20])
t = threading.Thread(target=main); t.start(); t.join()
"""

JAVA = r"""
import java.util.*;
public class Main {
    static int depth(int n) { return n == 0 ? 0 : 1 + depth(n - 1); }
    public static void main(String[] args) throws Exception {
        int n = new Scanner(System.in).nextInt(); long x = 1, s = 0; int[] v = new int[n];
        for (int i = 0; i < n; i++) { x = (x * 1103515245L + 12345) % 2147483648L; v[i] = (int) x; }
        Arrays.sort(v);
        for (int i = 0; i < n; i++) s = (s + (long) v[i] * (i % 7)) % 1000000007L;
        long[] sums = new long[4]; Thread[] t = new Thread[4];
        for (int k = 0; k < 4; k++) { final int j = k; t[k] = new Thread(() -> { for (long i = 0; i < 1000; i++) sums[j] += i * j; }); t[k].start(); }
        for (Thread e : t) e.join();
        byte[] m = new byte[150 << 20]; Arrays.fill(m, (byte) 7);
        System.out.println(s + " " + depth(50000) + " " + sums[0] + " " + sums[1] + " " + sums[2] + " " + sums[3] + " " + m[100 << 20]);
    }
}
"""

NODE = r"""
const n = parseInt(require("fs").readFileSync(0, "utf8")); let x = 1n, s = 0n;
const v = new Uint32Array(n);
for (let i = 0; i < n; i++) { x = (x * 1103515245n + 12345n) % 2147483648n; v[i] = Number(x); }
v.sort();
for (let i = 0; i < n; i++) s = (s + BigInt(v[i]) * BigInt(i % 7)) % 1000000007n;
function depth(n) { return n === 0 ? 0 : 1 + depth(n - 1); }
const { Worker } = require("worker_threads");
const sums = new Array(4), m = Buffer.alloc(150 << 20, 7); let left = 4;
for (let k = 0; k < 4; k++) {
    const w = new Worker(`let s = 0; for (let i = 0; i < 1000; i++) s += i * ${k}; require("worker_threads").parentPort.postMessage(s);`, { eval: true });
    w.on("message", value => { sums[k] = value; if (--left === 0) console.log(`${s} ${depth(50000)} ${sums.join(" ")} ${m[100 << 20]}`); });
}
"""

GO = r"""
package main
import ("fmt"; "sort"; "sync")
func depth(n int) int { if n == 0 { return 0 }; return 1 + depth(n - 1) }
func main() {
    var n int; fmt.Scan(&n); x, s := uint64(1), uint64(0); v := make([]int, n)
    for i := range v { x = (x * 1103515245 + 12345) % 2147483648; v[i] = int(x) }
    sort.Ints(v)
    for i, e := range v { s = (s + uint64(e) * uint64(i % 7)) % 1000000007 }
    var sums [4]int; var w sync.WaitGroup
    for k := 0; k < 4; k++ { w.Add(1); go func(k int) { defer w.Done(); for i := 0; i < 1000; i++ { sums[k] += i * k } }(k) }
    w.Wait()
    m := make([]byte, 150 << 20); for i := range m { m[i] = 7 }
    fmt.Println(s, depth(50000), sums[0], sums[1], sums[2], sums[3], m[100 << 20])
}
"""

RUST = r"""
use std::thread;
fn depth(n: i32) -> i32 { if n == 0 { 0 } else { 1 + depth(n - 1) } }
fn main() {
    let mut line = String::new(); std::io::stdin().read_line(&mut line).unwrap();
    let n: usize = line.trim().parse().unwrap(); let (mut x, mut s) = (1u64, 0u64); let mut v = Vec::new();
    for _ in 0..n { x = (x * 1103515245 + 12345) % 2147483648; v.push(x as u32); }
    v.sort();
    for (i, e) in v.iter().enumerate() { s = (s + *e as u64 * (i as u64 % 7)) % 1000000007; }
    let t: Vec<_> = (0..4u64).map(|k| thread::spawn(move || (0..1000u64).map(|i| i * k).sum::<u64>())).collect();
    let sums: Vec<u64> = t.into_iter().map(|e| e.join().unwrap()).collect();
    let m = vec![7u8; 150 << 20];
    println!("{} {} {} {} {} {} {}", s, depth(50000), sums[0], sums[1], sums[2], sums[3], m[100 << 20]);
}
"""

BASH = r"""
read -r n; x=1; v=()
for ((i = 0; i < n; i++)); do x=$(((x * 1103515245 + 12345) % 2147483648)); v+=("$x"); done
s=0; i=0
while read -r e; do s=$(((s + e * (i % 7)) % 1000000007)); i=$((i + 1)); done < <(printf '%s\n' "${v[@]}" | sort -n)
depth() { if (($1 == 0)); then d=0; else depth $(($1 - 1)); d=$((d + 1)); fi; }
depth 200
echo "$s $d $(for k in 0 1 2 3; do (t=0; for ((i = 0; i < 1000; i++)); do t=$((t + i * k)); done; echo $t); done | tr '\n' ' ')7"
"""

PROGRAMS = {"c": C, "cpp": CPP, "cpp17": CPP, "cpp20": CPP, "cpp23": CPP, "python": PYTHON, "pypy": PYTHON, "java": JAVA, "node": NODE,
            "go": GO, "rust": RUST, "bash": BASH}


def case(language):
    """(input, expected output)"""
    count, depth = (2000, 200) if language == "bash" else (500000, 50000)
    number, numbers = 1, []
    for _ in range(count):
        number = (number * 1103515245 + 12345) % 2147483648
        numbers.append(number)
    checksum = sum(value * (index % 7) for index, value in enumerate(sorted(numbers))) % 1000000007
    return f"{count}\n", f"{checksum} {depth} {' '.join(str(k * 499500) for k in range(4))} 7"

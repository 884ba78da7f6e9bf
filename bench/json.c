/* How quickly large strings pass through the JSON reader and writer, and what memory they take.
 *
 * Speeds are of the document's bytes in the CPU time of the thread, the best of all rounds; the ratio is
 * to memcpy(3) of the same document in the same rounds. Memory is the growth of the resident set from
 * before the document was there to its peak, divided by the document's size. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/json_reader.h"
#include "base/json_writer.h"
#include "options.h"

struct config {
    bool json, goals, help;
    uint64_t size, rounds;
};

static const struct option_spec specs[] = {
    {.name = "size",
     .type = OPTION_SIZE,
     .offset = offsetof(struct config, size),
     .default_text = "64m",
     .help = "bytes of each string"},
    {.name = "rounds",
     .type = OPTION_COUNT,
     .offset = offsetof(struct config, rounds),
     .default_text = "5",
     .help = "measurements of each kind, of which the best counts"},
    BENCH_OPTIONS,
};
static const struct option_table table = {.specs = specs, .count = COUNT_OF(specs)};

enum operation { READ, READ_STRICTLY, SKIP, WRITE };

/* A string made of one piece again and again: as it stands in a document, or as it is before it is
 * written. */
struct subject {
    const char *name;
    enum operation operation;
    const char *piece;
    double speed_goal, memory_goal; /* at least MB/s, at most times the size; 0: none */
};

#define LINE "0123456789 bcdefghi "

static const struct subject subjects[] = {
    {"read ASCII", READ, LINE, 500, 2.5},
    {"read lines of 20 bytes, \\n", READ, LINE "\\n", 500, 2.5},
    {"read UTF-8, 2 bytes each", READ, "\xc3\xa9\xc3\xa0", 500, 2.5},
    {"read UTF-8, 3 bytes each", READ, "\xe4\xb8\xad\xe6\x96\x87", 500, 2.5},
    {"read UTF-8, words of both", READ, "caf\xc3\xa9 stra\xc3\x9f\x65 na\xc3\xafve ", 500, 2.5},
    {"read UTF-8, rejecting", READ_STRICTLY, "\xe4\xb8\xad\xe6\x96\x87 abc ", 500, 2.5},
    {"read numbers, lines", READ, "123456 7890 12\\n", 500, 2.5},
    {"read \\uXXXX", READ, "\\u4e2d\\u00e9", 0, 2.5},
    {"read invalid UTF-8", READ, "caf\xe9 ", 0, 2.5},
    {"skip ASCII", SKIP, LINE, 500, 2.5},
    {"write ASCII", WRITE, LINE, 500, 0},
    {"write lines of 20 bytes", WRITE, LINE "\n", 500, 0},
    {"write UTF-8, 3 bytes each", WRITE, "\xe4\xb8\xad\xe6\x96\x87", 500, 0},
    {"write HTML", WRITE, "<p>a &amp; b</p>\n", 0, 0},
    {"write invalid UTF-8", WRITE, "caf\xe9 ", 0, 0},
};

struct outcome {
    double speed;  /* MB/s */
    double ratio;  /* to memcpy */
    double memory; /* times the document's size */
};

NORETURN static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- memory ---- */

/* The resident set's peak since it was reset, in bytes. */
static uint64_t peak_bytes(void)
{
    char text[4096];
    if (read_file_at(AT_FDCWD, "/proc/self/status", text, sizeof(text)) < 0)
        die("/proc/self/status");
    const char *line = strstr(text, "VmHWM:");
    return line == NULL ? 0 : strtoull(line + strlen("VmHWM:"), NULL, 10) * 1024;
}

/* "5" sets the peak to what is resident now: proc(5). */
static uint64_t reset_peak(void)
{
    auto_fd int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "5", 1) != 1)
        die("/proc/self/clear_refs");
    return peak_bytes();
}

/* Pages of their own, none of them resident. */
static char *pages(size_t size)
{
    char *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        die("mmap");
    return data;
}

/* ---- one measurement ---- */

struct document {
    char *data;
    size_t size;
};

static const char head[] = "{\"cmd\":[{\"files\":[{\"content\":\"";
static const char tail[] = "\"}]}]}";

/* The pieces; inside a request unless they are to be written. */
static void make_document(const struct subject *subject, size_t size, struct document *document)
{
    size_t piece = strlen(subject->piece);
    size_t count = size / piece;
    bool bare = subject->operation == WRITE;
    document->data = pages(sizeof(head) + sizeof(tail) + count * piece);
    char *next = bare ? document->data : stpcpy(document->data, head);
    for (size_t i = 0; i < count; i++)
        next = mempcpy(next, subject->piece, piece);
    if (!bare)
        next = stpcpy(next, tail);
    document->size = (size_t)(next - document->data);
}

/* Reads the first content of the first command. Returns its size. */
static size_t read_content(struct json_reader *json)
{
    struct json_text text = {0};
    json_read_object(json);
    json_next_key(json, &text);
    json_read_array(json);
    json_next_item(json);
    json_read_object(json);
    json_next_key(json, &text);
    json_read_array(json);
    json_next_item(json);
    json_read_object(json);
    json_next_key(json, &text);
    json_read_string(json, &text);
    return text.size;
}

static void parse(const struct subject *subject, const struct document *document)
{
    struct cj_error err;
    auto_json_reader struct json_reader json;
    json_reader_init(&json, document->data, document->size,
                     subject->operation == READ_STRICTLY ? JSON_REJECT_INVALID_UTF8 : 0);
    if (subject->operation == SKIP)
        json_skip(&json);
    else if (read_content(&json) < document->size / 6)
        abort();
    if (json_reader_check(&json, &err) < 0) {
        fprintf(stderr, "%s: %s\n", subject->name, err.message);
        exit(1);
    }
}

static void print(const struct document *document)
{
    auto_buf struct buf buf = {0};
    struct json_writer json = json_writer_to(&buf, JSON_COMPACT);
    json_string_bytes(&json, document->data, document->size);
    if (buf_check(&buf, NULL) < 0 || buf.size < document->size)
        abort();
}

static void operate(const struct subject *subject, const struct document *document)
{
    if (subject->operation == WRITE)
        print(document);
    else
        parse(subject, document);
}

static double megabytes_per_second(size_t size, int64_t ns)
{
    return (double)size * 1e3 / (double)ns;
}

/* Both speeds, from the best of the rounds. Reading changes the document, so that each round copies it
 * first, which is also the baseline. */
static void measure_speed(const struct subject *subject, uint64_t size, uint64_t rounds,
                          struct outcome *outcome)
{
    struct document original, copy;
    double copied = 0;
    make_document(subject, size, &original);
    copy = (struct document){pages(original.size), original.size};
    memset(copy.data, 1, copy.size);
    for (uint64_t round = 0; round < rounds; round++) {
        int64_t begin = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        memcpy(copy.data, original.data, original.size);
        int64_t middle = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        operate(subject, &copy);
        int64_t end = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        double copy_speed = megabytes_per_second(copy.size, middle - begin);
        double speed = megabytes_per_second(copy.size, end - middle);
        copied = copy_speed > copied ? copy_speed : copied;
        outcome->speed = speed > outcome->speed ? speed : outcome->speed;
    }
    outcome->ratio = outcome->speed / copied;
    munmap(original.data, original.size);
    munmap(copy.data, copy.size);
}

static void measure_memory(const struct subject *subject, uint64_t size, struct outcome *outcome)
{
    struct document document;
    uint64_t before = reset_peak();
    make_document(subject, size, &document);
    operate(subject, &document);
    outcome->memory = (double)(peak_bytes() - before) / (double)document.size;
    munmap(document.data, document.size);
}

/* ---- report ---- */

static void print_text(const struct outcome *outcomes)
{
    printf("%-28s %9s %9s %9s %9s\n", "", "MB/s", "goal", "/ memcpy", "memory");
    for (size_t i = 0; i < COUNT_OF(subjects); i++) {
        char goal[16] = "-";
        if (subjects[i].speed_goal > 0)
            snprintf(goal, sizeof(goal), "%.0f", subjects[i].speed_goal);
        printf("%-28s %9.0f %9s %9.3f %9.2f\n", subjects[i].name, outcomes[i].speed, goal,
               outcomes[i].ratio, outcomes[i].memory);
    }
}

static void print_json(const struct outcome *outcomes)
{
    auto_buf struct buf buf = {0};
    struct json_writer json = json_writer_to(&buf, JSON_PRETTY);
    json_object_begin(&json);
    for (size_t i = 0; i < COUNT_OF(subjects); i++) {
        json_key(&json, subjects[i].name);
        json_object_begin(&json);
        json_key(&json, "megabytes_per_second");
        json_double(&json, outcomes[i].speed);
        json_key(&json, "ratio_to_memcpy");
        json_double(&json, outcomes[i].ratio);
        json_key(&json, "memory_ratio");
        json_double(&json, outcomes[i].memory);
        json_object_end(&json);
    }
    json_object_end(&json);
    printf("%.*s\n", (int)buf.size, buf.data);
}

static int check_goals(const struct outcome *outcomes)
{
    int missed = 0;
    for (size_t i = 0; i < COUNT_OF(subjects); i++) {
        const struct subject *subject = &subjects[i];
        bool slow = outcomes[i].speed < subject->speed_goal;
        bool large = subject->memory_goal > 0 && outcomes[i].memory > subject->memory_goal;
        if (slow || large)
            fprintf(stderr, "goal missed: %s\n", subject->name);
        missed += slow || large;
    }
    return missed;
}

int main(int argc, char **argv)
{
    struct config config = {0};
    bench_options_load(&table, argc, argv, &config, &config.help);
    static struct outcome outcomes[COUNT_OF(subjects)];
    for (size_t i = 0; i < COUNT_OF(subjects); i++) {
        measure_speed(&subjects[i], config.size, config.rounds, &outcomes[i]);
        measure_memory(&subjects[i], config.size, &outcomes[i]);
    }
    if (config.json)
        print_json(outcomes);
    else
        print_text(outcomes);
    return config.goals && check_goals(outcomes) > 0;
}

/* cjudge: runs untrusted programs safely and judges them. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/attr.h"
#include "command.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"run", cmd_run, "run one program in the sandbox, with limits, and say what it used"},
    {"serve", cmd_serve, "serve clients of go-judge over HTTP"},
    {"top", cmd_top, "show where the time of a running service goes"},
    {"languages", cmd_languages, "say which languages are installed, and check that they work"},
    {"doctor", cmd_doctor, "say what this host allows, what is missing, and how to mend it"},
    {"version", cmd_version, "print the version"},
};

static void usage(FILE *out)
{
    fprintf(out, "usage: cjudge COMMAND [OPTION]...\n\n");
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
    fprintf(out, "\ncjudge COMMAND --help describes a command.\n");
}

int cmd_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("cjudge %s\n", CJUDGE_VERSION);
    return 0;
}

/* A standard descriptor that the caller closed would be the number of the next file we open, and what
 * a program writes would go there. */
static void fill_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            _exit(EXIT_OURS);
}

/* A limit on the caller's files holds for our memory files, too. What cannot be lifted is an error to tell, not an end by
 * SIGXFSZ, which would look like a program's. */
static void lift_file_size(void)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    if (getrlimit(RLIMIT_FSIZE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_FSIZE, &limit);
}

/* What the C library still holds of our answers: help, version. */
static int finish(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    perror("cjudge: write");
    return status != 0 ? status : EXIT_OURS;
}

int main(int argc, char **argv)
{
    fill_standard_descriptors();
    lift_file_size();
    signal(SIGCHLD, SIG_DFL); /* ignored, as some parents leave it, no child could be waited for */
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-help") == 0 || strcmp(name, "-h") == 0 ||
        strcmp(name, "help") == 0) {
        usage(stdout);
        return finish(0);
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-version") == 0)
        name = "version";
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (strcmp(name, commands[i].name) == 0)
            return finish(commands[i].run(argc - 1, argv + 1));
    if (*name != '\0')
        fprintf(stderr, "cjudge: no command '%s'\n\n", name);
    usage(stderr);
    return EXIT_OURS;
}

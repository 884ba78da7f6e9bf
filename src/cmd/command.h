/* The subcommands of cjudge: one function each, called with argv[0] = its name. */
#ifndef CJ_CMD_COMMAND_H
#define CJ_CMD_COMMAND_H

/* Exit statuses of cjudge itself, beside those of the programs it runs. */
enum {
    EXIT_OURS = 125,       /* cjudge failed: bad arguments, no sandbox */
    EXIT_TIME_LIMIT = 124, /* as timeout(1) */
    EXIT_MEMORY_LIMIT = 137,
    EXIT_SIGNAL_BASE = 128,
};

int cmd_doctor(int argc, char **argv);
int cmd_languages(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_version(int argc, char **argv);

#endif

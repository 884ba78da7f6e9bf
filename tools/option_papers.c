/* Prints the options of a subcommand as its papers hold them, for tools/check-options:
 *
 *     option_papers                       the names of the subcommands
 *     option_papers NAME markdown|mdoc    the part of docs/NAME.md or of man/cjudge-NAME.1 */
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/options.h"
#include "settings.h"

extern const struct option_table languages_option_table, run_option_table, top_option_table;

int main(int argc, char **argv)
{
    const struct {
        const char *name;
        const struct option_table *table;
    } commands[] = {
        {"languages", &languages_option_table},
        {"run", &run_option_table},
        {"serve", settings_table()},
        {"top", &top_option_table},
    };
    auto_buf struct buf text = {0};
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        if (argc != 3)
            buf_printf(&text, "%s\n", commands[i].name);
        else if (strcmp(argv[1], commands[i].name) == 0 && strcmp(argv[2], "mdoc") == 0)
            options_mdoc(commands[i].table, &text);
        else if (strcmp(argv[1], commands[i].name) == 0)
            options_markdown(commands[i].table, &text);
    }
    return fwrite(text.data, 1, text.size, stdout) == text.size ? 0 : 1;
}

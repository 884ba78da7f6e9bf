/* One table of options: --help, Markdown and mdoc(7). */
#include <stdio.h>
#include <string.h>

#include "base/options.h"

enum { LABEL_COLUMN = 2, HELP_COLUMN = 30, WIDTH_MIN = 50 };

static const char *status_note(const struct option_spec *spec)
{
    switch (spec->status) {
    case OPTION_WORKS:
        break;
    case OPTION_PLANNED:
        return "accepted, not built yet";
    case OPTION_NO_EFFECT:
        return "accepted, no effect here";
    }
    return NULL;
}

static void append_choices(const struct option_spec *spec, struct buf *out)
{
    for (size_t i = 0; spec->choices[i] != NULL; i++)
        buf_printf(out, "%s%s", i > 0 ? "|" : "", spec->choices[i]);
}

/* What stands for the value behind the option; nothing for booleans. */
static void append_metavar(const struct option_spec *spec, struct buf *out)
{
    static const char *const by_type[] = {
        [OPTION_STRING] = "TEXT", [OPTION_LIST] = "A,B,...",  [OPTION_COUNT] = "N",
        [OPTION_SIZE] = "SIZE",   [OPTION_DURATION] = "TIME", [OPTION_REPEAT] = "TEXT",
    };
    if (spec->metavar != NULL)
        buf_append_text(out, spec->metavar);
    else if (spec->type == OPTION_CHOICE)
        append_choices(spec, out);
    else if (spec->type != OPTION_BOOL)
        buf_append_text(out, by_type[spec->type]);
}

/* What a reader should know as the default, or NULL when it is "off", "none" or not worth a word.
 */
static const char *shown_default(const struct option_spec *spec)
{
    if (spec->default_note != NULL)
        return spec->default_note;
    if (spec->default_text == NULL || spec->default_text[0] == '\0')
        return NULL;
    if (spec->type == OPTION_BOOL && strcmp(spec->default_text, "false") == 0)
        return NULL;
    return spec->default_text;
}

/* A small table may do without headings of its own. */
static const char *group_of(const struct option_spec *spec)
{
    return spec->group != NULL ? spec->group : "Options";
}

/* Whether a heading goes before this option. */
static bool begins_group(const struct option_table *table, size_t index)
{
    const struct option_spec *specs = table->specs;
    return index == 0 || strcmp(group_of(&specs[index]), group_of(&specs[index - 1])) != 0;
}

/* ---- --help ---- */

static void append_spaces(struct buf *out, size_t count)
{
    while (count-- > 0)
        buf_append_char(out, ' ');
}

/* Appends words from column on, breaking lines before width. */
static void append_wrapped(struct buf *out, size_t column, size_t width, const char *words)
{
    size_t at = column;
    while (*words != '\0') {
        size_t length = strcspn(words, " ");
        if (at > column && at + 1 + length > width) {
            buf_append_char(out, '\n');
            append_spaces(out, column);
            at = column;
        }
        if (at > column) {
            buf_append_char(out, ' ');
            at++;
        }
        buf_append(out, words, length);
        at += length;
        words += length;
        words += strspn(words, " ");
    }
    buf_append_char(out, '\n');
}

/* The help with its default and status in brackets, as a NUL-terminated text. */
static void describe(const struct option_spec *spec, struct buf *out)
{
    buf_append_text(out, spec->help);
    if (shown_default(spec) != NULL)
        buf_printf(out, " (default: %s)", shown_default(spec));
    if (status_note(spec) != NULL)
        buf_printf(out, " [%s]", status_note(spec));
    buf_append_char(out, '\0');
}

static void help_option(const struct option_spec *spec, size_t width, struct buf *out)
{
    auto_buf struct buf label = {0};
    buf_printf(&label, "-%s ", spec->name);
    append_metavar(spec, &label);
    while (label.size > 0 && label.data[label.size - 1] == ' ')
        buf_cut(&label, label.size - 1);
    append_spaces(out, LABEL_COLUMN);
    buf_append(out, label.data, label.size);
    if (LABEL_COLUMN + label.size + 2 > HELP_COLUMN) {
        buf_append_char(out, '\n');
        append_spaces(out, HELP_COLUMN);
    } else {
        append_spaces(out, HELP_COLUMN - LABEL_COLUMN - label.size);
    }
    auto_buf struct buf words = {0};
    describe(spec, &words);
    if (buf_check(&words, NULL) == 0)
        append_wrapped(out, HELP_COLUMN, width, words.data);
}

void options_help(const struct option_table *table, unsigned width, struct buf *out)
{
    if (width < WIDTH_MIN)
        width = WIDTH_MIN;
    for (size_t i = 0; i < table->count; i++) {
        if (begins_group(table, i))
            buf_printf(out, "%s%s:\n", i > 0 ? "\n" : "", group_of(&table->specs[i]));
        help_option(&table->specs[i], width, out);
    }
}

/* ---- Markdown ---- */

/* Cells of a table: a bar would end them. */
static void markdown_cell(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|')
            buf_append_char(out, '\\');
        buf_append_char(out, *text);
    }
}

static void markdown_option(const struct option_table *table, const struct option_spec *spec,
                            struct buf *out)
{
    auto_buf struct buf value = {0};
    append_metavar(spec, &value);
    buf_append_char(&value, '\0');
    if (buf_check(&value, NULL) < 0)
        return;
    buf_printf(out, "| `-%s", spec->name);
    if (value.size > 1) {
        buf_append_char(out, ' ');
        markdown_cell(out, value.data);
    }
    buf_append_text(out, "` | ");
    if (!spec->not_in_environment && table->env_prefix != NULL) {
        char name[128];
        options_env_name(table, spec, name, sizeof(name));
        buf_printf(out, "`%s`", name);
    }
    buf_append_text(out, " | ");
    if (shown_default(spec) != NULL)
        markdown_cell(out, shown_default(spec));
    buf_append_text(out, " | ");
    markdown_cell(out, spec->help);
    if (status_note(spec) != NULL)
        buf_printf(out, " (%s)", status_note(spec));
    buf_append_text(out, " |\n");
}

void options_markdown(const struct option_table *table, struct buf *out)
{
    for (size_t i = 0; i < table->count; i++) {
        if (begins_group(table, i))
            buf_printf(out, "%s### %s\n\n| option | variable | default | |\n|---|---|---|---|\n",
                       i > 0 ? "\n" : "", group_of(&table->specs[i]));
        markdown_option(table, &table->specs[i], out);
    }
}

/* ---- mdoc ---- */

/* Words as roff text: backslashes and dashes as they are, no word that roff reads as a request. */
static void mdoc_text(struct buf *out, const char *text)
{
    if (*text == '.' || *text == '\'')
        buf_append_text(out, "\\&");
    for (; *text != '\0'; text++) {
        if (*text == '\\')
            buf_append_text(out, "\\e");
        else if (*text == '-')
            buf_append_text(out, "\\-");
        else
            buf_append_char(out, *text);
    }
}

static void mdoc_option(const struct option_spec *spec, struct buf *out)
{
    auto_buf struct buf value = {0};
    append_metavar(spec, &value);
    buf_append_char(&value, '\0');
    if (buf_check(&value, NULL) < 0)
        return;
    buf_append_text(out, ".It Fl ");
    mdoc_text(out, spec->name);
    if (value.size > 1) {
        buf_append_text(out, " Ar ");
        mdoc_text(out, value.data);
    }
    buf_append_char(out, '\n');
    mdoc_text(out, spec->help);
    buf_append_char(out, '\n');
    if (shown_default(spec) != NULL) {
        buf_append_text(out, "(default: ");
        mdoc_text(out, shown_default(spec));
        buf_append_text(out, ")\n");
    }
    if (status_note(spec) != NULL)
        buf_printf(out, "[%s]\n", status_note(spec));
}

void options_mdoc(const struct option_table *table, struct buf *out)
{
    for (size_t i = 0; i < table->count; i++) {
        if (begins_group(table, i))
            buf_printf(out, "%s.Ss %s\n.Bl -tag -width Ds\n", i > 0 ? ".El\n" : "",
                       group_of(&table->specs[i]));
        mdoc_option(&table->specs[i], out);
    }
    if (table->count > 0)
        buf_append_text(out, ".El\n");
}

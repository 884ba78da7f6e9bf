#include "api/language_json.h"

static void write_list(struct json_writer *json, const char *key,
                       const struct language_texts *texts)
{
    json_key(json, key);
    json_array_begin(json);
    for (size_t i = 0; i < texts->count; i++)
        json_string(json, texts->items[i]);
    json_array_end(json);
}

static void write_text(struct json_writer *json, const char *key, const char *text)
{
    json_key(json, key);
    if (text != NULL && text[0] != '\0')
        json_string(json, text);
    else
        json_null(json);
}

void language_json_write(struct json_writer *json, const struct language *language,
                         const struct language_facts *facts)
{
    write_text(json, "id", language->id);
    write_text(json, "name", language->name);
    write_list(json, "aliases", &language->aliases);
    write_text(json, "source", language->source);
    json_key(json, "installed");
    json_bool(json, facts->installed);
    write_text(json, "missing", facts->missing);
    write_text(json, "version", facts->version);
    write_list(json, "packages", &language->packages);
    json_key(json, "first_class");
    json_bool(json, language->first_class);
}

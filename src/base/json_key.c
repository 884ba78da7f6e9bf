/* Which field a key of a JSON object means. */
#include <string.h>

#include "base/json_reader.h"
#include "base/utf8.h"

bool json_text_equal(struct json_text text, const char *other)
{
    return text.size == strlen(other) && memcmp(text.data, other, text.size) == 0;
}

/* What ASCII character Unicode's simple case folding makes of another; 0 when it makes none. */
static char fold(uint32_t character)
{
    if (character >= 'A' && character <= 'Z')
        return (char)(character | 0x20);
    if (character == 0x17f) /* long s */
        return 's';
    if (character == 0x212a) /* the sign of Kelvin */
        return 'k';
    return character < 0x80 ? (char)character : '\0';
}

bool json_key_is(struct json_text key, const char *name)
{
    const uint8_t *next = (const uint8_t *)key.data;
    const uint8_t *end = next + key.size;
    for (; next < end && *name != '\0'; name++) {
        uint32_t character = 0;
        size_t length = utf8_decode(next, (size_t)(end - next), &character);
        char folded = length == 0 ? '\0' : fold(character);
        if (folded == '\0' || folded != fold((uint8_t)*name))
            return false;
        next += length;
    }
    return next == end && *name == '\0';
}

int json_key_find(struct json_text key, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (json_text_equal(key, names[i]))
            return (int)i;
    for (size_t i = 0; i < count; i++)
        if (json_key_is(key, names[i]))
            return (int)i;
    return -1;
}

/* UTF-8, as the Unicode standard defines it (no surrogates, no overlong forms, at most U+10FFFF).
 */
#ifndef CJ_BASE_UTF8_H
#define CJ_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The bytes (1 to 4) of the valid character at data, or 0 when its first byte begins none within
 * size bytes. *character (or NULL) gets the code point. size is at least 1. */
static inline size_t utf8_decode(const uint8_t *data, size_t size, uint32_t *character)
{
    uint8_t first = data[0];
    if (first < 0x80) {
        if (character != NULL)
            *character = first;
        return 1;
    }
    size_t length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (length == 0 || length > size)
        return 0;
    uint32_t value = first & (0x7fU >> length);
    for (size_t i = 1; i < length; i++) {
        if ((data[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (data[i] & 0x3fU);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (value < least[length] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    if (character != NULL)
        *character = value;
    return length;
}

#endif

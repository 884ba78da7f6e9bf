/* UTF-8, as the Unicode standard defines it (no surrogates, no overlong forms, at most U+10FFFF).
 */
#ifndef CJ_BASE_UTF8_H
#define CJ_BASE_UTF8_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

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

/* The same length without the code point, and quicker for long texts: the four bytes at data are
 * looked at as one number, the first in its lowest bits. */
static inline size_t utf8_length(const uint8_t *data, size_t size)
{
    if (size < 4)
        return utf8_decode(data, size, NULL);
    uint32_t four;
    memcpy(&four, data, sizeof(four));
    four = le32toh(four);
    if ((four & 0x80) == 0)
        return 1;
    if ((four & 0xc0c0f0) == 0x8080e0) {
        uint32_t range =
            four & 0x200f; /* less is overlong (e0 80), the other a surrogate (ed a0) */
        return range != 0 && range != 0x200d ? 3 : 0;
    }
    if ((four & 0xc0e0) == 0x80c0)
        return (four & 0x1e) != 0 ? 2 : 0; /* c0 and c1 are overlong */
    if ((four & 0xc0c0c0f8) != 0x808080f0)
        return 0;
    uint32_t range = four & 0x3007; /* f0 80 is overlong, f4 90 is above U+10FFFF */
    return range != 0 && ((four & 7) < 4 || range == 4) ? 4 : 0;
}

/* Writes the character, which is no surrogate and at most U+10FFFF. Returns its bytes, 1 to 4. */
static inline size_t utf8_encode(uint32_t character, uint8_t data[static 4])
{
    if (character < 0x80) {
        data[0] = (uint8_t)character;
        return 1;
    }
    size_t length = character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, character >>= 6)
        data[i] = (uint8_t)(0x80 | (character & 0x3f));
    data[0] = (uint8_t)(0xf00U >> length | character);
    return length;
}

/* The bytes at data that are valid UTF-8, up to the first that begins no character. */
size_t utf8_span(const uint8_t *data, size_t size);

#endif

/* UTF-8 in bulk. */
#include "base/utf8.h"

#include "swar.h"

size_t utf8_span(const uint8_t *data, size_t size)
{
    size_t i = 0;
    for (;;) {
        while (size - i >= 8 && (swar_load(data + i) & SWAR_TOPS) == 0)
            i += 8;
        do {
            if (i == size)
                return size;
            size_t length = utf8_length(data + i, size - i);
            if (length == 0)
                return i;
            i += length;
        } while (i == size || data[i] >= 0x80);
    }
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/utf8.h"

static void every_character_is_encoded_and_decoded(void **state)
{
    (void)state;
    for (uint32_t character = 0; character < 0x110000; character++) {
        uint8_t bytes[4];
        uint32_t decoded = 0;
        if (character == 0xd800)
            character = 0xe000;
        size_t length = utf8_encode(character, bytes);
        assert_int_equal(utf8_decode(bytes, length, &decoded), length);
        assert_int_equal(decoded, character);
    }
}

/* The quick length is the decoder's: for all leading bytes, and what follows at the edges of ranges. */
static void the_length_is_the_decoders(void **state)
{
    (void)state;
    static const uint8_t edges[] = {0,    0x7f, 0x80, 0x81, 0x8f, 0x90, 0x9f,
                                    0xa0, 0xbf, 0xc0, 0xdf, 0xe0, 0xf0, 0xff};
    for (uint32_t first = 0; first < 256; first++)
        for (uint32_t second = 0; second < 256; second++)
            for (size_t third = 0; third < COUNT_OF(edges); third++)
                for (size_t fourth = 0; fourth < COUNT_OF(edges); fourth++) {
                    const uint8_t bytes[] = {(uint8_t)first, (uint8_t)second, edges[third],
                                             edges[fourth], 0x80};
                    for (size_t size = 1; size <= sizeof(bytes); size++)
                        if (utf8_length(bytes, size) != utf8_decode(bytes, size, NULL))
                            fail_msg("%02x %02x %02x %02x, %zu bytes", bytes[0], bytes[1], bytes[2],
                                     bytes[3], size);
                }
}

static void a_span_ends_at_the_first_invalid_byte(void **state)
{
    (void)state;
    static const char *const fillers[] = {"x", "\xc3\xa9", "\xe4\xb8\xad", "\xf0\x9f\x98\x80"};
    for (size_t filler = 0; filler < COUNT_OF(fillers); filler++)
        for (size_t ascii = 0; ascii < 20; ascii++)
            for (size_t count = 0; count < 20; count++) {
                uint8_t text[128];
                size_t size = ascii;
                memset(text, 'a', ascii);
                for (size_t i = 0; i < count; i++) {
                    memcpy(text + size, fillers[filler], strlen(fillers[filler]));
                    size += strlen(fillers[filler]);
                }
                assert_int_equal(utf8_span(text, size), size);
                memcpy(text + size, "\xe4\xb8z", 3);
                assert_int_equal(utf8_span(text, size + 2), size);
                assert_int_equal(utf8_span(text, size + 3), size);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_is_encoded_and_decoded),
        cmocka_unit_test(the_length_is_the_decoders),
        cmocka_unit_test(a_span_ends_at_the_first_invalid_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

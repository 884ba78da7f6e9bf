/* Whether a function can be given other first bytes, by what stands behind it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "stub.h"

enum { CODE_MAX = STUB_PATCH_SIZE + STUB_FILLER_MAX, OTHERS = 0x55 };

static const struct {
    const char *what;
    uint64_t size;
    uint8_t behind[STUB_FILLER_MAX];
    bool fits;
} functions[] = {
    {"long enough", STUB_PATCH_SIZE, {OTHERS}, true},
    {"longer", 1000, {OTHERS}, true},
    {"of no size", 0, {0x90}, false},
    {"a jump to another, filled up", 9, {0x0f, 0x1f, 0x80, 0, 0, 0, 0, 0xf3}, true},
    {"a jump to another, and the next", 9, {0xf3, 0x0f, 0x1e, 0xfa}, false},
    {"one byte short, filled up", STUB_PATCH_SIZE - 1, {0x90, OTHERS}, true},
    {"one byte short, the next", STUB_PATCH_SIZE - 1, {OTHERS}, false},
    {"filled up by half", 8, {0x66, 0x90, OTHERS}, false},
    {"two bytes", 10, {0x66, 0x90, OTHERS}, true},
    {"three", 9, {0x0f, 0x1f, 0x00, OTHERS}, true},
    {"four", 8, {0x0f, 0x1f, 0x40, 0x00, OTHERS}, true},
    {"five", 7, {0x0f, 0x1f, 0x44, 0x00, 0x00, OTHERS}, true},
    {"six", 6, {0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00, OTHERS}, true},
    {"eight", 5, {0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0, OTHERS}, true},
    {"ten", 5, {0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0, OTHERS}, true},
    {"eight, and one is missing", 3, {0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0, OTHERS}, false},
    {"traps", 5, {0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, OTHERS}, true},
    {"prefixes of something else", 9, {0x66, 0x66, 0x66, 0x66, 0xe8}, false},
    {"prefixes without an end",
     5,
     {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
      0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66},
     false},
};

static void what_stands_behind_stays(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        uint8_t code[CODE_MAX];
        memset(code, OTHERS, sizeof(code));
        if (functions[i].size < STUB_PATCH_SIZE)
            memcpy(code + functions[i].size, functions[i].behind, sizeof(functions[i].behind));
        if (stub_patch_fits(code, functions[i].size) != functions[i].fits)
            fail_msg("%s: %d", functions[i].what, !functions[i].fits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_stands_behind_stays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

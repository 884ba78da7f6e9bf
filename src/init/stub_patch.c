/* Whether a function of somebody else's can be given other first bytes. */
#include <stdbool.h>

#include "stub.h"

/* The length of an instruction that compilers put between functions and that does nothing, prefixes and all; 0: it is none.
 * Intel SDM volume 2, NOP. */
static unsigned filler_length(const uint8_t *code)
{
    enum { OPERAND_SIZE = 0x66, SEGMENT = 0x2e, NOP = 0x90, TRAP = 0xcc, WITH_INDEX = 4 };
    unsigned length = 0;
    if (code[0] == TRAP)
        return 1;
    while (length < STUB_FILLER_MAX - 8 &&
           (code[length] == OPERAND_SIZE || code[length] == SEGMENT))
        length++;
    if (code[length] == NOP)
        return length + 1;
    if (code[length] != 0x0f || code[length + 1] != 0x1f)
        return 0;
    unsigned mode = code[length + 2] >> 6, index = (code[length + 2] & 7) == WITH_INDEX ? 1 : 0;
    return length + 3 + index + (mode == 1 ? 1 : mode == 2 ? 4 : 0);
}

bool stub_patch_fits(const uint8_t *code, uint64_t size)
{
    while (size > 0 && size < STUB_PATCH_SIZE) {
        unsigned length = filler_length(code + size);
        if (length == 0)
            return false;
        size += length;
    }
    return size > 0;
}

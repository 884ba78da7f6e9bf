/* Bytes eight at a time, in plain C: which of them have a property ("SIMD within a register").
 *
 * Of a result, the top bit of byte n is set when the n-th byte in memory has the property. That holds
 * up to and with the first such byte; a borrow can make those behind it look so, too. Results may be
 * joined by |, because the first byte of a union is the first of one of them. */
#ifndef CJ_BASE_SWAR_H
#define CJ_BASE_SWAR_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SWAR_ONES UINT64_C(0x0101010101010101)
#define SWAR_TOPS UINT64_C(0x8080808080808080) /* & bytes: those that are not ASCII */

static inline uint64_t swar_load(const uint8_t *data)
{
    uint64_t bytes;
    memcpy(&bytes, data, sizeof(bytes));
    return le64toh(bytes);
}

/* Bytes below limit, which is 1 to 128. */
static inline uint64_t swar_below(uint64_t bytes, uint8_t limit)
{
    return (bytes - SWAR_ONES * limit) & ~bytes & SWAR_TOPS;
}

static inline uint64_t swar_equal(uint64_t bytes, uint8_t byte)
{
    return swar_below(bytes ^ SWAR_ONES * byte, 1);
}

/* The index of the first byte found; found is not 0. */
static inline size_t swar_first(uint64_t found)
{
    return (size_t)__builtin_ctzll(found) / 8;
}

#endif

/*
 * Parts of a vector of 16-bit and 8-bit elements, for ISAs that have no masks for them: through 64-bit words, since a copy of
 * so many bytes as a variable says would be a call.
 */
#ifndef NORMA_PART_H
#define NORMA_PART_H

#include <stdint.h>
#include <string.h>

/* The first `count` elements, 0 to 4, the rest 0; no other byte is read. */
static inline uint64_t simd_load_part16(const uint16_t *p, int count)
{
    uint64_t word = 0;
    if (count >= 4) {
        memcpy(&word, p, sizeof word);
        return word;
    }
    if (count & 2) {
        uint32_t two;
        memcpy(&two, p, sizeof two);
        word = two;
    }
    return count & 1 ? word | (uint64_t)p[count & 2] << (count & 2 ? 32 : 0) : word;
}

/* Likewise; no other byte is written. */
static inline void simd_store_part16(uint16_t *p, uint64_t word, int count)
{
    if (count >= 4) {
        memcpy(p, &word, sizeof word);
        return;
    }
    if (count & 2) {
        const uint32_t two = (uint32_t)word;
        memcpy(p, &two, sizeof two);
    }
    if (count & 1) {
        p[count & 2] = (uint16_t)(word >> (count & 2 ? 32 : 0));
    }
}

/* The first `count` bytes, 0 to 8, the rest 0; no other byte is read. */
static inline uint64_t simd_load_bytes(const void *p, int count)
{
    const uint8_t *bytes = p;
    uint64_t word = 0;
    if (count >= 8) {
        memcpy(&word, p, sizeof word);
        return word;
    }
    if (count & 4) {
        uint32_t four;
        memcpy(&four, p, sizeof four);
        word = four;
    }
    for (int i = count & 4; i < count; i++) {
        word |= (uint64_t)bytes[i] << 8 * i;
    }
    return word;
}

/* Likewise; no other byte is written. */
static inline void simd_store_bytes(void *p, uint64_t word, int count)
{
    uint8_t *bytes = p;
    if (count >= 8) {
        memcpy(p, &word, sizeof word);
        return;
    }
    if (count & 4) {
        const uint32_t four = (uint32_t)word;
        memcpy(p, &four, sizeof four);
    }
    for (int i = count & 4; i < count; i++) {
        bytes[i] = (uint8_t)(word >> 8 * i);
    }
}

#endif

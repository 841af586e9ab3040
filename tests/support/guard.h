/* Buffers between two pages that no one may touch. */
#ifndef NORMA_TEST_GUARD_H
#define NORMA_TEST_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/* Which end of the data lies next to its page. A read or write past that end is a SIGSEGV; a write past the other one is found
 * by guard_intact(). */
typedef enum guard_side { GUARD_START, GUARD_END } guard_side;

typedef struct guard {
    unsigned char *data;
    size_t size;
    unsigned char *map; /* the pages, guards included */
    size_t map_size;
} guard;

/* All bytes of what guard_place() hands out, and around it. As floats: a small number that no test computes. */
#define GUARD_FILL 0xa5

/* Room for placements of up to `capacity` bytes. */
guard guard_create(size_t capacity);
void guard_destroy(guard *g);

/* Puts `size` bytes `distance` bytes away from the guard page on that side and fills them. */
void guard_place(guard *g, size_t size, guard_side side, size_t distance);

/* Whether the bytes beside the data still hold what guard_place() wrote. */
bool guard_intact(const guard *g);

#endif

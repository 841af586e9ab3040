/*
 * Elements of a type known at run time: of tensors beside the one that is normalized, which a kernel is compiled for. They are
 * converted a tile at a time, to lanes and back, so that the type is looked at once for many.
 */
#ifndef NORMA_TYPED_H
#define NORMA_TYPED_H

#include "dtype.h"
#include "template/vector.h"

/* Elements at a time, and in one turn of a loop: a tile is whole turns long. */
enum { TILE = 512, TURN = 2 * NORMA_WIDTH };

/* `count` rounded up to whole turns. */
INLINE int whole_turns(int count)
{
    return (count + TURN - 1) / TURN * TURN;
}

/* Zeros from element `count` to the end of its turn. */
INLINE void end_tile(real *tile, int count)
{
    for (int i = count / NORMA_WIDTH * NORMA_WIDTH; i < whole_turns(count); i += NORMA_WIDTH) {
        const int lanes = i < count ? count - i : 0;
        V(store)(tile + i, V(first_of)(V(load)(tile + i), V(zero)(), lanes));
    }
}

/* One type's, of vectors by the words of its name. */
#define LOAD_TILE(type, word)                                                                                                  \
    do {                                                                                                                       \
        const type *from = (const type *)tensor + index;                                                                       \
        int i = 0;                                                                                                             \
        NO_UNROLL                                                                                                              \
        for (; i + NORMA_WIDTH <= count; i += NORMA_WIDTH) {                                                                   \
            V(store)(tile + i, word##_load(from + i));                                                                         \
        }                                                                                                                      \
        if (i < count) {                                                                                                       \
            V(store)(tile + i, word##_load_part(from + i, count - i));                                                         \
        }                                                                                                                      \
    } while (0)

#define STORE_TILE(type, word)                                                                                                 \
    do {                                                                                                                       \
        type *to = (type *)tensor + index;                                                                                     \
        const int far_end = stream ? count : 0;                                                                                \
        int i = 0;                                                                                                             \
        NO_UNROLL                                                                                                              \
        for (; i + NORMA_WIDTH <= far_end; i += NORMA_WIDTH) {                                                                 \
            word##_stream(to + i, V(load)(tile + i));                                                                          \
        }                                                                                                                      \
        NO_UNROLL                                                                                                              \
        for (; i + NORMA_WIDTH <= count; i += NORMA_WIDTH) {                                                                   \
            word##_store(to + i, V(load)(tile + i));                                                                           \
        }                                                                                                                      \
        if (i < count) {                                                                                                       \
            word##_store_part(to + i, V(load)(tile + i), count - i);                                                           \
        }                                                                                                                      \
    } while (0)

/* Lane by lane. */
INLINE void load_tile_slowly(norma_dtype dtype, const void *tensor, int64_t index, real *tile, int count)
{
    NO_UNROLL
    for (int i = 0; i < count; i++) {
        tile[i] = (real)norma_dtype_get(dtype, tensor, index + i);
    }
}

INLINE void store_tile_slowly(norma_dtype dtype, void *tensor, int64_t index, const real *tile, int count)
{
    NO_UNROLL
    for (int i = 0; i < count; i++) {
        norma_dtype_set(dtype, tensor, index + i, (double)tile[i]);
    }
}

/* `count` elements from `index` on become lanes, with zeros to the end of the turn. */
NOINLINE void load_tile(norma_dtype dtype, const void *tensor, int64_t index, real *tile, int count)
{
#if NORMA_DTYPE_IS == NORMA_IS_f64
    if (dtype == NORMA_F64) {
        LOAD_TILE(double, vf64);
    } else {
        load_tile_slowly(dtype, tensor, index, tile, count);
    }
#else
    switch (dtype) {
    case NORMA_BF16:
        LOAD_TILE(uint16_t, vbf16);
        break;
    case NORMA_F16:
        LOAD_TILE(uint16_t, vf16);
        break;
    case NORMA_S8:
        LOAD_TILE(int8_t, vs8);
        break;
    case NORMA_U8:
        LOAD_TILE(uint8_t, vu8);
        break;
    case NORMA_F64:
        load_tile_slowly(dtype, tensor, index, tile, count);
        break;
    default:
        LOAD_TILE(float, vf32);
    }
#endif
    end_tile(tile, count);
}

/* Lanes become elements. Integers come from lanes that hold such. `stream`: past the caches, where that is aligned. */
NOINLINE void store_tile(norma_dtype dtype, void *tensor, int64_t index, const real *tile, int count, bool stream)
{
#if NORMA_DTYPE_IS == NORMA_IS_f64
    if (dtype == NORMA_F64) {
        STORE_TILE(double, vf64);
    } else {
        store_tile_slowly(dtype, tensor, index, tile, count);
    }
#else
    switch (dtype) {
    case NORMA_BF16:
        STORE_TILE(uint16_t, vbf16);
        break;
    case NORMA_F16:
        STORE_TILE(uint16_t, vf16);
        break;
    case NORMA_S8:
    case NORMA_U8:
        STORE_TILE(uint8_t, v8);
        break;
    case NORMA_F64:
        store_tile_slowly(dtype, tensor, index, tile, count);
        break;
    default:
        STORE_TILE(float, vf32);
    }
#endif
}

#endif

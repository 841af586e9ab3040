/*
 * Writing rows beside the reduction of the next, a few vectors at a time.
 *
 * Where L1 is crowded, a row costs what it takes to read it and to write it. Both go on at once only while their instructions
 * stand next to each other, so the loops of template/reduce.h call beside_advance() as they go. It writes either the row
 * before, at the same pace (abreast), or a group of rows strip by strip, each row's part in turn, so that the strip's scale and
 * shift stay in L1 (template/rows.h says which when).
 */
#ifndef NORMA_BESIDE_H
#define NORMA_BESIDE_H

#include "template/write.h"

enum { ADVANCE = 4 }; /* vectors at a time */

typedef struct group_writer {
    out_rows first;
    const row_affine *affine;
    int count;
    int64_t length;
    int64_t strip;
    const element *fetch; /* what reduction reads some way on: prefetched at the pace of writing */
    /* the cursor: elements [at, end) of row `row`'s part of the strip that begins at `begin` */
    int row;
    int64_t begin;
    int64_t end;
    int64_t at;
    out_rows now;
    row_vectors vectors;
} group_writer;

/* One row, written at the pace of reduction. */
typedef struct row_writer {
    out_rows row;
    row_vectors vectors;
} row_writer;

/* What a reduction has beside it, if anything. The step is kept apart so that it stays a constant. */
typedef struct beside {
    write_step step;
    group_writer *group;
    const row_writer *row;
    int64_t at; /* element of the row that is written beside element 0 of this part of the reduction */
} beside;

static const beside nothing_beside = {{.lockstep = 1}, NULL, NULL, 0};

INLINE void group_writer_enter(write_step step, group_writer *w)
{
    w->now = w->first;
    rows_advance(&w->now, w->row);
    row_affine affine = w->affine[w->row];
    if (step.channels) { /* a strip is a channel */
        const int64_t counted = w->first.channel + (w->row * w->length + w->begin) / w->strip;
        affine = row_affine_of_channel(&w->first, &affine, counted % w->first.channels, counted);
    }
    w->vectors = row_vectors_of(&affine);
    w->at = write_head(step, &w->now, &w->vectors, w->begin, w->end);
}

INLINE void group_writer_start(write_step step, group_writer *w)
{
    w->row = 0;
    w->begin = 0;
    w->end = w->strip < w->length ? w->strip : w->length;
    group_writer_enter(step, w);
}

/* Writes what is left of this row's part and moves on; false after the last. Not inlined: it would stand in every loop. */
NOINLINE bool group_writer_next(write_step step, group_writer *w)
{
    write_rest(step, &w->now, &w->vectors, w->at, w->end);
    w->at = w->end;
    if (w->row + 1 < w->count) {
        w->row++;
    } else if (w->end < w->length) {
        w->row = 0;
        w->begin = w->end;
        w->end = w->length - w->end < w->strip ? w->length : w->end + w->strip;
    } else {
        return false;
    }
    group_writer_enter(step, w);
    return true;
}

INLINE void group_advance(write_step step, group_writer *w)
{
    UNROLL
    for (int k = 0; k < ADVANCE; k += NORMA_LINE_VECTORS) {
        simd_prefetch(w->fetch + k * NORMA_WIDTH);
    }
    w->fetch += ADVANCE * NORMA_WIDTH;
    if (RARELY(w->at + ADVANCE * NORMA_WIDTH > w->end)) {
        group_writer_next(step, w);
    }
    if (w->at + ADVANCE * NORMA_WIDTH <= w->end) {
        write_vectors(step, &w->now, &w->vectors, w->at, ADVANCE);
        w->at += ADVANCE * NORMA_WIDTH;
    }
}

/* About ADVANCE vectors more: those that the reduction has just read are its part's from the i-th. */
INLINE void beside_advance(beside b, int64_t i)
{
    if (b.group) {
        group_advance(b.step, b.group);
    } else if (b.row) {
        write_vectors(b.step, &b.row->row, &b.row->vectors, b.at + i * NORMA_WIDTH, ADVANCE);
    }
}

/* For part `part` of a leaf of `vectors` vectors: the parts of a row, one after the other, write it from end to end. */
INLINE beside beside_part(beside b, int part, int64_t vectors)
{
    b.at = part * (vectors / ADVANCE * ADVANCE) * NORMA_WIDTH;
    return b;
}

/* Elements of the row that have been written when the reduction of a leaf of `vectors` vectors ends. */
INLINE int64_t beside_done(int64_t vectors)
{
    return vectors / ADVANCE * ADVANCE * NORMA_LANES;
}

/* All that is left of a group. */
INLINE void beside_finish(beside b)
{
    group_writer *w = b.group;
    do {
        NO_UNROLL
        for (; w->at + ADVANCE * NORMA_WIDTH <= w->end; w->at += ADVANCE * NORMA_WIDTH) {
            write_vectors(b.step, &w->now, &w->vectors, w->at, ADVANCE);
        }
    } while (group_writer_next(b.step, w));
}

#endif

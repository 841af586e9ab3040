/*
 * The tuning file's text. One record per line, `key = value` throughout:
 *
 *     norma-tuning 1
 *     # whatever a person wants to say
 *     version = 0.1.0                  the fingerprint's fields, in their order
 *     …
 *     record = geometry=rows … use.order=abreast …
 *     …
 *     end = 42 records, checksum 0123456789abcdef
 *
 * The checksum is of all bytes before the last line.
 */
#ifndef NORMA_TEXT_H
#define NORMA_TEXT_H

#include "tuning/table.h"

enum { NORMA_FLAW_TEXT = 320 };

/* What is wrong with a file: state is NORMA_TUNING_FILE where nothing is. The sentence then tells of records that were left
 * out, or is empty. */
typedef struct norma_flaw {
    norma_tuning_state state;
    bool begins_well; /* like a tuning file */
    char sentence[NORMA_FLAW_TEXT];
} norma_flaw;

/* Fills the empty table from `size` bytes of text; where there is a flaw the table stays empty. Nothing in the text can do more
 * than that. */
norma_flaw norma_text_parse(const char *text, size_t size, norma_table *table);

/* The text of a table, which the caller frees; NULL where there is no memory. `comment` (or NULL) is a line for people. */
char *norma_text_format(const norma_table *table, const char *comment, size_t *size);

#endif

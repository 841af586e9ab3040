/*
 * Sets of cases that someone chose: from a file with a case on each line, or of a model that comes with norma (models/).
 *
 * In both, # begins a comment, and empty lines are skipped. All are quick cases: who names cases wants those.
 */
#ifndef NORMA_CASES_SETS_H
#define NORMA_CASES_SETS_H

#include <stdio.h>

#include "cases.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct case_set {
    case_spec *specs;
    size_t count;
    size_t room;
} case_set;

/* All return false with a sentence of at most CASE_SENTENCE_MAX bytes, which names the file and the line that is wrong. */
bool case_set_add(case_set *set, const case_spec *spec, char *sentence);
bool case_set_read(case_set *set, const char *path, char *sentence);
bool case_set_model(case_set *set, const char *model, size_t length, char *sentence);
void case_set_free(case_set *set);

/* The names of the models, one after the other; NULL after the last. */
const char *case_model_name(size_t index);

#ifdef __cplusplus
}
#endif

#endif

/* What the runner is made of: the engine, its sessions, tensors in files. */
#ifndef NORMA_TESTS_ONNXRUNTIME_RUNNER_H
#define NORMA_TESTS_ONNXRUNTIME_RUNNER_H

#include <onnxruntime_c_api.h>
#include <stdbool.h>
#include <stdio.h>

#define TENSORS_MAX 24

extern const OrtApi *ort;

typedef struct session session;

typedef struct tensors {
    int count;
    char *names[TENSORS_MAX];
    OrtValue *values[TENSORS_MAX];
    void *memory[TENSORS_MAX]; /* of values that were read from files */
} tensors;

/* False: the latest failure's sentence is kept for answer_error(). */
bool engine_start(const char *adapter);
void engine_stop(void);
bool engine_ok(OrtStatus *status);
bool engine_unload(void);
void engine_be_older(uint32_t version);
void engine_be_strict(size_t nodes);

/* One line: the sentence, or with NULL the latest failure's. */
void answer_error(const char *sentence);

OrtSessionOptions *options_make(const char *route, int threads, char **config, int config_count);
session *session_open(const char *model, const OrtSessionOptions *options);
bool session_run(session *s, const tensors *inputs, tensors *outputs);
bool session_time(session *s, const tensors *inputs, double seconds, double *least, double *median);
void session_close(session *s);

/* From words NAME TYPE SHAPE FILE, again and again. */
bool tensors_read(tensors *t, char **words, int count);
/* Answers with what there is, after writing it to PREFIX.0, ... */
void tensors_answer(const tensors *t, const char *prefix);
bool tensors_equal(const tensors *a, const tensors *b);
void tensors_free(tensors *t);

#define CROWD_MAX_SETS 32
void crowd(session *s, int parallel, int runs, const tensors *inputs, int sets);
void soak(int count, int parallel, const char *model, const char *route, int threads, const tensors *inputs);

#endif

/*
 * Runs models in ONNX Runtime, without norma and with it, for tests and measurements. Serves requests, one per line of standard
 * input, words separated by tabs; answers each with one line, "ok" or "error" first.
 *
 *     open SESSION MODEL ROUTE THREADS [KEY=VALUE ...]    ROUTE: off, ops (custom operators) or ep (execution provider)
 *
 *     run SESSION PREFIX [NAME TYPE SHAPE FILE ...]       outputs go to PREFIX.0, …
 *         answers with a name, type and shape of each
 *
 *     time SESSION SECONDS [NAME TYPE SHAPE FILE ...]
 *         answers with the least and the median time of a run, in microseconds
 *
 *     close SESSION
 *
 *     soak COUNT PARALLEL MODEL ROUTE THREADS [NAME …]    opens, runs and closes sessions; see soak.c
 *
 *     crowd SESSION THREADS RUNS SETS [NAME …]            runs one session on several threads, with sets of inputs in turns
 *         answers with how many runs failed and how many differed from the first one with their inputs
 *
 *     unload                                              unregisters the provider's library, whatever sessions there are
 *
 *     older VERSION                                       loads the adapter into an engine of 1.VERSION
 *         answers with what the custom operators and the provider say, empty where they do not mind
 *
 *     strict NODES                                        from now on the adapter cannot ask who uses values of graphs of so
 * few nodes, as engines of 1.23 end the process when it does so of a node to compile; 0: it can again
 *
 *     version
 *
 * SESSION is a number below 64, TYPE ONNX's number of an element type, SHAPE extents separated by commas, FILE raw bytes.
 */
#include "runner.h"

#include <stdlib.h>
#include <string.h>

#define SESSIONS 64

static session *sessions[SESSIONS];

static session *find_session(const char *number)
{
    const long n = number ? strtol(number, NULL, 10) : -1;
    if (n < 0 || n >= SESSIONS || !sessions[n]) {
        answer_error("no such session");
        return NULL;
    }
    return sessions[n];
}

static void serve_open(char **words, int count)
{
    const long n = count > 4 ? strtol(words[1], NULL, 10) : -1;
    if (n < 0 || n >= SESSIONS || sessions[n]) {
        answer_error("open SESSION MODEL ROUTE THREADS");
        return;
    }
    OrtSessionOptions *options = options_make(words[3], atoi(words[4]), words + 5, count - 5);
    if (options) {
        sessions[n] = session_open(words[2], options);
        ort->ReleaseSessionOptions(options);
    }
    if (sessions[n]) {
        puts("ok");
    } else {
        answer_error(NULL);
    }
}

static void serve_run(char **words, int count)
{
    session *s = find_session(count > 2 ? words[1] : NULL);
    tensors inputs = {0}, outputs = {0};
    if (!s) {
        return;
    }
    if (tensors_read(&inputs, words + 3, count - 3) && session_run(s, &inputs, &outputs)) {
        tensors_answer(&outputs, words[2]);
    } else {
        answer_error(NULL);
    }
    tensors_free(&inputs);
    tensors_free(&outputs);
}

static void serve_time(char **words, int count)
{
    session *s = find_session(count > 2 ? words[1] : NULL);
    tensors inputs = {0};
    double least, median;
    if (!s) {
        return;
    }
    if (tensors_read(&inputs, words + 3, count - 3) && session_time(s, &inputs, atof(words[2]), &least, &median)) {
        printf("ok\t%.3f\t%.3f\n", least, median);
    } else {
        answer_error(NULL);
    }
    tensors_free(&inputs);
}

static void serve_soak(char **words, int count)
{
    tensors inputs = {0};
    if (count < 6 || !tensors_read(&inputs, words + 6, count - 6)) {
        answer_error(count < 6 ? "soak COUNT PARALLEL MODEL ROUTE THREADS" : NULL);
    } else {
        soak(atoi(words[1]), atoi(words[2]), words[3], words[4], atoi(words[5]), &inputs);
    }
    tensors_free(&inputs);
}

static void serve_crowd(char **words, int count)
{
    session *s = find_session(count > 4 ? words[1] : NULL);
    const int sets = count > 4 ? atoi(words[4]) : 0;
    static tensors inputs[CROWD_MAX_SETS];
    if (!s) {
        return;
    }
    bool good = sets > 0 && sets <= CROWD_MAX_SETS && (count - 5) % sets == 0;
    for (int i = 0; i < sets && good; i++) {
        const int each = (count - 5) / sets;
        good = tensors_read(&inputs[i], words + 5 + i * each, each);
    }
    if (good) {
        crowd(s, atoi(words[2]), atoi(words[3]), inputs, sets);
    } else {
        answer_error("crowd SESSION THREADS RUNS SETS");
    }
    for (int i = 0; i < CROWD_MAX_SETS; i++) {
        tensors_free(&inputs[i]);
    }
}

static void serve_close(char **words, int count)
{
    session *s = find_session(count > 1 ? words[1] : NULL);
    if (s) {
        session_close(s);
        sessions[atoi(words[1])] = NULL;
        puts("ok");
    }
}

static void serve(char **words, int count)
{
    if (!strcmp(words[0], "open")) {
        serve_open(words, count);
    } else if (!strcmp(words[0], "run")) {
        serve_run(words, count);
    } else if (!strcmp(words[0], "time")) {
        serve_time(words, count);
    } else if (!strcmp(words[0], "close")) {
        serve_close(words, count);
    } else if (!strcmp(words[0], "soak")) {
        serve_soak(words, count);
    } else if (!strcmp(words[0], "crowd")) {
        serve_crowd(words, count);
    } else if (!strcmp(words[0], "unload")) {
        if (engine_unload()) {
            puts("ok");
        } else {
            answer_error(NULL);
        }
    } else if (!strcmp(words[0], "older")) {
        engine_be_older(count > 1 ? (uint32_t)atoi(words[1]) : 0);
    } else if (!strcmp(words[0], "strict")) {
        engine_be_strict(count > 1 ? (size_t)atoi(words[1]) : 0);
    } else if (!strcmp(words[0], "version")) {
        printf("ok\t%s\n", OrtGetApiBase()->GetVersionString());
    } else {
        answer_error("no such request");
    }
}

int main(int argc, char **argv)
{
    static char line[1 << 16];
    static char *words[1024];
    if (argc != 2) {
        fprintf(stderr, "Usage: onnxruntime_runner ADAPTER\n");
        return 2;
    }
    if (!engine_start(argv[1])) {
        answer_error(NULL);
        return 1;
    }
    while (fgets(line, sizeof line, stdin)) {
        int count = 0;
        for (char *word = strtok(line, "\t\n"); word && count < 1024; word = strtok(NULL, "\t\n")) {
            words[count++] = word;
        }
        if (count) {
            serve(words, count);
            fflush(stdout);
        }
    }
    engine_stop();
    return 0;
}

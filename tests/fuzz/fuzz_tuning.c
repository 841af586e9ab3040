/*
 * Fuzzes the reader of tuning files with libFuzzer: any bytes at all, and the same bytes between this machine's first lines and
 * a last line that fits, so that what lies behind fingerprint and checksum is reached. What is read is applied to problems,
 * written and read once more.
 *
 *     fuzz_tuning CORPUS… -max_total_time=3600
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blocking.h"
#include "tuning/fingerprint.h"
#include "tuning/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static norma_problem problems[3];

static void make_problems(void)
{
    const int64_t shape[] = {512, 1024};
    const norma_desc descs[3] = {norma_layer_norm_desc(2, shape, -1, NORMA_F32),
                                 norma_batch_norm_desc(8, 64, 100, NORMA_NHWC, NORMA_F32),
                                 norma_batch_norm_desc(8, 64, 100, NORMA_NCHW, NORMA_F64)};
    for (int i = 0; i < 3 && !problems[2].length; i++) {
        const norma_status status = norma_problem_init(&problems[i], &descs[i]);
        assert(status == NORMA_SUCCESS);
        (void)status;
    }
}

/* Every record, at every problem, gives legal knobs or none. */
static void apply_all(const norma_table *table)
{
    const norma_limits limits = {NORMA_ISA_AVX512, 2};
    for (int p = 0; p < 3; p++) {
        int64_t fact[NORMA_FACT_COUNT];
        norma_facts_of(fact, &problems[p], limits);
        (void)norma_table_nearest(table, fact);
        for (size_t i = 0; i < table->count; i++) {
            norma_blocking blocking = norma_blocking_default(&problems[p], limits.isa, limits.threads);
            if (norma_record_apply(&table->records[i], &problems[p], limits, &blocking)) {
                assert(norma_blocking_first_illegal(&problems[p], limits, &blocking) == NORMA_KNOB_COUNT);
            }
        }
    }
}

static void read_text(const char *text, size_t size)
{
    norma_table table = {NULL, 0, 0}, again = {NULL, 0, 0};
    const norma_flaw flaw = norma_text_parse(text, size, &table);
    assert(memchr(flaw.sentence, '\0', sizeof flaw.sentence));
    if (flaw.state != NORMA_TUNING_FILE) {
        assert(table.count == 0 && flaw.sentence[0]);
        return;
    }
    apply_all(&table);
    size_t written;
    char *made = norma_text_format(&table, NULL, &written);
    assert(made);
    assert(norma_text_parse(made, written, &again).state == NORMA_TUNING_FILE && again.count == table.count);
    free(made);
    norma_table_free(&again);
    norma_table_free(&table);
}

/* A file's text up to its records. */
static char *first_lines(size_t *size)
{
    const norma_table none = {NULL, 0, 0};
    char *text = norma_text_format(&none, NULL, size);
    assert(text);
    char *end = strstr(text, "end = ");
    *size = (size_t)(end - text);
    return text;
}

/* Records are counted as the reader counts them: lines that begin so. */
static long count_records(const char *text, size_t size)
{
    long records = 0;
    for (size_t i = 0; i + 9 <= size; i++) {
        records += (i == 0 || text[i - 1] == '\n') && memcmp(text + i, "record = ", 9) == 0;
    }
    return records;
}

static void read_between(const uint8_t *data, size_t size)
{
    size_t first;
    char *lines = first_lines(&first);
    char *text = malloc(first + size + 128);
    memcpy(text, lines, first);
    memcpy(text + first, data, size);
    if (size && data[size - 1] != '\n') {
        text[first + size++] = '\n';
    }
    size += first;
    const long records = count_records(text, size);
    size += (size_t)snprintf(text + size, 120, "end = %ld records, checksum %016llx\n", records, norma_checksum(text, size));
    read_text(text, size);
    free(text);
    free(lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    make_problems();
    read_text((const char *)data, size);
    read_between(data, size);
    return 0;
}

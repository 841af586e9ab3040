#include <math.h>

#include "tune.h"

static void print_table(const norma_table *table)
{
    double log_gain = 0;
    size_t gained = 0;
    printf("%-44s %4s %12s %12s %7s  %s\n", "case", "thr", "built-in us", "tuned us", "gain", "knobs");
    for (size_t i = 0; i < table->count; i++) {
        const norma_record *record = &table->records[i];
        char knobs[256];
        norma_knobs_describe(record->knob, knobs, sizeof knobs);
        printf("%-44s %4lld %12.2f %12.2f %6.2fx  %s\n", record->name[0] ? record->name : "measured",
               (long long)record->fact[NORMA_FACT_THREADS], (double)record->default_ns / 1e3, (double)record->tuned_ns / 1e3,
               (double)record->default_ns / (double)record->tuned_ns, knobs[0] ? knobs : "built-in rules");
        gained += record->tuned;
        log_gain += log((double)record->default_ns / (double)record->tuned_ns);
    }
    if (table->count) {
        printf("\n%zu shapes, %zu faster than by the built-in rules; %.3fx in the geometric mean over all\n", table->count,
               gained, exp(log_gain / (double)table->count));
    }
}

int tune_show(const tune_options *options)
{
    norma_table table = {NULL, 0, 0};
    const norma_flaw flaw = norma_store_read(options->path, &table);
    if (flaw.state != NORMA_TUNING_FILE) {
        return tune_fail(TUNE_FAILED, "%s is not in force: %s", options->path, flaw.sentence);
    }
    printf("%s\n%s%s", options->path, flaw.sentence, flaw.sentence[0] ? "\n" : "");
    print_table(&table);
    norma_table_free(&table);
    return TUNE_DONE;
}

int tune_check(const tune_options *options)
{
    norma_table table = {NULL, 0, 0};
    const norma_flaw flaw = norma_store_read(options->path, &table);
    if (flaw.state != NORMA_TUNING_FILE) {
        return tune_fail(TUNE_FAILED, "%s does not serve: %s", options->path, flaw.sentence);
    }
    printf("%s fits this machine and this build: %zu shapes%s%s\n", options->path, table.count, flaw.sentence[0] ? "; " : "",
           flaw.sentence);
    norma_table_free(&table);
    return TUNE_DONE;
}

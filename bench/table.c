/* The table after a run: a line per shape and thread count, a column per path. */
#include <string.h>

#include "bench.h"

static bool any_timed(const bench_line *lines, size_t count, size_t path)
{
    for (size_t i = 0; i < count; i++) {
        if (lines[i].cells[path].timed || lines[i].cells[path].failed) {
            return true;
        }
    }
    return false;
}

static size_t path_named(const char *name)
{
    size_t i = 0;
    while (i < bench_path_count && strcmp(bench_paths[i].name, name) != 0) {
        i++;
    }
    return i;
}

static void print_speed(FILE *out, const bench_line *line, size_t path)
{
    const bench_cell *cell = &line->cells[path];
    if (cell->failed) {
        fprintf(out, "  FAILED ");
    } else if (!cell->timed) {
        fprintf(out, "       - ");
    } else {
        fprintf(out, "%8.1f%c", line->useful_bytes / cell->median * 1e-9, cell->noisy ? '~' : ' ');
    }
}

static void print_ratio(FILE *out, const bench_line *line, size_t path, size_t base)
{
    const bench_cell *cell = &line->cells[path], *other = &line->cells[base];
    if (cell->timed && other->timed) {
        fprintf(out, "%11.2f%c", other->median / cell->median, cell->noisy || other->noisy ? '~' : ' ');
    } else {
        fprintf(out, "%11s ", "-");
    }
}

void bench_table_print(FILE *out, const bench_line *lines, size_t count)
{
    const size_t fused = path_named("fused"), copy = path_named("copy"), unfused = path_named("unfused");
    const bool ratios = any_timed(lines, count, fused);
    fprintf(out, "\n%-39s%4s", "GB/s", "thr");
    for (size_t path = 0; path < bench_path_count; path++) {
        if (bench_path_leads(path) && any_timed(lines, count, path)) {
            fprintf(out, "%8s ", bench_paths[path].name);
        }
    }
    fprintf(out, "%s\n", ratios ? "   vs_copy   vs_unfused" : "");
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "%-39s%4d", lines[i].name, lines[i].threads);
        for (size_t path = 0; path < bench_path_count; path++) {
            if (bench_path_leads(path) && any_timed(lines, count, path)) {
                print_speed(out, &lines[i], path);
            }
        }
        if (ratios) {
            print_ratio(out, &lines[i], fused, copy);
            print_ratio(out, &lines[i], fused, unfused);
        }
        fputc('\n', out);
    }
    fprintf(out,
            "Medians over the repetitions; x read once + y written once, per second. vs_: fused over copy, over unfused.\n");
    fprintf(out,
            "~ not to be trusted: the machine did something else meanwhile (repetitions differ, or shared a processor).\n");
}

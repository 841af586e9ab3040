/* The table after a run: a line per shape and thread count, a column per path. */
#include <math.h>
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

static double tuned_over_untuned(const bench_line *line, size_t fused, size_t untuned)
{
    return line->cells[untuned].timed ? line->cells[untuned].median / line->cells[fused].median : 1;
}

/* Where tuning changes no knob it is the same code, and there is nothing to time. */
static void print_tuned(FILE *out, const bench_line *line, size_t fused, size_t untuned)
{
    if (line->cells[fused].timed && !line->cells[untuned].timed && !line->cells[untuned].failed) {
        fprintf(out, "%11s ", "same");
    } else {
        print_ratio(out, line, fused, untuned);
    }
}

static void print_gains(FILE *out, const bench_line *lines, size_t count, size_t fused, size_t untuned)
{
    double log_gain = 0, least = 0;
    size_t timed = 0, changed = 0, worst = 0;
    for (size_t i = 0; i < count; i++) {
        if (lines[i].cells[fused].timed) {
            const double gain = tuned_over_untuned(&lines[i], fused, untuned);
            const bool noisy = lines[i].cells[fused].noisy || lines[i].cells[untuned].noisy;
            log_gain += log(gain);
            worst = !noisy && (least == 0 || gain < least) ? i : worst;
            least = !noisy && (least == 0 || gain < least) ? gain : least;
            changed += lines[i].cells[untuned].timed;
            timed++;
        }
    }
    if (timed) {
        fprintf(
            out,
            "Tuned over untuned: %.3f in the geometric mean of %zu rows, of which tuning changed %zu; least without ~ %.2f (%s, %d).\n",
            exp(log_gain / (double)timed), timed, changed, least, lines[worst].name, lines[worst].threads);
    }
}

static void print_heads(FILE *out, const bench_line *lines, size_t count, bool ratios, bool tuned)
{
    fprintf(out, "\n%-39s%4s", "GB/s", "thr");
    for (size_t path = 0; path < bench_path_count; path++) {
        if (bench_path_leads(path) && any_timed(lines, count, path)) {
            fprintf(out, "%8s ", bench_paths[path].name);
        }
    }
    fprintf(out, "%s%s", ratios ? "   vs_copy   vs_unfused" : "", ratios && tuned ? "  vs_untuned" : "");
    fprintf(out, "%s\n", ratios ? "  of_roofline   vs_1thr  spread" : "");
}

/* How near to what its level of memory gives, how much more than one thread, and how far to trust it. */
static void print_standing(FILE *out, const bench_line *line, size_t fused)
{
    const bench_cell *cell = &line->cells[fused];
    if (!cell->timed) {
        return;
    }
    if (line->roof > 0) {
        fprintf(out, "%7s %4.0f %%", bench_level_name(line->level), 100 * line->useful_bytes / cell->median / line->roof);
    } else {
        fprintf(out, "%14s", "-");
    }
    if (line->one_thread > 0) {
        fprintf(out, "%10.2f", line->one_thread / cell->median);
    } else {
        fprintf(out, "%10s", "-");
    }
    fprintf(out, "%6.0f %%", 100 * cell->spread);
}

void bench_table_print(FILE *out, const bench_line *lines, size_t count, bool tuned)
{
    const size_t fused = path_named("fused"), copy = path_named("copy"), unfused = path_named("unfused");
    const size_t untuned = path_named("untuned");
    const bool ratios = any_timed(lines, count, fused);
    tuned = tuned || any_timed(lines, count, untuned);
    print_heads(out, lines, count, ratios, tuned);
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
        if (ratios && tuned) {
            print_tuned(out, &lines[i], fused, untuned);
        }
        if (ratios) {
            print_standing(out, &lines[i], fused);
        }
        fputc('\n', out);
    }
    fprintf(
        out,
        "Medians over the repetitions; x read once + y written once, per second. vs_: fused over copy, over unfused.\n"
        "of_roofline: fused, of the faster copy at the level of memory that the tensors fit. spread: the middle half of the repetitions.\n");
    fprintf(out,
            "~ not to be trusted: the machine did something else meanwhile (repetitions differ, or shared a processor).\n");
    if (ratios && tuned) {
        print_gains(out, lines, count, fused, untuned);
    }
}

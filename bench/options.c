/* norma-bench's own options. What begins with --benchmark_ is Google Benchmark's. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static const char help[] =
    "norma-bench: times norma's normalizations beside a copy of the same bytes and the same steps unfused.\n"
    "\n"
    "Usage: norma-bench [options] [--benchmark_... options]\n"
    "\n"
    "  --quick          A subset of the cases, measured briefly: about a minute at most.\n"
    "  --full           Every path: each instruction set, and without tuning. Else copy, unfused and fused, which tell most.\n"
    "  --peers          Other libraries, too, where norma-bench is built with them (scripts/peers).\n"
    "  --list           Print the names of the cases that would run, and stop.\n"
    "  --op WORDS       Only these ops: layer_norm, rms_norm, lp_norm, channel_norm, mvn, batch_norm, instance_norm,\n"
    "                   group_norm.\n"
    "  --dtype WORDS    Only these types: f32, f64, bf16, f16.\n"
    "  --model NAMES    The cases of these models instead: bert, gpt2, llama3-8b, whisper, dit, resnet50, densenet121, mobilenetv3,\n"
    "                   convnext, stable-diffusion, style-transfer, unet3d.\n"
    "  --shapes FILE    The cases of this file instead, op/dtype/layout/shape, one per line; # begins a comment.\n"
    "  --path WORDS     Only these paths (below). The copy runs with any of them, as their yardstick.\n"
    "  --tuned-vs-default   What the tuning file of this machine gains (norma-tune): fused and untuned, and nothing else.\n"
    "  --compare OLD.json   Measure the cases of an earlier run's JSON again, print what has become slower beyond noise, and exit\n"
    "                   with 1 if anything has. Best with the options of the earlier run, on the same machine.\n"
    "  --with NEW.json  For --compare: another run's JSON, instead of measuring.\n"
    "  --threads NS     These thread counts instead of 1 and one per core.\n"
    "  --help           Print this text.\n"
    "\n"
    "WORDS and NS are lists with commas: --op layer_norm,rms_norm --threads 1,2.\n"
    "\n"
    "A case is named op/dtype/layout/shape/path/threads:N, as in layer_norm/f32/rows/512x1024/fused/threads:1. Shapes are\n"
    "rows x columns, or N x C x H x W (N x C x D x H x W) in both channel layouts; mvn in nchw is over all axes but C;\n"
    "batch_norm_given is batch norm with given statistics, as for inference. Paths:\n"
    "\n"
    "  fused            norma as anyone calls it: a plan with every default.\n"
    "  untuned          The same by the built-in rules, whatever a tuning file says; only where the file changes anything.\n"
    "  generic, avx2, avx512, avx512_bf16, neon\n"
    "                   The same, held to one instruction set. Those that this processor has.\n"
    "                   (These by name or with --full only.)\n"
    "  unfused          Each step a pass over memory of its own: statistics, normalize, scale, shift. Each is vectorized for\n"
    "                   the best instruction set, so the ratio tells what fusion gains.\n"
    "  onednn, pytorch, onnxruntime, ggml\n"
    "                   The peers that norma-bench is built with. One that lacks the case is left out.\n"
    "  copy             y = x: the fastest of memcpy, a plain loop and one with streaming stores (its label says which).\n"
    "\n"
    "What is measured, of each repetition and as median and best (the fastest repetition) over them:\n"
    "\n"
    "  GB/s             Useful bytes per second, in 10^9: x read once and y written once, whatever a path really moves.\n"
    "  vs_copy          GB/s over the copy's at that shape and thread count, in the same run. 1 is as fast as memory allows.\n"
    "  vs_unfused       GB/s over the unfused path's, likewise.\n"
    "  vs_untuned, vs_generic, vs_one_thread\n"
    "                   GB/s over that of the built-in rules, the generic kernels, one thread: where those were timed.\n"
    "  of_roofline      GB/s over the faster of a plain and a streaming copy at the level of the memory hierarchy (L1, L2, L3,\n"
    "                   memory) that the tensors fit; measured first, and kept in the JSON's context beside reading.\n"
    "  spread, noise    Of the middle half of the repetitions; of the best one: how much more the best of a round usually takes.\n"
    "\n"
    "All paths of a shape work on the same memory and take turns in random order, repetition by repetition, so that a noisy\n"
    "moment hits all of them alike. All shapes are gone through five times, on other memory each. A shape that fits a cache is measured from that cache. Before a path is timed, its\n"
    "result is compared with a reference in double; a wrong one is shown as FAILED, not timed, and the exit status is 1.\n"
    "\n"
    "Google Benchmark's options work as ever; these are likely to be of use:\n"
    "\n"
    "  --benchmark_filter=REGEX         Only the cases whose name matches (-REGEX: does not match).\n"
    "  --benchmark_format=json|csv      Results to stdout in that form; the table is left out then.\n"
    "  --benchmark_out=FILE             Results to a file too, as JSON (or --benchmark_out_format=csv).\n"
    "  --benchmark_repetitions=N        Default 15 (--quick: 10), spread over five rounds.\n"
    "  --benchmark_min_time=SECONDS     Least time of one repetition; default 0.03 (--quick: 0.01).\n"
    "  --benchmark_display_aggregates_only=false   Show every repetition, too.\n"
    "\n"
    "Exit status: 0; 1 when a case failed, nothing could be timed or --compare found a regression; 2 for a mistake in the command line.\n";

void bench_help_print(FILE *out)
{
    fputs(help, out);
}

static bool refuse(char *sentence, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool refuse(char *sentence, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, BENCH_SENTENCE_MAX, format, arguments);
    va_end(arguments);
    return false;
}

bool bench_words_allow(const bench_words *words, const char *word)
{
    for (size_t i = 0; i < words->count; i++) {
        if (strlen(word) == words->length[i] && memcmp(words->text[i], word, words->length[i]) == 0) {
            return true;
        }
    }
    return words->count == 0;
}

static bool split(bench_words *words, const char *option, const char *text, char *sentence)
{
    words->count = 0;
    for (;;) {
        const size_t length = strcspn(text, ",");
        if (length == 0) {
            return refuse(sentence, "%s: a word is missing", option);
        }
        if (words->count == BENCH_WORDS_MAX) {
            return refuse(sentence, "%s: more than %d words", option, BENCH_WORDS_MAX);
        }
        words->text[words->count] = text;
        words->length[words->count++] = length;
        if (text[length] == '\0') {
            return true;
        }
        text += length + 1;
    }
}

/* The words an option takes, one after the other; NULL after the last. */
typedef const char *(*known_word)(size_t index);

static const char *known_op(size_t index)
{
    return index < NORMA_GROUP_NORM ? norma_op_name((norma_op)(NORMA_LAYER_NORM + index)) : NULL;
}

static const char *known_dtype(size_t index)
{
    return index < NORMA_F16 ? norma_dtype_name((norma_dtype)(NORMA_F32 + index)) : NULL;
}

static const char *known_path(size_t index)
{
    for (size_t i = 0; i < bench_path_count; i++) {
        if (bench_path_leads(i) && index-- == 0) {
            return bench_paths[i].name;
        }
    }
    return NULL;
}

static bool has_peers(void)
{
    bool any = false;
    for (size_t i = 0; i < bench_path_count; i++) {
        any = any || bench_paths[i].peer;
    }
    return any;
}

static bool parse_words(bench_words *words, const char *option, const char *text, known_word known, char *sentence)
{
    if (!split(words, option, text, sentence)) {
        return false;
    }
    char list[160] = "";
    size_t used = 0;
    for (size_t k = 0; known(k) && used < sizeof list; k++) {
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", k ? ", " : "", known(k));
    }
    for (size_t i = 0; i < words->count; i++) {
        bool found = false;
        for (size_t k = 0; known(k); k++) {
            const bench_words one = {{words->text[i]}, {words->length[i]}, 1};
            found = found || bench_words_allow(&one, known(k));
        }
        if (!found) {
            return refuse(sentence, "%s: '%.*s' is none of %s", option, (int)words->length[i], words->text[i], list);
        }
    }
    return true;
}

static bool parse_threads(bench_options *options, const char *text, char *sentence)
{
    bench_words words = {.count = 0};
    if (!split(&words, "--threads", text, sentence)) {
        return false;
    }
    options->threads_count = 0;
    for (size_t i = 0; i < words.count; i++) {
        char *end;
        errno = 0;
        const long threads = strtol(words.text[i], &end, 10);
        const bool digits = words.text[i][0] >= '0' && words.text[i][0] <= '9' && end == words.text[i] + words.length[i];
        if (!digits || errno || threads < 1 || threads > 1024) {
            return refuse(sentence, "--threads: '%.*s' is not a number from 1 to 1024", (int)words.length[i], words.text[i]);
        }
        if (threads > 1 && !bench_threaded()) {
            return refuse(sentence, "--threads: this norma is built without OpenMP and runs one thread");
        }
        options->threads[options->threads_count++] = (int)threads;
    }
    return true;
}

static bool set_value(bench_options *options, const char *name, const char *value, char *sentence)
{
    if (strcmp(name, "--op") == 0) {
        return parse_words(&options->op, name, value, known_op, sentence);
    }
    if (strcmp(name, "--dtype") == 0) {
        return parse_words(&options->dtype, name, value, known_dtype, sentence);
    }
    if (strcmp(name, "--path") == 0) {
        return parse_words(&options->path, name, value, known_path, sentence);
    }
    const struct {
        const char *name;
        const char **value;
    } texts[] = {{"--shapes", &options->shapes},
                 {"--model", &options->model},
                 {"--compare", &options->compare},
                 {"--with", &options->with}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(name, texts[i].name) == 0) {
            *texts[i].value = value;
            return *value != '\0' || refuse(sentence, "%s: a name is missing", name);
        }
    }
    return parse_threads(options, value, sentence);
}

bool bench_cases(case_set *set, const bench_options *options, char *sentence)
{
    char wrong[CASE_SENTENCE_MAX];
    memset(set, 0, sizeof *set);
    if (options->shapes && !case_set_read(set, options->shapes, wrong)) {
        return refuse(sentence, "--shapes: %.490s", wrong);
    }
    for (const char *at = options->model; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        if (!case_set_model(set, at, strcspn(at, ","), wrong)) {
            return refuse(sentence, "--model: %.490s", wrong);
        }
    }
    for (size_t i = 0; !options->shapes && !options->model && i < case_count(); i++) {
        const case_spec spec = case_at(i);
        if (!case_set_add(set, &spec, sentence)) {
            return false;
        }
    }
    return true;
}

static bool is_foreign(const char *argument)
{
    return strncmp(argument, "--benchmark_", 12) == 0 || strncmp(argument, "--v=", 4) == 0;
}

bool bench_options_parse(bench_options *options, int *argc, char **argv, char *sentence)
{
    static const char *const flags[] = {"--quick", "--full", "--peers", "--list", "--help", "--tuned-vs-default"};
    static const char *const valued[] = {"--op",     "--dtype", "--path",    "--threads",
                                         "--shapes", "--model", "--compare", "--with"};
    memset(options, 0, sizeof *options);
    bool *const set[] = {&options->quick, &options->full, &options->peers, &options->list, &options->help, &options->tuned};
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        char *argument = argv[i];
        bool known = is_foreign(argument);
        if (known) {
            argv[kept++] = argument;
        }
        for (size_t k = 0; k < sizeof flags / sizeof *flags; k++) {
            if (strcmp(argument, flags[k]) == 0) {
                *set[k] = known = true;
            }
        }
        for (size_t k = 0; !known && k < sizeof valued / sizeof *valued; k++) {
            const size_t length = strlen(valued[k]);
            if (strncmp(argument, valued[k], length) != 0 || (argument[length] != '\0' && argument[length] != '=')) {
                continue;
            }
            const char *value = argument[length] == '=' ? argument + length + 1 : ++i < *argc ? argv[i] : "";
            if (!set_value(options, valued[k], value, sentence)) {
                return false;
            }
            known = true;
        }
        if (!known) {
            return refuse(sentence, "unknown option '%s'; --help lists them", argument);
        }
    }
    *argc = kept;
    if (options->peers && !has_peers()) {
        return refuse(sentence, "--peers: this norma-bench is built without any; scripts/peers builds one with them");
    }
    if (options->with && !options->compare) {
        return refuse(sentence, "--with: it is for --compare, which names the earlier run");
    }
    if (options->tuned && options->path.count > 0) {
        return refuse(sentence, "--tuned-vs-default: --path is not for it, it times fused and untuned");
    }
    return !options->tuned || parse_words(&options->path, "--path", "fused,untuned", known_path, sentence);
}

// Runs the cases with Google Benchmark.
//
// Cases go in groups: one problem at one thread count, all paths on the same tensors. Each group is one run of Google
// Benchmark with randomly interleaved repetitions; its reports are held back until the group is done, because the ratios
// need the group's copy and unfused times (report.h).
#include <algorithm>
#include <chrono>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <regex>
#include <set>

#include "google.h"
#include "report.h"

namespace
{

void time_case(benchmark::State &state, Case *timed)
{
    if (!timed->failure.empty()) {
        state.SkipWithError(timed->failure.c_str());
        return;
    }
    bool (*const run)(void *) = timed->path->run;
    void *const argument = timed->state;
    bool good = true;
    for (auto _ : state) {
        good &= run(argument);
        benchmark::ClobberMemory();
    }
    if (!good) {
        timed->failure = "FAILED: a run did not succeed";
        state.SkipWithError(timed->failure.c_str());
    }
}

// Sets a case up, computes once and checks. False when there is no such case.
bool prepare(Case *made, const bench_problem &problem, const bench_tensors &tensors, int threads)
{
    char label[BENCH_SENTENCE_MAX] = "", sentence[BENCH_SENTENCE_MAX] = "";
    const bench_path *path = made->path;
    const bench_ready ready = path->prepare(&made->state, path, &problem, &tensors, threads, label, sentence);
    bool good = ready == BENCH_READY;
    if (good) {
        bench_tensors_spoil(&tensors, &problem);
        good = path->run(made->state);
        std::snprintf(sentence, sizeof sentence, "%s", good ? "" : "the run did not succeed");
        good = good && (path->exact_copy ? bench_check_copy : bench_check)(&tensors, &problem, sentence);
    }
    made->label = path->variant ? path->variant : label;
    made->failure = good ? "" : std::string("FAILED: ") + sentence;
    if (ready == BENCH_ABSENT) {
        path->release(made->state);
    }
    return ready != BENCH_ABSENT;
}

struct Selection {
    bench_options options;
    std::vector<case_spec> specs; // that the options name, in their order
    std::regex filter;
    bool filter_inverted = false;

    // Google Benchmark's rules: a search, inverted by a leading minus.
    bool set_filter(const std::string &text)
    {
        filter_inverted = !text.empty() && text[0] == '-';
        try {
            filter = std::regex(text == "all" ? "" : text.substr(filter_inverted ? 1 : 0));
        } catch (const std::regex_error &) {
            return false;
        }
        return true;
    }

    // Only where it is asked for: it says the same as fused wherever no tuning file is in force.
    bool wants_untuned(const bench_path &path) const
    {
        return std::strcmp(path.name, "untuned") != 0 || options.path.count > 0;
    }

    bool wants(const bench_problem &problem, const bench_path &path, const std::string &name) const
    {
        return (!options.quick || problem.quick) && bench_words_allow(&options.op, norma_op_name(problem.desc.op)) &&
               bench_words_allow(&options.dtype, norma_dtype_name(problem.desc.dtype)) &&
               bench_words_allow(&options.path, path.name) && wants_untuned(path) &&
               std::regex_search(name, filter) != filter_inverted && path.exists(&path, &problem);
    }
};

std::string case_name(const bench_problem &problem, const bench_path &path, int threads)
{
    return std::string(problem.name) + "/" + path.name + "/threads:" + std::to_string(threads);
}

// One problem at one thread count. A copy joins whatever was selected.
struct Group {
    bench_problem problem;
    int threads;
    std::deque<Case> cases;
};

Group select_group(const Selection &selection, size_t index, int threads)
{
    Group group = {{}, threads, {}};
    bench_problem_make(&group.problem, &selection.specs[index]);
    size_t column = 0, wanted = 0;
    for (size_t i = 0; i < bench_path_count; i++) {
        const bench_path &path = bench_paths[i];
        column = bench_path_leads(i) ? i : column;
        Case made;
        made.path = &path;
        made.column = column;
        made.name = case_name(group.problem, path, threads);
        const bool want = selection.wants(group.problem, path, made.name);
        wanted += want;
        if (want || (path.exact_copy && !selection.options.tuned && path.exists(&path, &group.problem))) {
            group.cases.push_back(made);
        }
    }
    if (wanted == 0) {
        group.cases.clear();
    }
    return group;
}

// The fastest of the paths with one name, or one that failed; NULL when none ran.
const Case *chosen_of(const std::deque<Case> &cases, const char *name)
{
    const Case *chosen = nullptr;
    for (const Case &one : cases) {
        if (std::strcmp(one.path->name, name) == 0 &&
            (!chosen || (chosen->failure.empty() && (!one.failure.empty() || one.median < chosen->median)))) {
            chosen = &one;
        }
    }
    return chosen;
}

void time_cases(Group *group, Collector *collector, bench_line *line)
{
    for (size_t i = 0; i < group->cases.size(); i++) {
        benchmark::RegisterBenchmark(std::to_string(i).c_str(), time_case, &group->cases[i])
            ->UseRealTime()
            ->MeasureProcessCPUTime()
            ->ComputeStatistics(
                "best", [](const std::vector<double> &values) { return *std::min_element(values.begin(), values.end()); });
    }
    collector->start_group(&group->cases);
    benchmark::RunSpecifiedBenchmarks(collector, nullptr, "all");
    benchmark::ClearRegisteredBenchmarks();
    for (Case &done : group->cases) {
        summarize(&done);
    }
    const Bases bases = {chosen_of(group->cases, "copy"), chosen_of(group->cases, "unfused"),
                         chosen_of(group->cases, "untuned")};
    for (const Case &done : group->cases) {
        if (chosen_of(group->cases, done.path->name) == &done) {
            collector->publish(done, group->problem.useful_bytes, bases);
            line->cells[done.column] = {done.timed(), !done.failure.empty(), done.noisy(), done.median};
        }
    }
}

bench_line run_group(Group *group, Collector *collector)
{
    bench_line line = {};
    std::memcpy(line.name, group->problem.name, sizeof line.name);
    line.useful_bytes = group->problem.useful_bytes;
    line.threads = group->threads;
    bench_tensors tensors;
    char sentence[BENCH_SENTENCE_MAX];
    if (!bench_tensors_create(&tensors, &group->problem, group->threads, sentence)) {
        std::cerr << "norma-bench: " << group->problem.name << " is left out: it " << sentence << "\n";
        return line;
    }
    const auto absent = [&](Case &one) { return !prepare(&one, group->problem, tensors, group->threads); };
    auto &cases = group->cases;
    cases.erase(std::remove_if(cases.begin(), cases.end(), absent), cases.end());
    time_cases(group, collector, &line);
    for (Case &done : group->cases) {
        done.path->release(done.state);
    }
    bench_tensors_destroy(&tensors);
    return line;
}

int refuse(const std::string &sentence)
{
    std::cerr << "norma-bench: " << sentence << "\n";
    return 2;
}

// What runs, in order: each problem at each thread count, where any case is selected.
struct Agenda {
    std::vector<std::pair<size_t, int>> places;
    std::vector<std::string> names;
    size_t name_width = 0;
};

Agenda agenda_of(const Selection &selection)
{
    Agenda agenda;
    for (size_t i = 0; i < selection.specs.size(); i++) {
        for (size_t k = 0; k < selection.options.threads_count; k++) {
            const int threads = selection.options.threads[k];
            const Group group = select_group(selection, i, threads);
            for (const Case &one : group.cases) {
                if (agenda.names.empty() || agenda.names.back() != one.name) {
                    agenda.names.push_back(one.name);
                }
                agenda.name_width = std::max(agenda.name_width, one.name.size() + std::strlen("_median"));
            }
            if (!group.cases.empty()) {
                agenda.places.emplace_back(i, threads);
            }
        }
    }
    return agenda;
}

// Runs everything; returns the exit status.
int run(const Agenda &agenda, const Selection &selection, const Flags &flags)
{
    const std::string format = flags.value("benchmark_format", "console"), path = flags.value("benchmark_out", "");
    const std::string file_format = flags.value("benchmark_out_format", "json");
    const bool only = flags.truth("benchmark_report_aggregates_only", false);
    std::vector<Sink> sinks = {{benchmark::CreateDefaultDisplayReporter(), format,
                                only || flags.truth("benchmark_display_aggregates_only", format == "console")}};
    const std::unique_ptr<benchmark::BenchmarkReporter> reporter = file_reporter(file_format);
    std::ofstream file;
    if (!path.empty()) {
        file.open(path);
        reporter->SetOutputStream(&file);
        reporter->SetErrorStream(&file);
        sinks.push_back({reporter.get(), file_format, only});
    }
    if (!file) {
        std::cerr << "norma-bench: cannot write '" << path << "': " << std::strerror(errno) << "\n";
        return 1;
    }
    add_context();
    Collector collector(sinks, agenda.name_width);
    std::vector<bench_line> lines;
    bool failed = false, timed = false;
    const auto started = std::chrono::steady_clock::now();
    for (const auto &[index, threads] : agenda.places) {
        // On a machine that is busy elsewhere nothing is quick; then some shapes are better than none.
        if (selection.options.quick && std::chrono::steady_clock::now() - started > std::chrono::seconds(50)) {
            std::cerr << "norma-bench: out of time, as other work keeps this machine busy; "
                      << agenda.places.size() - lines.size() << " of " << agenda.places.size() << " shapes are left out\n";
            break;
        }
        Group group = select_group(selection, index, threads);
        lines.push_back(run_group(&group, &collector));
        for (const bench_cell &cell : lines.back().cells) {
            failed |= cell.failed;
            timed |= cell.timed;
        }
    }
    collector.finish();
    if (format == "console") {
        bench_table_print(stdout, lines.data(), lines.size(), selection.options.tuned);
    }
    file.flush();
    if (!file) {
        std::cerr << "norma-bench: writing '" << path << "' failed\n";
    }
    return failed || !timed || !file ? 1 : 0;
}

// What to measure, each case once, however often a model has it.
bool take_cases(Selection *selection)
{
    char sentence[BENCH_SENTENCE_MAX];
    case_set set;
    std::set<std::string> seen;
    const bool good = bench_cases(&set, &selection->options, sentence);
    for (size_t i = 0; good && i < set.count; i++) {
        if (seen.insert(set.specs[i].name).second) {
            selection->specs.push_back(set.specs[i]);
        }
    }
    case_set_free(&set);
    if (!good) {
        refuse(sentence);
    }
    return good;
}

// Ours, then Google Benchmark's; 2 and a sentence for a mistake.
int parse(int argc, char **argv, const Flags &flags, Selection *selection)
{
    for (const char *name : {"benchmark_format", "benchmark_out_format"}) {
        const std::string format = flags.value(name, "json");
        if (format != "console" && format != "json" && format != "csv") {
            return refuse(std::string("--") + name + " is one of console, json, csv");
        }
    }
    if (!take_cases(selection) || !initialize(flags, selection->options, argc, argv)) {
        return 2;
    }
    // Its variables in the environment may be wrong, and every case would fail of it.
    norma_context *context = nullptr;
    if (norma_context_create(&context, nullptr) != NORMA_SUCCESS) {
        return refuse(norma_last_error());
    }
    norma_context_destroy(context);
    if (!selection->set_filter(benchmark::GetBenchmarkFilter())) {
        return refuse("--benchmark_filter is not a regular expression");
    }
    bench_options *options = &selection->options;
    if (options->threads_count == 0) {
        options->threads[options->threads_count++] = 1;
        if (bench_cores() > 1) {
            options->threads[options->threads_count++] = bench_cores();
        }
    }
    for (size_t i = 0; i < options->threads_count; i++) {
        if (options->threads[i] > bench_cores()) {
            std::cerr << "norma-bench: " << options->threads[i] << " threads share " << bench_cores()
                      << " processors here: expect waiting, not speed\n";
        }
    }
    return 0;
}

} // namespace

int main(int argc, char **argv)
{
    Selection selection;
    char sentence[BENCH_SENTENCE_MAX];
    if (!bench_options_parse(&selection.options, &argc, argv, sentence)) {
        return refuse(sentence);
    }
    if (selection.options.help) {
        bench_help_print(stdout);
        return 0;
    }
    const Flags flags(argc, argv);
    if (const int status = parse(argc, argv, flags, &selection)) {
        return status;
    }
    const Agenda agenda = agenda_of(selection);
    if (agenda.places.empty()) {
        return refuse("no case is left by these options; norma-bench --list shows all");
    }
    if (selection.options.list || flags.truth("benchmark_list_tests", false)) {
        for (const std::string &name : agenda.names) {
            std::cout << name << "\n";
        }
        return 0;
    }
    return run(agenda, selection, flags);
}

// Runs the cases with Google Benchmark.
//
// Cases go in groups: one problem at one thread count, all paths on the same tensors. A round goes through all groups, and a
// group's turn is one run of Google Benchmark with randomly interleaved repetitions. Rounds lie minutes apart and have memory
// of their own, so that how they differ tells how far to trust the result. Reports are held back until the last round, because
// the ratios need the group's copy and unfused times (report.h).
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>

#include "google.h"
#include "session.h"

namespace
{

int refuse(const std::string &sentence)
{
    std::cerr << "norma-bench: " << sentence << "\n";
    return 2;
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
    Session session(agenda, selection, &collector);
    session.measure(
        std::max(1, std::atoi(flags.value("benchmark_repetitions", default_repetitions(selection.options)).c_str())));
    std::ostringstream changes;
    const bool regressed = selection.compares && session.regressed(changes);
    const int status = session.finish(format == "console") || regressed ? 1 : 0;
    (format == "console" ? std::cout : std::cerr) << changes.str();
    file.flush();
    if (!file) {
        std::cerr << "norma-bench: writing '" << path << "' failed\n";
    }
    return file ? status : 1;
}

// Of two runs that have been.
int compare_files(const Selection &selection)
{
    Record current;
    std::string wrong;
    if (!read_record(selection.options.with, &current, &wrong)) {
        return refuse("--with: " + wrong);
    }
    const Comparison comparison = compare(selection.old, current);
    if (comparison.rows.empty()) {
        return refuse("--with: '" + std::string(selection.options.with) + "' and the earlier run have no row in common");
    }
    print(std::cout, comparison, selection.old, current);
    return comparison.regressed() ? 1 : 0;
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
    if (!min_time_of(flags, selection->options, &selection->min_time)) {
        return refuse("--benchmark_min_time: expected seconds, as in 0.03 or 0.03s");
    }
    std::string wrong;
    if (!take_cases(selection, &wrong)) {
        return refuse(wrong);
    }
    if (!initialize(flags, selection->options, argc, argv)) {
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
    std::string wrong;
    selection.compares = selection.options.compare != nullptr;
    if (selection.compares && !read_record(selection.options.compare, &selection.old, &wrong)) {
        return refuse("--compare: " + wrong);
    }
    if (selection.options.with) {
        return compare_files(selection);
    }
    if (const int status = parse(argc, argv, flags, &selection)) {
        return status;
    }
    const Agenda agenda = agenda_of(selection);
    if (agenda.groups.empty()) {
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

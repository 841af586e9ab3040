#include "google.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <iostream>

std::string Flags::value(const std::string &name, const std::string &otherwise) const
{
    std::string found = otherwise, variable = name;
    std::transform(name.begin(), name.end(), variable.begin(), [](unsigned char c) { return std::toupper(c); });
    if (const char *text = std::getenv(variable.c_str())) {
        found = text;
    }
    for (const std::string &argument : arguments_) {
        if (argument == "--" + name) {
            found = "true";
        } else if (argument.rfind("--" + name + "=", 0) == 0) {
            found = argument.substr(name.size() + 3);
        }
    }
    return found;
}

bool Flags::truth(const std::string &name, bool otherwise) const
{
    const std::string text = value(name, otherwise ? "true" : "false");
    return !(text.empty() || text == "0" || text[0] == 'f' || text[0] == 'F' || text[0] == 'n' || text[0] == 'N');
}

// The CSV one is deprecated, but its users still have it.
std::unique_ptr<benchmark::BenchmarkReporter> file_reporter(const std::string &format)
{
    if (format == "console") {
        return std::make_unique<benchmark::ConsoleReporter>(benchmark::ConsoleReporter::OO_None);
    }
    if (format == "csv") {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
        return std::make_unique<benchmark::CSVReporter>();
#pragma GCC diagnostic pop
    }
    return std::make_unique<benchmark::JSONReporter>();
}

bool initialize(const Flags &flags, const bench_options &options, int argc, char **argv)
{
    static std::vector<std::string> words = {argv[0]};
    const auto otherwise = [&](const char *name, const char *value) {
        if (!flags.has(name)) {
            words.push_back(std::string("--") + name + "=" + value);
        }
    };
    otherwise("benchmark_enable_random_interleaving", "true");
    otherwise("benchmark_repetitions", options.quick ? "7" : "15");
    otherwise("benchmark_min_time", options.quick ? "0.01" : "0.03");
    words.insert(words.end(), argv + 1, argv + argc);
    words.insert(words.end(), {"--benchmark_out=", "--benchmark_list_tests=false", "--benchmark_report_aggregates_only=false",
                               "--benchmark_display_aggregates_only=false"});
    std::vector<char *> pointers;
    for (std::string &word : words) {
        pointers.push_back(word.data());
    }
    int count = static_cast<int>(pointers.size());
    pointers.push_back(nullptr);
    benchmark::Initialize(&count, pointers.data());
    if (count > 1) {
        std::cerr << "norma-bench: Google Benchmark does not take '" << pointers[1] << "'; --help lists options\n";
    }
    return count == 1;
}

void add_context()
{
    norma_context_info info = {};
    info.struct_size = sizeof info;
    norma_cpu_info cpu = {};
    cpu.struct_size = sizeof cpu;
    benchmark::AddCustomContext("norma", norma_version_string());
    if (norma_get_cpu_info(&cpu) == NORMA_SUCCESS) {
        benchmark::AddCustomContext("cpu", cpu.model);
    }
    if (norma_context_get_info(nullptr, &info) == NORMA_SUCCESS) {
        benchmark::AddCustomContext("isa", std::string(norma_isa_name(info.isa)) + " (" + info.isa_reason + ")");
        benchmark::AddCustomContext("tuning", info.tuning);
    }
}

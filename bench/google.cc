#include "google.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <iomanip>
#include <iostream>
#include <sstream>

#ifdef __clang__
static const char compiler[] = "clang " __clang_version__;
#else
static const char compiler[] = "gcc " __VERSION__;
#endif

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

const char *default_repetitions(const bench_options &options)
{
    return options.quick ? "10" : "15";
}

bool min_time_of(const Flags &flags, const bench_options &options, double *seconds)
{
    const std::string text = flags.value("benchmark_min_time", options.quick ? "0.01" : "0.03");
    char *end;
    *seconds = std::strtod(text.c_str(), &end);
    return end != text.c_str() && (*end == '\0' || std::strcmp(end, "s") == 0) && *seconds > 0 && *seconds < 1e6;
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
    otherwise("benchmark_repetitions", default_repetitions(options));
    for (int i = 1; i < argc; i++) {
        // Versions differ in how this is written; it is set for each case, see rounds.cc.
        if (std::strncmp(argv[i], "--benchmark_min_time=", 21) != 0) {
            words.push_back(argv[i]);
        }
    }
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

static std::string with_digits(double value, int digits)
{
    std::ostringstream text;
    text << std::fixed << std::setprecision(digits) << value;
    return text.str();
}

void add_roofline(const bench_roofline &roofline)
{
    for (int level = BENCH_L1; level < BENCH_LEVELS; level++) {
        for (int pass = BENCH_READ; pass < BENCH_PASSES; pass++) {
            const double speed = roofline.speed[level][pass];
            if (speed > 0) {
                benchmark::AddCustomContext(std::string("roofline/") + bench_level_name(static_cast<bench_level>(level)) + "/" +
                                                bench_pass_name(static_cast<bench_pass>(pass)) +
                                                "/threads:" + std::to_string(roofline.threads),
                                            with_digits(speed * 1e-9, 1));
            }
        }
    }
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
        benchmark::AddCustomContext("cores", std::to_string(cpu.cores));
        for (const bench_level level : {BENCH_L1, BENCH_L2, BENCH_L3}) {
            benchmark::AddCustomContext(std::string("bytes/") + bench_level_name(level),
                                        std::to_string(bench_level_size(level)));
        }
    }
    benchmark::AddCustomContext("compiler", compiler);
    if (norma_context_get_info(nullptr, &info) == NORMA_SUCCESS) {
        benchmark::AddCustomContext("isa", std::string(norma_isa_name(info.isa)) + " (" + info.isa_reason + ")");
        benchmark::AddCustomContext("tuning", info.tuning);
    }
}

// The parts of Google Benchmark's own main() that norma-bench does in its place.
#ifndef NORMA_BENCH_GOOGLE_H
#define NORMA_BENCH_GOOGLE_H

#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "bench.h"

// Google Benchmark's flags: the last on the command line, else its variable in the environment.
class Flags
{
  public:
    Flags(int argc, char **argv) : arguments_(argv + 1, argv + argc)
    {
    }

    bool has(const std::string &name) const
    {
        return !value(name, "").empty();
    }

    std::string value(const std::string &name, const std::string &otherwise) const;
    bool truth(const std::string &name, bool otherwise) const;

  private:
    std::vector<std::string> arguments_;
};

std::unique_ptr<benchmark::BenchmarkReporter> file_reporter(const std::string &format);

// Hands Google Benchmark its arguments: our defaults, what the user said, and what norma-bench does in its place. False
// after a sentence to stderr.
bool initialize(const Flags &flags, const bench_options &options, int argc, char **argv);

// --benchmark_min_time, in seconds, as "0.03" or "0.03s". False where it is neither.
bool min_time_of(const Flags &flags, const bench_options &options, double *seconds);

const char *default_repetitions(const bench_options &options);

// What a report says about the machine, and about its memory: "roofline/L2/copy/threads:1" in GB/s.
void add_context();
void add_roofline(const bench_roofline &roofline);

#endif

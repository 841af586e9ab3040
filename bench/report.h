// What harness.cc measures and how it reaches the reporters of Google Benchmark.
#ifndef NORMA_BENCH_REPORT_H
#define NORMA_BENCH_REPORT_H

#include <deque>
#include <ostream>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "bench.h"

using Run = benchmark::BenchmarkReporter::Run;

struct Case {
    const bench_path *path;
    size_t column; // of the path that leads its name
    std::string name;
    std::string label;
    std::string failure; // a sentence, or empty
    void *state = nullptr;
    std::vector<std::vector<Run>> reports;
    double mean = 0, median = 0, best = 0; // seconds of one run, over the repetitions
    double processors = 0;                 // that the process had while it ran, median over the repetitions

    bool timed() const
    {
        return failure.empty() && median > 0;
    }

    // Repetitions that differ much, or a process that was not let run, tell of other work on the machine.
    bool noisy() const
    {
        return median > 1.15 * best || processors < 0.95;
    }
};

// Fills in what the case's reports say about its time.
void summarize(Case *done);

// One place that results go to.
struct Sink {
    benchmark::BenchmarkReporter *reporter;
    std::string format;
    bool aggregates_only;

    void emit(const std::vector<Run> &runs) const
    {
        if (!runs.empty()) {
            reporter->ReportRuns(runs);
        }
    }
};

// What a group's cases are compared with; NULL where there is none.
struct Bases {
    const Case *copy, *unfused, *untuned;
};

// Takes Google Benchmark's reports of a group. Its context is passed on once, whatever the number of groups.
class Collector : public benchmark::BenchmarkReporter
{
  public:
    Collector(std::vector<Sink> sinks, size_t name_width) : sinks_(std::move(sinks)), name_width_(name_width)
    {
    }

    void start_group(std::deque<Case> *cases)
    {
        cases_ = cases;
    }

    bool ReportContext(const Context &context) override
    {
        Context wide = context;
        wide.name_field_width = name_width_;
        for (const Sink &sink : sinks_) {
            if (!started_ && !sink.reporter->ReportContext(wide)) {
                return false;
            }
        }
        started_ = true;
        return true;
    }

    void ReportRuns(const std::vector<Run> &runs) override
    {
        // The registered name is the case's place in its group, see run_group().
        (*cases_)[std::stoul(runs.front().run_name.function_name)].reports.push_back(runs);
    }

    void publish(const Case &chosen, double useful_bytes, const Bases &bases);

    void finish()
    {
        for (const Sink &sink : sinks_) {
            if (started_) {
                sink.reporter->Finalize();
                sink.reporter->GetOutputStream().flush();
            }
        }
    }

  private:
    std::vector<Sink> sinks_;
    size_t name_width_;
    std::deque<Case> *cases_ = nullptr;
    bool started_ = false;
    int64_t published_ = 0;
};

#endif

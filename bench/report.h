// What harness.cc measures and how it reaches the reporters of Google Benchmark.
#ifndef NORMA_BENCH_REPORT_H
#define NORMA_BENCH_REPORT_H

#include <deque>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "bench.h"

using Run = benchmark::BenchmarkReporter::Run;

// Of the repetitions of a case, in seconds of one run.
struct Timing {
    double mean = 0, deviation = 0, median = 0, best = 0;
    double spread = 0; // of their middle half, as a part of the median
    double noise = 0;  // how much more than the best the best of a round usually is, as a part: rounds have memory of their own
    double processors = 0; // that the process had while it ran, median over the repetitions
};

struct Case {
    const bench_path *path;
    size_t column; // of the path that leads its name
    std::string name;
    std::string label;
    std::string failure; // a sentence, or empty
    void *state = nullptr;
    std::vector<std::vector<Run>> rounds; // their repetitions
    Timing timing;

    bool timed() const
    {
        return failure.empty() && timing.median > 0;
    }

    // Repetitions or rounds that differ much, or a process that was not let run, tell of other work on the machine.
    bool noisy() const
    {
        return timing.median > 1.15 * timing.best || timing.noise > 0.05 || timing.processors < 0.95;
    }
};

// Works out the case's timing from its rounds.
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

// What a case is told beside: its group, and others' times by the name of the ratio, "vs_copy"; NULL where there is none.
struct Surroundings {
    double useful_bytes;
    bench_level level;
    double roof; // bytes per second; 0: not measured
    std::vector<std::pair<const char *, const Case *>> bases;
};

// Takes Google Benchmark's reports of a group. Its context is passed on once, whatever the number of groups.
class Collector : public benchmark::BenchmarkReporter
{
  public:
    Collector(std::vector<Sink> sinks, size_t name_width) : sinks_(std::move(sinks)), name_width_(name_width)
    {
    }

    // A round of a group's cases begins.
    void start_group(std::deque<Case> *cases)
    {
        cases_ = cases;
        for (Case &one : *cases) {
            one.rounds.emplace_back();
        }
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
        // The registered name is the case's place in its group, see time_round(). Aggregates are made from all rounds.
        for (const Run &run : runs) {
            if (run.run_type == Run::RT_Iteration) {
                (*cases_)[std::stoul(run.run_name.function_name)].rounds.back().push_back(run);
            }
        }
    }

    void publish(const Case &chosen, const Surroundings &around);

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

// Rounds of a case made into repetitions, aggregates and counters, and passed on to the reporters.
#include "report.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

namespace
{

double seconds_of(const Run &run)
{
    return run.GetAdjustedRealTime() / benchmark::GetTimeUnitMultiplier(run.time_unit);
}

// The value that a part of a sample lies below, between its neighbours where none is there.
double quantile(std::vector<double> values, double part)
{
    std::sort(values.begin(), values.end());
    const double place = part * static_cast<double>(values.size() - 1);
    const auto below = static_cast<size_t>(place);
    const double above = values[std::min(below + 1, values.size() - 1)];
    return values[below] + (above - values[below]) * (place - static_cast<double>(below));
}

double mean_of(const std::vector<double> &values)
{
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Of the population that the values are a sample of; 0 for one value.
double deviation_of(const std::vector<double> &values)
{
    const double mean = mean_of(values);
    double squares = 0;
    for (const double value : values) {
        squares += (value - mean) * (value - mean);
    }
    return values.size() < 2 ? 0 : std::sqrt(squares / static_cast<double>(values.size() - 1));
}

// An aggregate in Google Benchmark's terms: its iterations are the repetitions, and its time the sum over them.
Run aggregate_of(const std::vector<const Run *> &runs, const char *name, double real, double processor, bool ratio)
{
    Run run = *runs.front();
    run.run_type = Run::RT_Aggregate;
    run.aggregate_name = name;
    run.aggregate_unit = ratio ? benchmark::kPercentage : benchmark::kTime;
    run.iterations = static_cast<benchmark::IterationCount>(runs.size());
    run.repetition_index = Run::no_repetition_index;
    run.real_accumulated_time = real * (ratio ? 1 : static_cast<double>(runs.size()));
    run.cpu_accumulated_time = processor * (ratio ? 1 : static_cast<double>(runs.size()));
    return run;
}

std::vector<Run> aggregates_of(const std::vector<const Run *> &runs, const Timing &timing)
{
    std::vector<double> processor;
    for (const Run *run : runs) {
        processor.push_back(run->cpu_accumulated_time / static_cast<double>(run->iterations));
    }
    const double mean = mean_of(processor), deviation = deviation_of(processor);
    const double part = mean > 0 ? deviation / mean : 0;
    return {aggregate_of(runs, "mean", timing.mean, mean, false),
            aggregate_of(runs, "median", timing.median, quantile(processor, 0.5), false),
            aggregate_of(runs, "stddev", timing.deviation, deviation, false),
            aggregate_of(runs, "cv", timing.deviation / timing.mean, part, true),
            aggregate_of(runs, "best", timing.best, *std::min_element(processor.begin(), processor.end()), false)};
}

double time_for(const Case &base, const Run &run)
{
    return run.aggregate_name == "best"   ? base.timing.best
           : run.aggregate_name == "mean" ? base.timing.mean
                                          : base.timing.median;
}

// GB/s and ratios: like to like, the best over the best and the median over the median; one repetition over the median.
void decorate(Run *run, const Case &chosen, const Surroundings &around, const std::string &format)
{
    // The CSV reporter insists on the columns of its first lines.
    const bool fill = format == "csv";
    if (run->aggregate_unit == benchmark::kPercentage || run->aggregate_name == "stddev" || !chosen.failure.empty()) {
        return;
    }
    const auto set = [&](const char *name, bool known, double value) {
        if (known || fill) {
            run->counters[name] = known ? value : NAN;
        }
    };
    const double seconds = seconds_of(*run), speed = around.useful_bytes / seconds;
    set("GB/s", true, speed * 1e-9);
    for (const auto &[name, base] : around.bases) {
        // People look at two; programs at all.
        if (format != "console" || std::strcmp(name, "vs_copy") == 0 || std::strcmp(name, "vs_unfused") == 0) {
            set(name, base && base != &chosen && base->timed(), base && base->timed() ? time_for(*base, *run) / seconds : 0);
        }
    }
    if (format != "console") {
        const bool median = run->aggregate_name == "median", best = run->aggregate_name == "best";
        set("of_roofline", around.roof > 0, speed / around.roof);
        set("useful_bytes", true, around.useful_bytes);
        set("level", true, around.level + 1);
        set("spread", median, chosen.timing.spread);
        set("noise", median || best, chosen.timing.noise);
        set("noisy", median, chosen.noisy());
        set("rounds", median, static_cast<double>(chosen.rounds.size()));
    }
}

} // namespace

void Collector::publish(const Case &chosen, const Surroundings &around)
{
    std::vector<const Run *> runs;
    for (const std::vector<Run> &round : chosen.rounds) {
        for (const Run &run : round) {
            runs.push_back(&run);
        }
    }
    if (runs.empty()) {
        return;
    }
    for (const Sink &sink : sinks_) {
        std::vector<Run> single, aggregates;
        for (const Run *run : runs) {
            single.push_back(*run);
            single.back().repetition_index = static_cast<int64_t>(single.size()) - 1;
        }
        if (!chosen.failure.empty()) {
            single.resize(1);
        } else if (runs.size() > 1) {
            aggregates = aggregates_of(runs, chosen.timing);
        }
        for (std::vector<Run> *some : {&single, &aggregates}) {
            for (Run &run : *some) {
                run.run_name = benchmark::BenchmarkName();
                run.run_name.function_name = chosen.name;
                run.family_index = published_;
                run.report_label = chosen.label;
                run.repetitions = static_cast<int64_t>(runs.size());
                decorate(&run, chosen, around, sink.format);
            }
        }
        // People want the line to go by and how far to trust it; files get all there is.
        const auto crowds = [](const Run &run) { return run.aggregate_name == "mean" || run.aggregate_name == "stddev"; };
        if (sink.format == "console" && sink.aggregates_only) {
            aggregates.erase(std::remove_if(aggregates.begin(), aggregates.end(), crowds), aggregates.end());
        }
        if (!sink.aggregates_only || aggregates.empty()) {
            sink.emit(single);
        }
        sink.emit(aggregates);
        sink.reporter->GetOutputStream().flush();
    }
    published_++;
}

void summarize(Case *done)
{
    std::vector<double> seconds, processors, bests;
    for (const std::vector<Run> &round : done->rounds) {
        std::vector<double> own;
        for (const Run &run : round) {
            own.push_back(seconds_of(run));
            processors.push_back(run.GetAdjustedCPUTime() / run.GetAdjustedRealTime());
        }
        if (!own.empty()) {
            bests.push_back(quantile(own, 0));
        }
        seconds.insert(seconds.end(), own.begin(), own.end());
    }
    if (!seconds.empty() && done->failure.empty()) {
        Timing &timing = done->timing;
        timing.mean = mean_of(seconds);
        timing.deviation = deviation_of(seconds);
        timing.median = quantile(seconds, 0.5);
        timing.best = *std::min_element(seconds.begin(), seconds.end());
        timing.spread = (quantile(seconds, 0.75) - quantile(seconds, 0.25)) / timing.median;
        timing.noise = quantile(bests, 0.5) / timing.best - 1;
        timing.processors = quantile(processors, 0.5);
    }
}

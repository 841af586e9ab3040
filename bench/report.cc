// Reports of a group of cases, held back until the group is done, then given their counters and passed on.
#include "report.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace
{

double seconds_of(const Run &run)
{
    return run.GetAdjustedRealTime() / benchmark::GetTimeUnitMultiplier(run.time_unit);
}

double time_for(const Case &base, const Run &run)
{
    return run.aggregate_name == "best" ? base.best : run.aggregate_name == "mean" ? base.mean : base.median;
}

// GB/s and ratios: like to like, the best over the best and the median over the median; one repetition over the median.
void decorate(Run *run, const Case &chosen, double useful_bytes, const Bases &bases, bool fill)
{
    if (run->aggregate_unit == benchmark::kPercentage || run->aggregate_name == "stddev" || !chosen.failure.empty()) {
        return;
    }
    const double seconds = seconds_of(*run);
    run->counters["GB/s"] = useful_bytes / seconds * 1e-9;
    for (const auto &[name, base] : {std::make_pair("vs_copy", bases.copy), std::make_pair("vs_unfused", bases.unfused),
                                     std::make_pair("vs_untuned", bases.untuned)}) {
        if (base && base->timed()) {
            run->counters[name] = time_for(*base, *run) / seconds;
        } else if (fill) {
            run->counters[name] = NAN;
        }
    }
}

} // namespace

void Collector::publish(const Case &chosen, double useful_bytes, const Bases &bases)
{
    for (const Sink &sink : sinks_) {
        std::vector<Run> single, aggregates;
        for (const std::vector<Run> &runs : chosen.reports) {
            for (Run run : runs) {
                const bool aggregate = run.run_type == Run::RT_Aggregate;
                // People want the line to go by and how far to trust it; files get all there is.
                if (sink.format == "console" && sink.aggregates_only &&
                    (run.aggregate_name == "mean" || run.aggregate_name == "stddev")) {
                    continue;
                }
                run.run_name = benchmark::BenchmarkName();
                run.run_name.function_name = chosen.name;
                run.family_index = published_;
                run.report_label = chosen.label;
                // The CSV reporter insists on the columns of its first lines.
                decorate(&run, chosen, useful_bytes, bases, sink.format == "csv");
                (aggregate ? aggregates : single).push_back(run);
            }
        }
        if (!chosen.failure.empty()) {
            single.resize(std::min<size_t>(single.size(), 1));
            aggregates.clear();
        }
        if (!sink.aggregates_only || aggregates.empty()) {
            sink.emit(single);
        }
        sink.emit(aggregates);
        sink.reporter->GetOutputStream().flush();
    }
    published_++;
}

static double median_of(std::vector<double> values)
{
    std::sort(values.begin(), values.end());
    const size_t half = values.size() / 2;
    return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

void summarize(Case *done)
{
    std::vector<double> seconds, processors;
    for (const std::vector<Run> &runs : done->reports) {
        for (const Run &run : runs) {
            if (run.run_type == Run::RT_Iteration && done->failure.empty()) {
                seconds.push_back(seconds_of(run));
                processors.push_back(run.GetAdjustedCPUTime() / run.GetAdjustedRealTime());
            }
        }
    }
    if (!seconds.empty()) {
        done->mean = std::accumulate(seconds.begin(), seconds.end(), 0.0) / static_cast<double>(seconds.size());
        done->best = *std::min_element(seconds.begin(), seconds.end());
        done->median = median_of(seconds);
        done->processors = median_of(processors);
    }
}

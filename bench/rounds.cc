#include "rounds.h"

#include <algorithm>
#include <cstdio>
#include <iostream>

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
    if (good && made->rounds.empty()) {
        bench_tensors_spoil(&tensors, &problem);
        good = path->run(made->state);
        std::snprintf(sentence, sizeof sentence, "%s", good ? "" : "the run did not succeed");
        if (good && path->collect) {
            path->collect(made->state);
        }
        good = good && (path->exact_copy ? bench_check_copy(&tensors, &problem, sentence)
                                         : bench_check(&tensors, &problem, path->peer, sentence));
    }
    made->label = path->variant && !(path->peer && *label) ? path->variant : label;
    const bool left_out = ready == BENCH_ABSENT || (path->peer && !good);
    if (left_out && ready != BENCH_ABSENT) {
        std::cerr << "norma-bench: " << made->name << " is left out: " << sentence << "\n";
    }
    if (left_out) {
        path->release(made->state);
    } else if (!good && made->failure.empty()) {
        made->failure = std::string("FAILED: ") + sentence;
    }
    return !left_out;
}

// All later rounds run as often in a row as Google Benchmark has found to be long enough in the first.
void time_round(Group *group, Collector *collector, int repetitions)
{
    for (size_t i = 0; i < group->cases.size(); i++) {
        Case &one = group->cases[i];
        auto *made = benchmark::RegisterBenchmark(std::to_string(i).c_str(), time_case, &one);
        made->UseRealTime()->MeasureProcessCPUTime()->Repetitions(repetitions);
        if (!one.rounds.empty() && !one.rounds.front().empty() && one.failure.empty()) {
            made->Iterations(one.rounds.front().front().iterations);
        } else {
            made->MinTime(group->min_time);
        }
    }
    collector->start_group(&group->cases);
    benchmark::RunSpecifiedBenchmarks(collector, nullptr, "all");
    benchmark::ClearRegisteredBenchmarks();
}

} // namespace

void run_round(Group *group, Collector *collector, bench_tensors *held, int repetitions)
{
    const double most_held = 64 << 20;
    bench_tensors tensors;
    char sentence[BENCH_SENTENCE_MAX];
    if (group->problem.useful_bytes > most_held) {
        bench_tensors_destroy(held);
    }
    if (!bench_tensors_create(&tensors, &group->problem, group->threads, sentence)) {
        std::cerr << "norma-bench: " << group->problem.name << " is left out: it " << sentence << "\n";
        group->cases.clear();
        return;
    }
    const auto absent = [&](Case &one) { return !prepare(&one, group->problem, tensors, group->threads); };
    auto &cases = group->cases;
    cases.erase(std::remove_if(cases.begin(), cases.end(), absent), cases.end());
    time_round(group, collector, repetitions);
    for (Case &done : group->cases) {
        done.path->release(done.state);
        done.state = nullptr;
        summarize(&done);
    }
    bench_tensors_destroy(held);
    if (group->problem.useful_bytes > most_held) {
        bench_tensors_destroy(&tensors);
    }
    *held = tensors;
}

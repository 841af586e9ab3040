#include "session.h"

#include <algorithm>
#include <cstring>
#include <iostream>
#include <set>
#include <utility>

#include <unistd.h>

#include "google.h"
#include "rounds.h"

namespace
{

constexpr int rounds_of_all = 5, rounds_again = 5, repetitions_again = 2, times_again = 3;

// Of the repetitions, those that fall to round `index` of `rounds`.
int share_of(int repetitions, int index, int rounds)
{
    return repetitions / rounds + (index < repetitions % rounds);
}

bool holds_any(const Group &group, const std::set<std::string> &names)
{
    const auto named = [&](const Case &one) { return names.count(one.name) > 0; };
    return std::any_of(group.cases.begin(), group.cases.end(), named);
}

void show_progress(int round, int rounds, const Group &group)
{
    if (isatty(STDERR_FILENO) && round < rounds - 1) {
        std::cerr << "\r\033[Kround " << round + 1 << " of " << rounds << ": " << group.problem.name << std::flush;
    } else if (isatty(STDERR_FILENO)) {
        std::cerr << "\r\033[K" << std::flush;
    }
}

} // namespace

Session::Session(Agenda agenda, const Selection &selection, Collector *collector)
    : agenda_(std::move(agenda)), selection_(selection), collector_(collector)
{
    for (size_t i = 0; i < selection.options.threads_count; i++) {
        char sentence[BENCH_SENTENCE_MAX];
        bench_roofline roofline;
        if (bench_roofline_measure(&roofline, selection.options.threads[i], sentence)) {
            add_roofline(roofline);
            rooflines_.push_back(roofline);
        } else {
            std::cerr << "norma-bench: " << sentence << "\n";
        }
    }
}

void Session::measure(int repetitions)
{
    const int rounds = std::min(repetitions, rounds_of_all);
    for (int round = 0; round < rounds; round++) {
        for (Group &group : agenda_.groups) {
            // On a machine that is busy elsewhere nothing is quick; then some shapes are better than none.
            if (selection_.options.quick && std::chrono::duration<double>(Clock::now() - started_).count() > 50) {
                return;
            }
            show_progress(round, rounds, group);
            run_round(&group, collector_, &held_, share_of(repetitions, round, rounds));
            if (round == rounds - 1 && !selection_.compares) {
                publish(&group);
            }
        }
    }
}

bool Session::regressed(std::ostream &out)
{
    Comparison comparison = compare(selection_.old, record());
    for (int again = 0; again < times_again && comparison.regressed(); again++) {
        const std::set<std::string> suspects = comparison.suspects();
        for (int round = 0; round < rounds_again; round++) {
            for (Group &group : agenda_.groups) {
                if (holds_any(group, suspects)) {
                    run_round(&group, collector_, &held_, repetitions_again);
                }
            }
        }
        comparison = compare(selection_.old, record());
    }
    print(out, comparison, selection_.old, record());
    return comparison.regressed();
}

int Session::finish(bool table)
{
    bench_tensors_destroy(&held_);
    size_t out = 0;
    for (Group &group : agenda_.groups) {
        publish(&group);
        out += !group.cases.empty() && group.cases.front().rounds.empty();
    }
    collector_->finish();
    if (out > 0) {
        std::cerr << "norma-bench: out of time, as other work keeps this machine busy; " << out << " of "
                  << agenda_.groups.size() << " shapes are left out\n";
    }
    if (table) {
        bench_table_print(stdout, lines_.data(), lines_.size(), selection_.options.tuned);
    }
    bool failed = false, timed = false;
    for (const bench_line &line : lines_) {
        for (const bench_cell &cell : line.cells) {
            failed |= cell.failed;
            timed |= cell.timed;
        }
    }
    return failed || !timed ? 1 : 0;
}

Record Session::record() const
{
    Record record;
    for (const Group &group : agenda_.groups) {
        for (const Case &one : group.cases) {
            if (chosen_of(group.cases, one.path->name) == &one && one.timed()) {
                record.rows[one.name] = {one.timing.best, one.timing.noise, group.problem.useful_bytes};
            }
        }
    }
    norma_cpu_info cpu = {};
    cpu.struct_size = sizeof cpu;
    record.cpu = norma_get_cpu_info(&cpu) == NORMA_SUCCESS ? cpu.model : "";
    return record;
}

Surroundings Session::surroundings_of(const Group &group, const Case &one) const
{
    const bench_level level = bench_level_of(group.problem.useful_bytes, group.threads);
    double roof = 0;
    for (const bench_roofline &roofline : rooflines_) {
        roof = roofline.threads == group.threads ? bench_roofline_at(&roofline, level) : roof;
    }
    return {group.problem.useful_bytes,
            level,
            roof,
            {{"vs_copy", chosen_of(group.cases, "copy")},
             {"vs_unfused", chosen_of(group.cases, "unfused")},
             {"vs_untuned", chosen_of(group.cases, "untuned")},
             {"vs_generic", chosen_of(group.cases, "generic")},
             {"vs_one_thread", with_one_thread(agenda_, group, one.path->name)}}};
}

void Session::publish(Group *group)
{
    if (group->published || group->cases.empty() || group->cases.front().rounds.empty()) {
        return;
    }
    bench_line line = {};
    std::memcpy(line.name, group->problem.name, sizeof line.name);
    line.useful_bytes = group->problem.useful_bytes;
    line.threads = group->threads;
    for (const Case &done : group->cases) {
        if (chosen_of(group->cases, done.path->name) == &done) {
            const Surroundings around = surroundings_of(*group, done);
            collector_->publish(done, around);
            line.cells[done.column] = {done.timed(), !done.failure.empty(), done.noisy(), done.timing.median,
                                       done.timing.spread};
            line.level = around.level;
            line.roof = around.roof;
        }
    }
    const Case *alone = with_one_thread(agenda_, *group, "fused");
    line.one_thread = alone && alone->timed() ? alone->timing.median : 0;
    lines_.push_back(line);
    group->published = true;
}

// A run from the roofline to the table.
#ifndef NORMA_BENCH_SESSION_H
#define NORMA_BENCH_SESSION_H

#include <chrono>
#include <ostream>
#include <vector>

#include "selection.h"

class Session
{
  public:
    // Measures the roofline, for each number of threads.
    Session(Agenda agenda, const Selection &selection, Collector *collector);

    void measure(int repetitions);

    // Whether something is slower than in the old run. What seems to be is measured again, three times at most: a regression
    // stays, and a disturbed moment does not. Says so.
    bool regressed(std::ostream &out);

    // Publishes what is not yet, and prints the table where that is wanted; returns the exit status.
    int finish(bool table);

  private:
    using Clock = std::chrono::steady_clock;

    Record record() const;
    Surroundings surroundings_of(const Group &group, const Case &one) const;
    void publish(Group *group);

    Agenda agenda_;
    const Selection &selection_;
    Collector *collector_;
    std::vector<bench_roofline> rooflines_;
    std::vector<bench_line> lines_;
    bench_tensors held_ = {};
    const Clock::time_point started_ = Clock::now();
};

#endif

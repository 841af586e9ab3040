// A group's turn.
#ifndef NORMA_BENCH_ROUNDS_H
#define NORMA_BENCH_ROUNDS_H

#include "selection.h"

// A round of a group on new tensors. `held`, those of another group, go once these are there: the system would give the same
// pages again. In the first round each case is checked.
void run_round(Group *group, Collector *collector, bench_tensors *held, int repetitions);

#endif

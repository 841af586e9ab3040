// Two runs, row by row: what has become slower by more than both runs' noise.
#ifndef NORMA_BENCH_COMPARE_H
#define NORMA_BENCH_COMPARE_H

#include <map>
#include <ostream>
#include <set>
#include <string>
#include <vector>

// Of a row, the fastest repetition in seconds, and how much more the best of a round usually takes, as a part.
struct Standing {
    double best = 0;
    double noise = 0;
    double useful_bytes = 0;
};

// By name: op/dtype/layout/shape/path/threads:N.
struct Record {
    std::map<std::string, Standing> rows;
    std::string cpu, date, norma;
    int repetitions = 0;
};

// From the JSON of --benchmark_out. False with a sentence.
bool read_record(const std::string &path, Record *record, std::string *sentence);

// norma's own rows, not the yardsticks'.
bool is_norma(const std::string &name);

struct Change {
    std::string name;      // of a row; or of many: "all rows", "layer_norm"
    double slower = 0;     // 0.1: takes a tenth more time
    double beyond = 0;     // as much is noise
    Standing old, current; // of a row

    bool regressed() const
    {
        return slower > beyond;
    }

    bool improved() const
    {
        return slower < -beyond;
    }
};

struct Comparison {
    std::vector<Change> rows, groups;
    size_t missing = 0; // rows of the old run that the new one lacks

    bool regressed() const;
    // The rows that have regressed, or are of a group that has.
    std::set<std::string> suspects() const;
};

Comparison compare(const Record &old, const Record &current);
void print(std::ostream &out, const Comparison &comparison, const Record &old, const Record &current);

#endif

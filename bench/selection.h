// What is to run: the cases, paths and thread counts that the options leave, in groups.
#ifndef NORMA_BENCH_SELECTION_H
#define NORMA_BENCH_SELECTION_H

#include <cstring>
#include <deque>
#include <regex>
#include <string>
#include <vector>

#include "compare.h"
#include "report.h"

struct Selection {
    bench_options options;
    std::vector<case_spec> specs; // that the options name, in their order
    std::regex filter;
    bool filter_inverted = false;
    double min_time = 0.03; // seconds of a repetition
    bool compares = false;
    Record old; // of the run to compare with

    // Google Benchmark's rules: a search, inverted by a leading minus.
    bool set_filter(const std::string &text)
    {
        filter_inverted = !text.empty() && text[0] == '-';
        try {
            filter = std::regex(text == "all" ? "" : text.substr(filter_inverted ? 1 : 0));
        } catch (const std::regex_error &) {
            return false;
        }
        return true;
    }

    bool wants_path(const bench_path &path, const std::string &name) const
    {
        if (compares && options.path.count == 0) {
            return is_norma(name) && old.rows.count(name) > 0;
        }
        return options.path.count > 0 ? bench_words_allow(&options.path, path.name)
                                      : (!path.fuller || options.full) && (!path.peer || options.peers);
    }

    bool wants(const bench_problem &problem, const bench_path &path, const std::string &name) const
    {
        return (!options.quick || problem.quick) && bench_words_allow(&options.op, norma_op_name(problem.desc.op)) &&
               bench_words_allow(&options.dtype, norma_dtype_name(problem.desc.dtype)) && wants_path(path, name) &&
               std::regex_search(name, filter) != filter_inverted && path.exists(&path, &problem);
    }
};

// The cases that the options name, or those of the old run, each once. False with a sentence.
bool take_cases(Selection *selection, std::string *sentence);

// One problem at one thread count. A copy joins whatever was selected.
struct Group {
    bench_problem problem;
    int threads;
    double min_time;
    std::deque<Case> cases;
    bool published = false;
};

// The fastest of the paths with one name, or one that failed; NULL when none ran.
const Case *chosen_of(const std::deque<Case> &cases, const char *name);

// What runs, in order: each problem at each thread count, where any case is selected.
struct Agenda {
    std::deque<Group> groups;
    std::vector<std::string> names;
    size_t name_width = 0;
};

Agenda agenda_of(const Selection &selection);

// Of the cases of one problem with one thread, the one of a path.
const Case *with_one_thread(const Agenda &agenda, const Group &group, const char *path);

#endif

#include "selection.h"

#include <cstdlib>
#include <set>
#include <utility>

namespace
{

// "layer_norm/f32/rows/512x1024/fused/threads:2": the case, and the number of threads.
std::pair<std::string, int> parts_of(const std::string &name)
{
    const size_t threads = name.rfind('/'), path = name.rfind('/', threads - 1);
    const size_t colon = name.rfind(':');
    return {name.substr(0, path), colon == std::string::npos ? 1 : std::atoi(name.c_str() + colon + 1)};
}

// The old run's cases, and its numbers of threads where none are given.
void take_old_cases(Selection *selection)
{
    const bool open = selection->options.threads_count == 0;
    std::set<std::string> seen;
    std::set<int> threads;
    for (const auto &row : selection->old.rows) {
        const auto [name, count] = parts_of(row.first);
        char sentence[BENCH_SENTENCE_MAX];
        case_spec spec;
        if (is_norma(row.first) && case_parse(&spec, name.c_str(), sentence)) {
            threads.insert(count);
            spec.quick = true;
            if (seen.insert(name).second) {
                selection->specs.push_back(spec);
            }
        }
    }
    bench_options *options = &selection->options;
    for (const int count : threads) {
        if (count >= 1 && options->threads_count < BENCH_WORDS_MAX && open) {
            options->threads[options->threads_count++] = count;
        }
    }
}

std::string case_name(const bench_problem &problem, const bench_path &path, int threads)
{
    return std::string(problem.name) + "/" + path.name + "/threads:" + std::to_string(threads);
}

// One problem at one thread count. A copy joins whatever was selected.
Group select_group(const Selection &selection, size_t index, int threads)
{
    Group group;
    group.threads = threads;
    group.min_time = selection.min_time;
    bench_problem_make(&group.problem, &selection.specs[index]);
    size_t column = 0, wanted = 0;
    for (size_t i = 0; i < bench_path_count; i++) {
        const bench_path &path = bench_paths[i];
        column = bench_path_leads(i) ? i : column;
        Case made;
        made.path = &path;
        made.column = column;
        made.name = case_name(group.problem, path, threads);
        const bool want = selection.wants(group.problem, path, made.name);
        wanted += want;
        if (want || (path.exact_copy && !selection.options.tuned && path.exists(&path, &group.problem))) {
            group.cases.push_back(made);
        }
    }
    if (wanted == 0) {
        group.cases.clear();
    }
    return group;
}

} // namespace

bool take_cases(Selection *selection, std::string *sentence)
{
    if (selection->compares && !selection->options.shapes && !selection->options.model) {
        take_old_cases(selection);
        return true;
    }
    char wrong[BENCH_SENTENCE_MAX] = "";
    case_set set;
    std::set<std::string> seen;
    const bool good = bench_cases(&set, &selection->options, wrong);
    for (size_t i = 0; good && i < set.count; i++) {
        if (seen.insert(set.specs[i].name).second) {
            selection->specs.push_back(set.specs[i]);
        }
    }
    case_set_free(&set);
    *sentence = wrong;
    return good;
}

const Case *chosen_of(const std::deque<Case> &cases, const char *name)
{
    const Case *chosen = nullptr;
    for (const Case &one : cases) {
        if (std::strcmp(one.path->name, name) == 0 &&
            (!chosen || (chosen->failure.empty() && (!one.failure.empty() || one.timing.median < chosen->timing.median)))) {
            chosen = &one;
        }
    }
    return chosen;
}

Agenda agenda_of(const Selection &selection)
{
    Agenda agenda;
    for (size_t i = 0; i < selection.specs.size(); i++) {
        for (size_t k = 0; k < selection.options.threads_count; k++) {
            const Group group = select_group(selection, i, selection.options.threads[k]);
            for (const Case &one : group.cases) {
                if (agenda.names.empty() || agenda.names.back() != one.name) {
                    agenda.names.push_back(one.name);
                }
                agenda.name_width = std::max(agenda.name_width, one.name.size() + std::strlen("_median"));
            }
            if (!group.cases.empty()) {
                agenda.groups.push_back(group);
            }
        }
    }
    return agenda;
}

const Case *with_one_thread(const Agenda &agenda, const Group &group, const char *path)
{
    for (const Group &other : agenda.groups) {
        if (group.threads > 1 && other.threads == 1 && std::strcmp(other.problem.name, group.problem.name) == 0) {
            return chosen_of(other.cases, path);
        }
    }
    return nullptr;
}

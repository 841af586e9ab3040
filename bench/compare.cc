// A regression must show in the time itself and in the time over the copy's: neighbours on the machine slow both down alike,
// and a lucky copy alone is no regression of norma. Times are the fastest repetition of all rounds, since noise only ever adds.
#include "compare.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iomanip>

#include <nlohmann/json.hpp>

namespace
{

// Below these, nothing is called a change; see README.md for what two runs of one build differ by.
constexpr double least_of_row = 0.05, least_of_group = 0.04;
constexpr size_t least_rows = 8;

std::string part_of(const std::string &name, size_t index)
{
    size_t begin = 0;
    for (; index > 0 && begin != std::string::npos; index--) {
        begin = name.find('/', begin);
        begin += begin != std::string::npos;
    }
    return begin == std::string::npos ? "" : name.substr(begin, name.find('/', begin) - begin);
}

// The same row's copy.
std::string copy_of(const std::string &name)
{
    const size_t threads = name.rfind('/'), path = name.rfind('/', threads - 1);
    return name.substr(0, path) + "/copy" + name.substr(threads);
}

double seconds_per(const std::string &unit)
{
    return unit == "s" ? 1 : unit == "ms" ? 1e-3 : unit == "us" ? 1e-6 : 1e-9;
}

void add_row(const nlohmann::json &row, Record *record)
{
    if (row.value("aggregate_name", "") == "best" && row.contains("noise")) {
        const double seconds = row.at("real_time").get<double>() * seconds_per(row.value("time_unit", "ns"));
        const std::string name = row.at("run_name").get<std::string>();
        if (seconds > 0 && name.find('/') != std::string::npos) {
            record->rows[name] = {seconds, row.at("noise").get<double>(), row.value("useful_bytes", 0.0)};
            record->repetitions = std::max(record->repetitions, row.value("repetitions", 0));
        }
    }
}

double change_of(const Standing &old, const Standing &current)
{
    return std::log(current.best / old.best);
}

// The lesser of the two: by itself, and over the copy's.
double slower_by(const std::string &name, const Record &old, const Record &current)
{
    const double own = change_of(old.rows.at(name), current.rows.at(name));
    const auto before = old.rows.find(copy_of(name)), after = current.rows.find(copy_of(name));
    if (before == old.rows.end() || after == current.rows.end()) {
        return own;
    }
    const double ratio = own - change_of(before->second, after->second);
    return (own > 0) != (ratio > 0) ? 0 : std::fabs(own) < std::fabs(ratio) ? own : ratio;
}

double noise_of(const std::string &name, const Record &record)
{
    const auto copy = record.rows.find(copy_of(name));
    const double own = record.rows.at(name).noise;
    return copy == record.rows.end() ? own : std::hypot(own, copy->second.noise);
}

Change change_of_rows(const std::string &name, std::vector<double> slower)
{
    Change change;
    const size_t half = slower.size() / 2;
    std::nth_element(slower.begin(), slower.begin() + static_cast<ptrdiff_t>(half), slower.end());
    change.name = name;
    change.slower = std::expm1(slower[half]);
    change.beyond = least_of_group;
    return change;
}

double percent(double part)
{
    return 100 * part;
}

} // namespace

bool is_norma(const std::string &name)
{
    const size_t threads = name.rfind('/'), path = name.rfind('/', threads - 1);
    const std::string word = name.substr(path + 1, threads - path - 1);
    for (const char *own : {"fused", "untuned", "generic", "avx2", "avx512", "avx512_bf16", "neon"}) {
        if (word == own) {
            return true;
        }
    }
    return false;
}

bool read_record(const std::string &path, Record *record, std::string *sentence)
{
    std::ifstream file(path);
    if (!file) {
        *sentence = "'" + path + "' cannot be read: " + std::strerror(errno);
        return false;
    }
    try {
        const nlohmann::json whole = nlohmann::json::parse(file);
        const nlohmann::json &context = whole.at("context");
        record->cpu = context.value("cpu", "");
        record->date = context.value("date", "");
        record->norma = context.value("norma", "");
        for (const nlohmann::json &row : whole.at("benchmarks")) {
            add_row(row, record);
        }
    } catch (const nlohmann::json::exception &) {
        *sentence = "'" + path + "' is not the JSON of norma-bench --benchmark_out";
        return false;
    }
    if (record->rows.empty()) {
        *sentence = "'" + path +
                    "' has no rows with their noise: it was expected from norma-bench --benchmark_out of this version, "
                    "with more than one repetition";
        return false;
    }
    return true;
}

Comparison compare(const Record &old, const Record &current)
{
    Comparison comparison;
    std::map<std::string, std::vector<double>> groups;
    for (const auto &[name, standing] : old.rows) {
        if (!is_norma(name)) {
            continue;
        }
        const auto found = current.rows.find(name);
        if (found == current.rows.end()) {
            comparison.missing++;
            continue;
        }
        const double slower = slower_by(name, old, current);
        Change change;
        change.name = name;
        change.slower = std::expm1(slower);
        change.beyond = std::max(least_of_row, 3 * std::hypot(noise_of(name, old), noise_of(name, current)));
        change.old = standing;
        change.current = found->second;
        comparison.rows.push_back(change);
        groups["all rows"].push_back(slower);
        groups[part_of(name, 0)].push_back(slower);
    }
    for (const auto &[name, slower] : groups) {
        if (slower.size() >= least_rows) {
            comparison.groups.push_back(change_of_rows(name, slower));
        }
    }
    const auto more = [](const Change &a, const Change &b) { return a.slower > b.slower; };
    std::sort(comparison.rows.begin(), comparison.rows.end(), more);
    std::sort(comparison.groups.begin(), comparison.groups.end(), more);
    return comparison;
}

bool Comparison::regressed() const
{
    const auto is = [](const Change &change) { return change.regressed(); };
    return std::any_of(rows.begin(), rows.end(), is) || std::any_of(groups.begin(), groups.end(), is);
}

std::set<std::string> Comparison::suspects() const
{
    std::set<std::string> names;
    for (const Change &row : rows) {
        bool suspect = row.regressed();
        for (const Change &group : groups) {
            suspect |= group.regressed() && (group.name == "all rows" || group.name == part_of(row.name, 0));
        }
        if (suspect) {
            names.insert(row.name);
        }
    }
    return names;
}

void print(std::ostream &out, const Comparison &comparison, const Record &old, const Record &current)
{
    size_t slower = 0, faster = 0;
    out << std::fixed;
    for (const Change &row : comparison.rows) {
        slower += row.regressed();
        faster += row.improved();
        if (row.regressed() || row.improved()) {
            out << (row.regressed() ? "slower" : "faster") << std::showpos << std::setprecision(1) << std::setw(8)
                << percent(row.slower) << " %" << std::noshowpos << "  (noise" << std::setw(5) << percent(row.beyond) << " %)  "
                << row.old.useful_bytes / row.old.best * 1e-9 << " -> " << row.current.useful_bytes / row.current.best * 1e-9
                << " GB/s  " << row.name << "\n";
        }
    }
    for (const Change &group : comparison.groups) {
        out << (group.regressed()  ? "slower"
                : group.improved() ? "faster"
                                   : "  same")
            << std::showpos << std::setprecision(1) << std::setw(8) << percent(group.slower) << " %" << std::noshowpos
            << "  (noise" << std::setw(5) << percent(group.beyond) << " %)  " << group.name
            << ", the median of their changes\n";
    }
    out << comparison.rows.size() << " rows compared with " << old.date << ": " << slower << " slower, " << faster
        << " faster, the others the same within noise";
    if (comparison.missing > 0) {
        out << "; " << comparison.missing << " of the earlier rows were not measured";
    }
    out << ".\n";
    if (old.cpu != current.cpu) {
        out << "These are two machines: " << old.cpu << ", and " << current.cpu << ". Only ratios to the copy are of use.\n";
    }
}

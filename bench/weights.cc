// norma-bench-weights: weight norm and spectral norm beside what memory allows, with Google Benchmark.
//
// Each group of cases shares its tensors, and its repetitions are shuffled: ratios are of one moment. Nothing wrong is timed.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

extern "C" {
#include "passes.h"
}
#include "norma/weights.h"

namespace
{

struct Free {
    void operator()(void *memory) const
    {
        std::free(memory);
    }
};

// Floats on a 64-byte boundary, every page of them touched.
struct Tensor {
    std::unique_ptr<float[], Free> data;
    size_t count = 0;

    explicit Tensor(int64_t elements)
        : data(static_cast<float *>(std::aligned_alloc(64, (static_cast<size_t>(elements) * 4 + 127) / 64 * 64))),
          count(static_cast<size_t>(elements))
    {
        uint32_t state = 1;
        for (size_t i = 0; data && i < count; i++) {
            state = state * 1664525 + 1013904223;
            data[i] = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
        }
    }

    float *get() const
    {
        return data.get();
    }
};

// One thing to time. The first of a group is the yardstick.
struct Timed {
    std::string name;
    double bytes;
    std::function<bool()> run;
    double median = 0; // seconds
};

struct Group {
    std::vector<Timed> cases;
    std::function<bool()> check; // after each case has run once
};

[[noreturn]] void give_up(const std::string &sentence)
{
    std::cerr << "norma-bench-weights: " << sentence << "\n";
    std::exit(1);
}

const bench_isa_passes &passes_of(norma_context *context)
{
    norma_context_info info = {};
    info.struct_size = sizeof info;
    norma_context_get_info(context, &info);
    return *bench_passes_for(info.isa);
}

bool near(double got, double want)
{
    return std::fabs(got - want) <= 1e-5 * std::max(1.0, std::fabs(want));
}

std::string shape_name(const std::vector<int64_t> &shape)
{
    std::string name;
    for (int64_t extent : shape) {
        name += (name.empty() ? "" : "x") + std::to_string(extent);
    }
    return name;
}

// The tensors of a weight norm, and where its slices lie.
struct WeightNorm {
    norma_weight_norm_desc desc;
    int64_t outer = 1, slices = 1, inner = 1;
    Tensor v, grad_w, w, grad_v, g, norms, grad_g;

    WeightNorm(const std::vector<int64_t> &shape, int axis, int64_t elements)
        : desc(norma_weight_norm_desc_of(static_cast<int>(shape.size()), shape.data(), axis, NORMA_F32)), v(elements),
          grad_w(elements), w(elements), grad_v(elements), g(shape[static_cast<size_t>(axis)]),
          norms(shape[static_cast<size_t>(axis)]), grad_g(shape[static_cast<size_t>(axis)])
    {
        desc.zero_norm = NORMA_ZERO_NORM_NAN;
        for (int k = 0; k < static_cast<int>(shape.size()); k++) {
            (k < axis ? outer : k == axis ? slices : inner) *= shape[static_cast<size_t>(k)];
        }
        for (int64_t i = 0; i < elements; i++) { // a gradient of its own
            grad_w.get()[i] = 1 - 2 * v.get()[(i * 7 + 3) % elements];
        }
    }

    bool check_slice(int64_t slice) const
    {
        double squares = 0, dot = 0;
        const auto each = [&](const std::function<void(int64_t)> &visit) {
            for (int64_t i = 0; i < outer * inner; i++) {
                visit((i / inner * slices + slice) * inner + i % inner);
            }
        };
        each([&](int64_t i) {
            squares += static_cast<double>(v.get()[i]) * v.get()[i];
            dot += static_cast<double>(v.get()[i]) * grad_w.get()[i];
        });
        const double n = std::sqrt(squares), scale = g.get()[slice];
        bool good = true;
        each([&](int64_t i) {
            good = good && near(w.get()[i], v.get()[i] * scale / n) &&
                   near(grad_v.get()[i], (grad_w.get()[i] - v.get()[i] * dot / squares) * scale / n);
        });
        return good && near(grad_g.get()[slice], dot / n);
    }
};

Group weight_norm_group(norma_context *context, const std::vector<int64_t> &shape, int axis)
{
    int64_t elements = 1;
    for (int64_t extent : shape) {
        elements *= extent;
    }
    const auto t = std::make_shared<WeightNorm>(shape, axis, elements);
    const double bytes = 4.0 * static_cast<double>(elements);
    const std::string name = "weight_norm/f32/" + shape_name(shape) + "/axis:" + std::to_string(axis);
    const auto forward = [=] {
        norma_weight_norm_args args = {};
        args.struct_size = sizeof args;
        args.v = t->v.get(), args.g = t->g.get(), args.w = t->w.get(), args.norms = t->norms.get();
        return norma_weight_norm(context, &t->desc, &args) == NORMA_SUCCESS;
    };
    const auto backward = [=] {
        norma_weight_norm_gradients args = {};
        args.struct_size = sizeof args;
        args.grad_w = t->grad_w.get(), args.v = t->v.get(), args.g = t->g.get(), args.norms = t->norms.get();
        args.grad_v = t->grad_v.get(), args.grad_g = t->grad_g.get();
        return norma_weight_norm_backward(context, &t->desc, &args) == NORMA_SUCCESS;
    };
    const auto copy = [=] {
        passes_of(context).copy_streaming(t->w.get(), t->v.get(), static_cast<size_t>(elements) * 4);
        return true;
    };
    Group group;
    group.cases = {{name + "/copy", 2 * bytes, copy},
                   {name + "/forward", 2 * bytes, forward},
                   {name + "/backward", 3 * bytes, backward},
                   {name + "/both", 5 * bytes, [=] { return forward() && backward(); }}};
    group.check = [=] { return t->check_slice(0) && t->check_slice(t->slices - 1) && t->check_slice(t->slices / 2); };
    return group;
}

// The tensors of a spectral norm of a matrix.
struct SpectralNorm {
    norma_spectral_norm_desc desc;
    int64_t rows, columns;
    Tensor weight, u, v;
    std::unique_ptr<char, Free> workspace;
    double sigma = 0;

    SpectralNorm(int64_t rows_, int64_t columns_)
        : desc(), rows(rows_), columns(columns_), weight(rows_ * columns_), u(rows_), v(columns_)
    {
        const int64_t shape[] = {rows, columns};
        desc = norma_spectral_norm_desc_of(2, shape, 0, NORMA_F32);
        workspace.reset(static_cast<char *>(std::aligned_alloc(64, (norma_spectral_norm_workspace(&desc) + 63) / 64 * 64)));
    }

    bool run(norma_context *context, norma_spectral_order order)
    {
        norma_spectral_norm_args args = {};
        args.struct_size = sizeof args;
        args.weight = weight.get(), args.u = u.get(), args.v = v.get(), args.sigma = &sigma, args.workspace = workspace.get();
        desc.order = order;
        return norma_spectral_norm(context, &desc, &args) == NORMA_SUCCESS;
    }

    // sigma = u^T W v.
    bool check() const
    {
        double sum = 0;
        for (int64_t i = 0; i < rows; i++) {
            double product = 0;
            for (int64_t j = 0; j < columns; j++) {
                product += static_cast<double>(weight.get()[i * columns + j]) * v.get()[j];
            }
            sum += product * u.get()[i];
        }
        return near(sigma, sum);
    }
};

Group spectral_norm_group(norma_context *context, int64_t rows, int64_t columns)
{
    const auto t = std::make_shared<SpectralNorm>(rows, columns);
    const double bytes = 4.0 * static_cast<double>(rows * columns);
    const std::string name = "spectral_norm/f32/" + shape_name({rows, columns});
    const auto read = [=] {
        benchmark::DoNotOptimize(passes_of(context).read(t->weight.get(), static_cast<size_t>(rows * columns) * 4));
        return true;
    };
    Group group;
    group.cases = {{name + "/read", bytes, read},
                   {name + "/u_first", bytes, [=] { return t->run(context, NORMA_SPECTRAL_U_FIRST); }},
                   {name + "/v_first", bytes, [=] { return t->run(context, NORMA_SPECTRAL_V_FIRST); }}};
    group.check = [=] { return t->check(); };
    return group;
}

// Prints as Google Benchmark does, and keeps the medians.
class Medians : public benchmark::ConsoleReporter
{
  public:
    std::map<std::string, double> seconds;

    void ReportRuns(const std::vector<Run> &runs) override
    {
        for (const Run &run : runs) {
            if (run.aggregate_name == "median") {
                seconds[run.run_name.function_name] =
                    run.GetAdjustedRealTime() / benchmark::GetTimeUnitMultiplier(run.time_unit);
            }
        }
        ConsoleReporter::ReportRuns(runs);
    }
};

void run_group(Group *group, Medians *medians)
{
    for (Timed &timed : group->cases) {
        if (!timed.run()) {
            give_up(timed.name + ": " + norma_last_error());
        }
    }
    if (!group->check()) {
        give_up(group->cases.back().name + " computes something wrong");
    }
    for (Timed &timed : group->cases) {
        benchmark::RegisterBenchmark(timed.name.c_str(), [&timed](benchmark::State &state) {
            for (auto _ : state) {
                timed.run();
                benchmark::ClobberMemory();
            }
            state.SetBytesProcessed(static_cast<int64_t>(timed.bytes * static_cast<double>(state.iterations())));
        })->UseRealTime();
    }
    benchmark::RunSpecifiedBenchmarks(medians);
    benchmark::ClearRegisteredBenchmarks();
    for (Timed &timed : group->cases) {
        timed.median = medians->seconds[timed.name];
    }
}

// GB/s over the yardstick's.
void print_table(const std::vector<Group> &groups)
{
    std::printf("\n%-48s%10s%8s%10s\n", "GB/s", "ms", "", "vs_first");
    for (const Group &group : groups) {
        const Timed &first = group.cases.front();
        for (const Timed &timed : group.cases) {
            if (timed.median > 0 && first.median > 0) {
                const double speed = timed.bytes / timed.median;
                std::printf("%-48s%10.3f%8.1f%10.2f\n", timed.name.c_str(), timed.median * 1e3, speed * 1e-9,
                            speed / (first.bytes / first.median));
            }
        }
    }
    std::printf(
        "Medians over the repetitions; tensors read once + written once, per second. vs_first: over the copy or the read "
        "of the same weight.\n");
}

} // namespace

int main(int argc, char **argv)
{
    std::vector<std::string> words = {argv[0], "--benchmark_enable_random_interleaving=true", "--benchmark_repetitions=15",
                                      "--benchmark_min_time=0.03", "--benchmark_display_aggregates_only=true"};
    norma_context_options options = {};
    options.struct_size = sizeof options;
    options.threads = 1;
    for (int i = 1; i < argc; i++) {
        if (std::strncmp(argv[i], "--threads=", 10) == 0) {
            options.threads = std::atoi(argv[i] + 10);
        } else {
            words.push_back(argv[i]);
        }
    }
    std::vector<char *> arguments;
    for (std::string &word : words) {
        arguments.push_back(word.data());
    }
    int count = static_cast<int>(arguments.size());
    benchmark::Initialize(&count, arguments.data());
    if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) {
        return 2;
    }
    norma_context *context = nullptr;
    if (norma_context_create(&context, &options) != NORMA_SUCCESS) {
        give_up(norma_last_error());
    }
    Medians medians;
    std::vector<Group> groups;
    const std::function<Group()> makers[] = {[=] {
                                                 return weight_norm_group(context, {1024, 1024, 3}, 0);
                                             },
                                             [=] {
                                                 return weight_norm_group(context, {512, 512, 3, 3}, 1);
                                             },
                                             [=] {
                                                 return weight_norm_group(context, {1024, 1024}, 1);
                                             },
                                             [=] { return spectral_norm_group(context, 4096, 4096); },
                                             [=] { return spectral_norm_group(context, 1024, 1024); }};
    for (const auto &make : makers) {
        Group group = make();
        run_group(&group, &medians);
        group.check = nullptr; // lets go of the tensors
        for (Timed &timed : group.cases) {
            timed.run = nullptr;
        }
        groups.push_back(group);
    }
    print_table(groups);
    norma_context_destroy(context);
    return 0;
}

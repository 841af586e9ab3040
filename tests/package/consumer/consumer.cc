// A program outside norma's tree, in C++17: layer norm of two rows by the one-call form and by a plan, same bits.
#include <norma/norma.h>

#include <cstdio>
#include <memory>
#include <vector>

int main()
{
    const std::vector<float> x = {1, 2, 3, 4, 1001, 1002, 1003, 1004};
    std::vector<float> y(x.size()), z(x.size());
    if (norma_layer_norm_f32(x.data(), y.data(), nullptr, nullptr, 2, 4, 1e-5) != NORMA_SUCCESS) {
        std::fprintf(stderr, "%s\n", norma_last_error());
        return 1;
    }

    const int64_t shape[] = {2, 4};
    const norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    norma_plan *made = nullptr;
    if (norma_plan_create(&made, nullptr, &desc) != NORMA_SUCCESS) {
        std::fprintf(stderr, "%s\n", norma_last_error());
        return 1;
    }
    const std::unique_ptr<norma_plan, void (*)(norma_plan *)> plan(made, norma_plan_destroy);
    norma_args args{};
    args.struct_size = sizeof args;
    args.x = x.data();
    args.y = z.data();
    if (norma_run(plan.get(), &args) != NORMA_SUCCESS) {
        std::fprintf(stderr, "%s\n", norma_last_error());
        return 1;
    }

    std::printf("norma %s from C++17: %f %f %f %f\n", norma_version_string(), y[0], y[1], y[2], y[3]);
    const bool right = y[0] > -1.34164f && y[0] < -1.34163f && y[0] == y[4];
    return right && y == z ? 0 : 1;
}

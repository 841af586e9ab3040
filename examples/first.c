/* Layer norm of a small matrix: a context once, a plan per layer, a run per batch. */
#include <norma/norma.h>
#include <stdio.h>

enum { ROWS = 2, COLS = 4 };

int main(void)
{
    const float x[ROWS][COLS] = {{1, 2, 3, 4}, {1e4f, 1e4f + 1, 1e4f + 2, 1e4f + 3}};
    const float gamma[COLS] = {1, 1, 2, 2}, beta[COLS] = {0, 0, 0, 1};
    float y[ROWS][COLS];

    const int64_t shape[] = {ROWS, COLS};
    const norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    norma_plan *plan;
    if (norma_plan_create(&plan, NULL, &desc) != NORMA_SUCCESS) { /* NULL: the default context */
        fprintf(stderr, "%s\n", norma_last_error());
        return 1;
    }
    const norma_args args = {.struct_size = sizeof args, .x = x, .y = y, .scale = gamma, .shift = beta};
    if (norma_run(plan, &args) != NORMA_SUCCESS) {
        fprintf(stderr, "%s\n", norma_last_error());
        return 1;
    }

    char line[256];
    norma_plan_describe(plan, line, sizeof line);
    printf("%s\n", line);
    for (int i = 0; i < ROWS; i++) {
        printf("%9.6f %9.6f %9.6f %9.6f\n", y[i][0], y[i][1], y[i][2], y[i][3]);
    }
    norma_plan_destroy(plan);
    return 0;
}

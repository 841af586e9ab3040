/* A program outside norma's tree, in C11: RMS norm of (3, 4) by a plan, and the sentence of a refusal. */
#include <norma/norma.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    const float x[2] = {3, 4};
    float y[2] = {0, 0};

    norma_context *context = NULL;
    const norma_context_options options = {.struct_size = sizeof options, .threads = 1};
    norma_plan *plan = NULL;
    const int64_t shape[] = {1, 2};
    norma_desc desc = norma_rms_norm_desc(2, shape, -1, NORMA_F32);
    desc.epsilon = 0;
    const norma_args args = {.struct_size = sizeof args, .x = x, .y = y};
    if (norma_context_create(&context, &options) != NORMA_SUCCESS ||
        norma_plan_create(&plan, context, &desc) != NORMA_SUCCESS || norma_run(plan, &args) != NORMA_SUCCESS) {
        fprintf(stderr, "%s\n", norma_last_error());
        return 1;
    }
    norma_plan_destroy(plan);
    norma_context_destroy(context);

    /* 3 and 4 over sqrt(12.5) */
    const int right = y[0] > 0.848527f && y[0] < 0.848529f && y[1] > 1.131370f && y[1] < 1.131372f;
    const int refused = norma_run(NULL, &args) == NORMA_INVALID_ARGUMENT && strlen(norma_last_error()) > 0;
    printf("norma %s from C11: %f %f\n", norma_version_string(), y[0], y[1]);
    return right && refused ? 0 : 1;
}

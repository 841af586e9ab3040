/* The gradient of a residual that joined last: of dy what passed the activation. */
#include "drivers/backward.h"

typedef struct residual_share {
    const norma_backward_run *run;
    int64_t rows; /* of `length` elements, `stride` apart in dy and y */
    int64_t length;
    int64_t stride;
    int64_t tasks;
} residual_share;

static void pass_share(void *argument, size_t task)
{
    const residual_share *share = argument;
    const norma_backward_run *run = share->run;
    const norma_plan *plan = run->plan;
    int64_t first = norma_part_begin(share->rows * share->length, share->tasks, (int64_t)task);
    const int64_t last = norma_part_begin(share->rows * share->length, share->tasks, (int64_t)task + 1);
    while (first < last) {
        const int64_t count = norma_least(last - first, share->length - first % share->length);
        const int64_t at = first / share->length * share->stride + first % share->length;
        norma_gradients from = run->at;
        from.dy = norma_at(plan, from.dy, at);
        from.y = norma_at(plan, from.y, at);
        from.bit = first;
        run->kernel->pass(&from, norma_out_at(plan, run->args->dresidual, first), count);
        first += count;
    }
}

void norma_backward_residual(const norma_backward_run *run)
{
    const norma_problem *problem = &run->plan->problem;
    const int64_t elements = norma_problem_elements(problem);
    residual_share share = {
        .run = run, .rows = 1, .length = elements, .stride = elements, .tasks = run->plan->blocking.threads};
    if (problem->y_span != elements) {
        share.rows = problem->outer;
        share.length = problem->length;
        share.stride = problem->kept[0].y_stride;
    }
    norma_backward_tasks(run, share.tasks, pass_share, &share);
}

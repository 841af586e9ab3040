#include "support/geometries.h"

norma_desc geometries_get(int turn, norma_dtype dtype)
{
    const int64_t rows[] = {5, 83}, planes[] = {3, 4, 41}, tall[] = {3, 37, 29};
    const int outer_and_inner[] = {0, 2};
    norma_desc desc;
    switch (turn) {
    case 0:
        return norma_layer_norm_desc(2, rows, -1, dtype);
    case 1:
        desc = norma_rms_norm_desc(2, rows, -1, dtype);
        desc.rms_mode = NORMA_RMS_ONE_PLUS_SCALE;
        return desc;
    case 2:
        return norma_lp_norm_desc(2, rows, -1, 1, dtype);
    case 3:
        return norma_channel_norm_desc(2, 37, 29, NORMA_NCHW, dtype);
    case 4:
        return norma_lp_norm_desc(3, tall, 1, 2, dtype);
    case 5:
        return norma_mvn_desc(3, planes, 2, outer_and_inner, dtype);
    case 6:
        return norma_batch_norm_desc(3, 5, 47, NORMA_NCHW, dtype);
    case 7:
        return norma_batch_norm_desc(3, 19, 21, NORMA_NHWC, dtype);
    case 8:
        desc = norma_batch_norm_desc(3, 5, 47, NORMA_NCHW, dtype);
        desc.statistics = NORMA_STATISTICS_GIVEN;
        return desc;
    case 9:
        desc = norma_batch_norm_desc(3, 19, 21, NORMA_NHWC, dtype);
        desc.statistics = NORMA_STATISTICS_GIVEN;
        return desc;
    case 10:
        return norma_group_norm_desc(2, 12, 23, 4, NORMA_NCHW, dtype);
    case 11:
        return norma_group_norm_desc(2, 12, 23, 4, NORMA_NHWC, dtype);
    case 12:
        return norma_group_norm_desc(2, 32, 11, 4, NORMA_NCHW8C, dtype);
    default:
        return norma_batch_norm_desc(7, 5, 4, NORMA_NCHW, dtype); /* planes as columns */
    }
}

/*
 * The passes for one element type. Parameters: REAL, the type, and DTYPE, its suffix in names. Plain loops: compilers
 * vectorize each to the full width of the flags they are given.
 */
#define NAME_(name, dtype) name##_##dtype
#define NAME_OF(name, dtype) NAME_(name, dtype)
#define NAME(name) NAME_OF(name, DTYPE)

static void NAME(scale_rows)(void *y_, const void *scale_, int64_t rows, int64_t length)
{
    const REAL *restrict scale = scale_;
    for (int64_t r = 0; r < rows; r++) {
        REAL *restrict y = (REAL *)y_ + r * length;
        for (int64_t i = 0; i < length; i++) {
            y[i] *= scale[i];
        }
    }
}

static void NAME(shift_rows)(void *y_, const void *shift_, int64_t rows, int64_t length)
{
    const REAL *restrict shift = shift_;
    for (int64_t r = 0; r < rows; r++) {
        REAL *restrict y = (REAL *)y_ + r * length;
        for (int64_t i = 0; i < length; i++) {
            y[i] += shift[i];
        }
    }
}

/* Welford's recurrence: sums about a pivot would be cheaper to add up, but miss the error bound that the check asks for. */
static void NAME(column_moments)(const void *x_, bench_block block, void *mean_, void *squares_)
{
    REAL *restrict mean = mean_;
    REAL *restrict squares = squares_;
    for (int64_t i = 0; i < block.columns; i++) {
        mean[i] = squares[i] = 0;
    }
    for (int64_t r = 0; r < block.rows; r++) {
        const REAL *restrict x = (const REAL *)x_ + r * block.stride;
        const REAL part = 1 / (REAL)(r + 1);
        for (int64_t i = 0; i < block.columns; i++) {
            const REAL d = x[i] - mean[i];
            mean[i] += d * part;
            squares[i] += d * (x[i] - mean[i]);
        }
    }
}

static void NAME(normalize_columns)(const void *x_, void *y_, bench_block block, const void *mean_, const void *factor_)
{
    const REAL *restrict mean = mean_;
    const REAL *restrict factor = factor_;
    for (int64_t r = 0; r < block.rows; r++) {
        const REAL *restrict x = (const REAL *)x_ + r * block.stride;
        REAL *restrict y = (REAL *)y_ + r * block.stride;
        for (int64_t i = 0; i < block.columns; i++) {
            y[i] = (x[i] - mean[i]) * factor[i];
        }
    }
}

static void NAME(scale_columns)(void *y_, bench_block block, const void *scale)
{
    for (int64_t r = 0; r < block.rows; r++) {
        REAL *restrict y = (REAL *)y_ + r * block.stride;
        const REAL a = ((const REAL *)scale)[r];
        for (int64_t i = 0; i < block.columns; i++) {
            y[i] *= a;
        }
    }
}

static void NAME(shift_columns)(void *y_, bench_block block, const void *shift)
{
    for (int64_t r = 0; r < block.rows; r++) {
        REAL *restrict y = (REAL *)y_ + r * block.stride;
        const REAL b = ((const REAL *)shift)[r];
        for (int64_t i = 0; i < block.columns; i++) {
            y[i] += b;
        }
    }
}

static const bench_passes NAME(passes) = {NAME(scale_rows),        NAME(shift_rows),    NAME(column_moments),
                                          NAME(normalize_columns), NAME(scale_columns), NAME(shift_columns)};

#undef NAME
#undef NAME_OF
#undef NAME_
#undef DTYPE
#undef REAL

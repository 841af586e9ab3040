/* The header of a .npy file: the text of a Python dictionary with the keys descr, fortran_order and shape. The parser
 * takes what Python takes for such a dictionary (either quote, any key order, any white space, a trailing comma) and
 * nothing else. */
#include "npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char npy_magic[6] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};

#define TYPES_READ "norma reads '<f2', '<f4', '<f8', '|i1', '|u1', and bf16 as '<u2'"

typedef struct header_cursor {
    const char *begin;
    const char *at;
    const char *end;
    tool_failure *failure;
} header_cursor;

typedef struct slice {
    const char *text;
    int length;
} slice;

static bool fail_syntax(const header_cursor *cursor, const char *wanted)
{
    return fail(cursor->failure, EXIT_USER, "its header is not what .npy wants: %s expected at byte %td of it", wanted,
                cursor->at - cursor->begin);
}

static void skip_space(header_cursor *cursor)
{
    while (cursor->at < cursor->end && memchr(" \t\r\n", *cursor->at, 4)) {
        cursor->at++;
    }
}

static bool take(header_cursor *cursor, char wanted)
{
    skip_space(cursor);
    if (cursor->at < cursor->end && *cursor->at == wanted) {
        cursor->at++;
        return true;
    }
    return false;
}

static bool take_word(header_cursor *cursor, const char *word)
{
    const size_t length = strlen(word);
    skip_space(cursor);
    if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, word, length) != 0) {
        return false;
    }
    cursor->at += length;
    return true;
}

static bool is_digit(const header_cursor *cursor)
{
    return cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9';
}

/* No key or type that can be used has an escape in it, so a backslash is just a character that will not match. */
static bool take_string(header_cursor *cursor, slice *string)
{
    skip_space(cursor);
    if (cursor->at == cursor->end || (*cursor->at != '\'' && *cursor->at != '"')) {
        return false;
    }
    const char *start = cursor->at + 1;
    const char *close = memchr(start, *cursor->at, (size_t)(cursor->end - start));
    if (!close || close - start > 1000) {
        return false;
    }
    *string = (slice){start, (int)(close - start)};
    cursor->at = close + 1;
    return true;
}

static bool equals(slice string, const char *word)
{
    return (size_t)string.length == strlen(word) && memcmp(string.text, word, strlen(word)) == 0;
}

static bool parse_type(header_cursor *cursor, npy_array *array)
{
    slice descr;
    skip_space(cursor);
    if (cursor->at < cursor->end && (*cursor->at == '[' || *cursor->at == '(')) {
        return fail(cursor->failure, EXIT_USER, "it holds records of several fields; " TYPES_READ);
    }
    if (!take_string(cursor, &descr)) {
        return fail_syntax(cursor, "the type's name in quotes");
    }
    for (npy_type type = NPY_F16; type <= NPY_U8; type++) {
        if (equals(descr, npy_type_code(type))) {
            array->type = type;
            return true;
        }
    }
    return fail(cursor->failure, EXIT_USER, "it holds %s'%.*s'; " TYPES_READ,
                descr.length > 0 && descr.text[0] == '>' ? "big-endian " : "", descr.length < 40 ? descr.length : 40,
                descr.text);
}

static bool parse_order(header_cursor *cursor)
{
    if (take_word(cursor, "True")) {
        return fail(cursor->failure, EXIT_USER,
                    "it is in Fortran order; norma reads C order, which numpy.ascontiguousarray() makes");
    }
    return take_word(cursor, "False") || fail_syntax(cursor, "True or False");
}

static bool parse_extent(header_cursor *cursor, int64_t *extent)
{
    skip_space(cursor);
    if (cursor->at < cursor->end && *cursor->at == '-') {
        return fail(cursor->failure, EXIT_USER, "its shape has a negative extent");
    }
    if (!is_digit(cursor)) {
        return fail_syntax(cursor, "an extent");
    }
    int64_t value = 0;
    for (; is_digit(cursor); cursor->at++) {
        const int digit = *cursor->at - '0';
        if (value > (INT64_MAX - digit) / 10) {
            return fail(cursor->failure, EXIT_USER, "its shape has an extent past 2^63");
        }
        value = value * 10 + digit;
    }
    if (cursor->at < cursor->end && *cursor->at == 'L') { // Python 2 on some systems wrote (3L, 4L)
        cursor->at++;
    }
    *extent = value;
    return true;
}

/* A tuple: "()", "(3,)", "(3, 4)", "(3, 4,)", but "(3)" is a number in brackets. */
static bool parse_shape(header_cursor *cursor, int *rank, int64_t *shape)
{
    if (!take(cursor, '(')) {
        return fail_syntax(cursor, "the shape's (");
    }
    bool comma = true;
    for (*rank = 0; !take(cursor, ')'); ++*rank) {
        int64_t extent = 0;
        if (!comma) {
            return fail_syntax(cursor, ", or )");
        }
        if (!parse_extent(cursor, &extent)) {
            return false;
        }
        if (*rank < NORMA_MAX_RANK) {
            shape[*rank] = extent;
        }
        comma = take(cursor, ',');
    }
    return *rank != 1 || comma || fail_syntax(cursor, "a tuple such as (3,) before this");
}

static bool check_shape(npy_array *array, int rank, const int64_t *shape, tool_failure *failure)
{
    if (rank == 0) {
        return fail(failure, EXIT_USER, "it holds a single number of no dimensions; norma takes 1 to %d dimensions",
                    NORMA_MAX_RANK);
    }
    if (rank > NORMA_MAX_RANK) {
        return fail(failure, EXIT_USER, "it has %d dimensions; norma takes 1 to %d", rank, NORMA_MAX_RANK);
    }
    return npy_set_shape(array, rank, shape) ||
           fail(failure, EXIT_USER, "its shape %s is more than can be addressed", npy_describe_shape(rank, shape).text);
}

bool npy_parse_header(const char *text, size_t length, npy_array *array, tool_failure *failure)
{
    enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
    header_cursor cursor = {text, text, text + length, failure};
    int rank = 0;
    int64_t shape[NORMA_MAX_RANK] = {0};
    unsigned seen = 0;

    if (!take(&cursor, '{')) {
        return fail_syntax(&cursor, "{");
    }
    bool comma = true;
    while (!take(&cursor, '}')) {
        slice key;
        if (!comma) {
            return fail_syntax(&cursor, ", or }");
        }
        if (!take_string(&cursor, &key)) {
            return fail_syntax(&cursor, "a key in quotes");
        }
        const unsigned bit = equals(key, "descr")           ? DESCR
                             : equals(key, "fortran_order") ? ORDER
                             : equals(key, "shape")         ? SHAPE
                                                            : 0;
        if (!bit || (seen & bit)) {
            return fail(failure, EXIT_USER, "its header has %s key '%.*s'", bit ? "twice the" : "an unknown",
                        key.length < 40 ? key.length : 40, key.text);
        }
        seen |= bit;
        if (!take(&cursor, ':')) {
            return fail_syntax(&cursor, ":");
        }
        if (!(bit == DESCR   ? parse_type(&cursor, array)
              : bit == ORDER ? parse_order(&cursor)
                             : parse_shape(&cursor, &rank, shape))) {
            return false;
        }
        comma = take(&cursor, ',');
    }
    skip_space(&cursor);
    if (cursor.at != cursor.end) {
        return fail_syntax(&cursor, "nothing but spaces");
    }
    if (seen != (DESCR | ORDER | SHAPE)) {
        return fail(failure, EXIT_USER, "its header lacks '%s'",
                    !(seen & DESCR)   ? "descr"
                    : !(seen & ORDER) ? "fortran_order"
                                      : "shape");
    }
    return check_shape(array, rank, shape, failure);
}

size_t npy_format_header(const npy_array *array, char buffer[NPY_HEADER_ROOM])
{
    const size_t start = NPY_PREFIX_SIZE + 2;
    const int written =
        snprintf(buffer + start, NPY_HEADER_ROOM - start, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
                 npy_type_code(array->type), npy_describe_shape(array->rank, array->shape).text);
    const size_t used = start + (size_t)written + 1; // 1: the line break at the end
    const size_t total = (used + 63) / 64 * 64;
    memset(buffer + used - 1, ' ', total - used);
    buffer[total - 1] = '\n';
    memcpy(buffer, npy_magic, sizeof npy_magic);
    buffer[6] = 1;
    buffer[7] = 0;
    buffer[8] = (char)((total - start) & 0xff);
    buffer[9] = (char)((total - start) >> 8);
    return total;
}

#include "tuning/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tuning/fingerprint.h"

#define MAGIC "norma-tuning 1"
#define NANOSECONDS_MAX ((int64_t)1 << 50)

static const char *const effort_words[] = {"", "partial", "quick", "normal", "full"};

/* ------------------------------------------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------------------------------------------ */

/* A piece of the text. It does not end in a 0. */
typedef struct span {
    const char *at;
    size_t size;
} span;

static bool flawed(norma_flaw *flaw, norma_tuning_state state, const char *format, ...) __attribute__((format(printf, 3, 4)));

static bool flawed(norma_flaw *flaw, norma_tuning_state state, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    flaw->state = state;
    vsnprintf(flaw->sentence, sizeof flaw->sentence, format, arguments);
    va_end(arguments);
    return false;
}

static bool is_word(span s, const char *word)
{
    return s.size == strlen(word) && memcmp(s.at, word, s.size) == 0;
}

/* What comes before `separator`; *rest goes on after it. All of it where there is none. */
static span take_until(span *rest, char separator)
{
    const char *end = rest->size ? memchr(rest->at, separator, rest->size) : NULL;
    const span taken = {rest->at, end ? (size_t)(end - rest->at) : rest->size};
    const size_t gone = taken.size + (end ? 1 : 0);
    rest->at += gone;
    rest->size -= gone;
    return taken;
}

/* Drops `prefix` from the front of *s, if it is there. */
static bool take_prefix(span *s, const char *prefix)
{
    const size_t size = strlen(prefix);
    if (s->size < size || memcmp(s->at, prefix, size) != 0) {
        return false;
    }
    s->at += size;
    s->size -= size;
    return true;
}

/* For a sentence: what of a value is fit to print. */
static const char *printable(span s, char (*buffer)[48])
{
    size_t used = 0;
    for (; used < s.size && used + 1 < sizeof *buffer; used++) {
        const unsigned char c = (unsigned char)s.at[used];
        (*buffer)[used] = c < ' ' || c > '~' ? '?' : (char)c;
    }
    (*buffer)[used] = '\0';
    return *buffer;
}

/* What a record's keys have been seen to say. */
typedef struct record_keys {
    bool fact[NORMA_FACT_COUNT];
    bool effort, default_ns, tuned_ns;
} record_keys;

static bool parse_name(norma_record *record, span value)
{
    for (size_t i = 0; i < value.size; i++) {
        if (value.at[i] <= ' ' || value.at[i] > '~') {
            return false;
        }
    }
    if (value.size >= sizeof record->name) {
        return false;
    }
    memcpy(record->name, value.at, value.size);
    record->name[value.size] = '\0';
    return true;
}

static bool parse_effort(norma_record *record, span value)
{
    for (int k = NORMA_EFFORT_PARTIAL; k <= NORMA_EFFORT_FULL; k++) {
        if (is_word(value, effort_words[k])) {
            record->effort = (norma_effort)k;
            return true;
        }
    }
    return false;
}

static bool parse_pair(norma_record *record, record_keys *seen, span key, span value)
{
    if (is_word(key, "effort")) {
        return seen->effort = parse_effort(record, value);
    }
    if (is_word(key, "default_ns")) {
        return seen->default_ns =
                   norma_decimal(value.at, value.size, NANOSECONDS_MAX, &record->default_ns) && record->default_ns > 0;
    }
    if (is_word(key, "tuned_ns")) {
        return seen->tuned_ns = norma_decimal(value.at, value.size, NANOSECONDS_MAX, &record->tuned_ns) && record->tuned_ns > 0;
    }
    if (is_word(key, "case")) {
        return parse_name(record, value);
    }
    const bool use = take_prefix(&key, "use.");
    for (norma_knob knob = 0; use && knob < NORMA_KNOB_COUNT; knob++) {
        if (is_word(key, norma_knob_name(knob))) {
            record->tuned = true;
            return norma_knob_parse(knob, value.at, value.size, &record->knob[knob]);
        }
    }
    for (norma_fact fact = 0; !use && fact < NORMA_FACT_COUNT; fact++) {
        if (is_word(key, norma_fact_name(fact))) {
            return seen->fact[fact] = norma_fact_parse(fact, value.at, value.size, &record->fact[fact]);
        }
    }
    return false;
}

/* False where the record says what this library does not know, or not all that it should. */
static bool parse_record(norma_record *record, span line)
{
    record_keys seen = {0};
    memset(record, 0, sizeof *record);
    for (norma_knob knob = 0; knob < NORMA_KNOB_COUNT; knob++) {
        record->knob[knob] = -1;
    }
    while (line.size > 0) {
        span pair = take_until(&line, ' ');
        const span key = take_until(&pair, '=');
        if (!parse_pair(record, &seen, key, pair)) {
            return false;
        }
    }
    bool all = seen.effort && seen.default_ns && seen.tuned_ns;
    for (norma_fact fact = 0; fact < NORMA_FACT_COUNT; fact++) {
        all = all && seen.fact[fact];
    }
    return all;
}

static bool parse_print(const norma_print_field *field, span line, norma_flaw *differs, norma_flaw *flaw)
{
    char buffer[48];
    if (!take_prefix(&line, field->name) || !take_prefix(&line, " = ")) {
        return flawed(flaw, NORMA_TUNING_BAD_FORMAT, "expected '%s = …'", field->name);
    }
    if (!is_word(line, field->value) && differs->state == NORMA_TUNING_FILE) {
        flawed(differs, field->of_build ? NORMA_TUNING_OTHER_BUILD : NORMA_TUNING_OTHER_MACHINE,
               "%s: the file has '%s', %s '%.47s'", field->name, printable(line, &buffer),
               field->of_build ? "this library" : "this machine", field->value);
    }
    return true;
}

/* The last line, `end = …`: what it promises. */
static bool parse_end(span line, int64_t *records, unsigned long long *checksum)
{
    char digits[17];
    if (!take_prefix(&line, "end = ")) {
        return false;
    }
    span count = take_until(&line, ' ');
    if (!norma_decimal(count.at, count.size, NORMA_RECORDS_MAX, records) || !take_prefix(&line, "records, checksum ") ||
        line.size != 16) {
        return false;
    }
    memcpy(digits, line.at, 16);
    digits[16] = '\0';
    if (strspn(digits, "0123456789abcdef") != 16) {
        return false;
    }
    *checksum = strtoull(digits, NULL, 16);
    return true;
}

/* Takes the last line off and holds what is left to it. */
static bool check_end(span *body, int64_t *records, norma_flaw *flaw)
{
    unsigned long long checksum;
    if (body->size == 0) {
        return flawed(flaw, NORMA_TUNING_BAD_FORMAT, "it is empty");
    }
    if (!take_prefix(&(span){body->at, body->size}, MAGIC "\n")) {
        return flawed(flaw, NORMA_TUNING_BAD_FORMAT, "its first line is not '" MAGIC "'");
    }
    flaw->begins_well = true;
    size_t begin = body->size - 1;
    while (begin > 0 && body->at[begin - 1] != '\n') {
        begin--;
    }
    const span last = {body->at + begin, body->size - 1 - begin};
    if (body->at[body->size - 1] != '\n' || !parse_end(last, records, &checksum)) {
        return flawed(flaw, NORMA_TUNING_BAD_FORMAT, "its last line is not 'end = … records, checksum …': it was cut short");
    }
    body->size = begin;
    if (norma_checksum(body->at, body->size) != checksum) {
        return flawed(flaw, NORMA_TUNING_BAD_CHECKSUM, "its checksum is not that of its text: it was changed");
    }
    return true;
}

/* Lines of records, until the text ends. */
static bool parse_records(span body, int64_t records, norma_table *table, norma_flaw *flaw)
{
    int64_t count = 0, unknown = 0;
    while (body.size > 0) {
        span line = take_until(&body, '\n');
        norma_record record;
        if (line.size == 0 || line.at[0] == '#') {
            continue;
        }
        if (!take_prefix(&line, "record = ") || ++count > NORMA_RECORDS_MAX) {
            return flawed(flaw, NORMA_TUNING_BAD_FORMAT,
                          count > NORMA_RECORDS_MAX ? "it has more than %d records" : "expected lines 'record = …', at most %d",
                          NORMA_RECORDS_MAX);
        }
        if (!parse_record(&record, line)) {
            unknown++;
        } else if (!norma_table_add(table, &record)) {
            return flawed(flaw, NORMA_TUNING_UNREADABLE, "there is no memory for it");
        }
    }
    if (count != records) {
        return flawed(flaw, NORMA_TUNING_BAD_FORMAT, "it has %" PRId64 " records and says %" PRId64, count, records);
    }
    if (unknown) {
        snprintf(flaw->sentence, sizeof flaw->sentence, "%" PRId64 " of its %" PRId64 " records are unknown to this library",
                 unknown, count);
    }
    return true;
}

static bool parse(span body, norma_table *table, norma_flaw *flaw)
{
    int64_t records = 0;
    norma_flaw differs = {.state = NORMA_TUNING_FILE, .begins_well = true};
    const norma_print_field *field = norma_fingerprint();
    if (!check_end(&body, &records, flaw)) {
        return false;
    }
    take_until(&body, '\n');
    for (int i = 0; i < NORMA_PRINT_FIELDS;) {
        const span line = take_until(&body, '\n');
        if (line.size > 0 && line.at[0] == '#') {
            continue;
        }
        if (!parse_print(&field[i++], line, &differs, flaw)) {
            return false;
        }
    }
    if (differs.state != NORMA_TUNING_FILE) {
        *flaw = differs;
        return false;
    }
    return parse_records(body, records, table, flaw);
}

norma_flaw norma_text_parse(const char *text, size_t size, norma_table *table)
{
    norma_flaw flaw = {.state = NORMA_TUNING_FILE};
    const span body = {text, size};
    if (!parse(body, table, &flaw)) {
        norma_table_free(table);
    }
    return flaw;
}

/* ------------------------------------------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------------------------------------------ */

/* Text as it grows; at is NULL once there was no memory. */
typedef struct growing {
    char *at;
    size_t used;
    size_t room;
} growing;

static void put(growing *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(growing *text, const char *format, ...)
{
    char piece[512];
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(piece, sizeof piece, format, arguments);
    va_end(arguments);
    if (!text->at || length < 0 || (size_t)length >= sizeof piece) {
        return;
    }
    if (text->used + (size_t)length + 1 > text->room) {
        char *more = realloc(text->at, 2 * text->room);
        if (!more) {
            free(text->at);
            text->at = NULL;
            return;
        }
        text->at = more;
        text->room *= 2;
    }
    memcpy(text->at + text->used, piece, (size_t)length + 1);
    text->used += (size_t)length;
}

static void put_record(growing *text, const norma_record *record)
{
    char number[24];
    put(text, "record =");
    for (norma_fact fact = 0; fact < NORMA_FACT_COUNT; fact++) {
        put(text, " %s=%s", norma_fact_name(fact), norma_fact_text(fact, record->fact[fact], &number));
    }
    for (norma_knob knob = 0; record->tuned && knob < NORMA_KNOB_COUNT; knob++) {
        if (record->knob[knob] >= 0) {
            put(text, " use.%s=%s", norma_knob_name(knob), norma_knob_text(knob, record->knob[knob], &number));
        }
    }
    put(text, " effort=%s default_ns=%" PRId64 " tuned_ns=%" PRId64, effort_words[record->effort], record->default_ns,
        record->tuned_ns);
    if (record->name[0]) {
        put(text, " case=%s", record->name);
    }
    put(text, "\n");
}

char *norma_text_format(const norma_table *table, const char *comment, size_t *size)
{
    growing text = {malloc(4096), 0, 4096};
    const norma_print_field *field = norma_fingerprint();
    put(&text,
        MAGIC "\n# Measured knobs of norma's kernels, for one machine and one build of the library. Delete this file to go\n"
              "# back to the built-in rules; edit it and it is no longer read.\n");
    if (comment) {
        put(&text, "# %s\n", comment);
    }
    for (int i = 0; i < NORMA_PRINT_FIELDS; i++) {
        put(&text, "%s = %s\n", field[i].name, field[i].value);
    }
    for (size_t i = 0; i < table->count; i++) {
        put_record(&text, &table->records[i]);
    }
    if (text.at) {
        const unsigned long long checksum = norma_checksum(text.at, text.used);
        put(&text, "end = %zu records, checksum %016llx\n", table->count, checksum);
    }
    *size = text.used;
    return text.at;
}

#define _POSIX_C_SOURCE 200809L /* fmemopen */
#include "sets.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lists.h"

enum { CASES_MAX = 100000, LINE_ROOM = 1024 };

static bool refuse(char *sentence, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool refuse(char *sentence, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, CASE_SENTENCE_MAX, format, arguments);
    va_end(arguments);
    return false;
}

bool case_set_add(case_set *set, const case_spec *spec, char *sentence)
{
    if (set->count == CASES_MAX) {
        return refuse(sentence, "more than %d cases", CASES_MAX);
    }
    if (set->count == set->room) {
        const size_t room = set->room ? 2 * set->room : 128;
        case_spec *more = realloc(set->specs, room * sizeof *more);
        if (!more) {
            return refuse(sentence, "no memory for the list of cases");
        }
        set->specs = more;
        set->room = room;
    }
    set->specs[set->count++] = *spec;
    return true;
}

void case_set_free(case_set *set)
{
    free(set->specs);
    memset(set, 0, sizeof *set);
}

static bool add_line(case_set *set, char *line, char *sentence)
{
    case_spec spec;
    line[strcspn(line, "#\r\n")] = '\0';
    line += strspn(line, " \t");
    for (size_t length = strlen(line); length > 0 && isspace((unsigned char)line[length - 1]); length--) {
        line[length - 1] = '\0';
    }
    if (*line == '\0') {
        return true;
    }
    if (!case_parse(&spec, line, sentence)) {
        return false;
    }
    spec.quick = true;
    return case_set_add(set, &spec, sentence);
}

static bool add_lines(case_set *set, FILE *file, const char *name, char *sentence)
{
    char line[LINE_ROOM], wrong[CASE_SENTENCE_MAX] = "";
    for (int number = 1; fgets(line, sizeof line, file); number++) {
        const size_t length = strlen(line);
        if (length == 0 || (line[length - 1] != '\n' && !feof(file))) {
            return refuse(sentence, "%s:%d: a line of text was expected, of less than %d bytes", name, number, LINE_ROOM);
        }
        if (!add_line(set, line, wrong)) {
            return refuse(sentence, "%.200s:%d: %.280s", name, number, wrong);
        }
    }
    return true;
}

bool case_set_read(case_set *set, const char *path, char *sentence)
{
    FILE *file = fopen(path, "r");
    const bool good = !file || add_lines(set, file, path, sentence);
    const bool unread = !file || ferror(file);
    const int reason = errno;
    if (file) {
        fclose(file);
    }
    return good && unread ? refuse(sentence, "'%.300s' cannot be read: %s", path, strerror(reason)) : good;
}

const char *case_model_name(size_t index)
{
    return index < case_models_count ? case_models[index].name : NULL;
}

bool case_set_model(case_set *set, const char *model, size_t length, char *sentence)
{
    char names[CASE_SENTENCE_MAX / 2] = "";
    for (size_t i = 0; i < case_models_count; i++) {
        const char *name = case_models[i].name, *text = case_models[i].text;
        if (strlen(name) == length && memcmp(name, model, length) == 0) {
            FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r"); /* which only reads it */
            const bool good = file ? add_lines(set, file, name, sentence) : refuse(sentence, "no memory for model %s", name);
            if (file) {
                fclose(file);
            }
            return good;
        }
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ", " : "", name);
    }
    return refuse(sentence, "'%.*s' is none of %s", (int)(length < 60 ? length : 60), model, names);
}

/* What a tuning file is true of: this build of the kernels, on this machine. */
#ifndef NORMA_FINGERPRINT_H
#define NORMA_FINGERPRINT_H

#include <stdbool.h>
#include <stddef.h>

enum { NORMA_PRINT_FIELDS = 10, NORMA_PRINT_VALUE = 96 };

typedef struct norma_print_field {
    const char *name;
    bool of_build; /* else of the machine */
    char value[NORMA_PRINT_VALUE];
} norma_print_field;

/* NORMA_PRINT_FIELDS of them, found once per process. No value holds a line break. */
const norma_print_field *norma_fingerprint(void);

/* Tells machines apart that share a home folder: 16 hexadecimal digits. */
void norma_fingerprint_of_machine(char (*digits)[17]);

/* FNV-1a, 64 bits (Fowler, Noll, Vo). Any single byte changed changes it. */
unsigned long long norma_checksum(const char *text, size_t size);

#endif

#include "data.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool refuse(const char *path, const char *why)
{
    fprintf(stderr, "lenet: %s: %s\n", path, why);
    return false;
}

/* A big-endian number of four bytes. */
static bool read_number(FILE *file, uint32_t *number)
{
    unsigned char b[4];
    if (fread(b, 1, 4, file) != 4) {
        return false;
    }
    *number = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    return true;
}

/* The bytes of an IDX file of unsigned bytes, `rank` axes of which all but the first are SIDE; NULL after a sentence. */
static unsigned char *read_idx(const char *path, int rank, int *count)
{
    FILE *file = fopen(path, "rb");
    uint32_t magic = 0, extent = 0;
    unsigned char *bytes = NULL;
    if (!file) {
        refuse(path, "cannot be opened");
        return NULL;
    }
    bool good = read_number(file, &magic) && magic == 0x0800u + (unsigned)rank && read_number(file, &extent);
    *count = extent <= 10000000 ? (int)extent : 0;
    for (int k = 1; good && k < rank; k++) {
        good = read_number(file, &extent) && extent == SIDE;
    }
    if (!good || *count == 0) {
        refuse(path, rank == 3 ? "expected an IDX file of 28 x 28 images in bytes (unpacked)"
                               : "expected an IDX file of labels in bytes (unpacked)");
    } else {
        const size_t size = (size_t)*count * (rank == 3 ? PIXELS : 1);
        bytes = malloc(size);
        if (!bytes || fread(bytes, 1, size, file) != size) {
            refuse(path, bytes ? "ends too soon" : "no memory for it");
            free(bytes);
            bytes = NULL;
        }
    }
    fclose(file);
    return bytes;
}

static bool allocate(images *set, int count)
{
    set->count = count;
    set->pixels = malloc((size_t)count * PIXELS * sizeof *set->pixels);
    return set->pixels || refuse("images", "no memory for them");
}

bool images_read(images *set, const char *image_path, const char *label_path)
{
    int count = 0, labels = 0;
    unsigned char *bytes = read_idx(image_path, 3, &count);
    memset(set, 0, sizeof *set);
    set->labels = bytes ? read_idx(label_path, 1, &labels) : NULL;
    bool good = set->labels && (labels == count || refuse(label_path, "expected as many labels as there are images"));
    for (int i = 0; good && i < count; i++) {
        good = set->labels[i] < CLASSES || refuse(label_path, "expected labels from 0 to 9");
    }
    good = good && allocate(set, count);
    for (size_t i = 0; good && i < (size_t)count * PIXELS; i++) {
        set->pixels[i] = (float)bytes[i] / 255;
    }
    free(bytes);
    return good;
}

static float uniform(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 16777216;
}

static void draw(float *pixels, int kind, unsigned *state)
{
    unsigned of_kind = 77u * (unsigned)kind + 5; /* where its spots are */
    const float right = 6 * uniform(state) - 3, down = 6 * uniform(state) - 3;
    memset(pixels, 0, PIXELS * sizeof *pixels);
    for (int spot = 0; spot < 3; spot++) {
        const float x = 5 + 18 * uniform(&of_kind) + right, y = 5 + 18 * uniform(&of_kind) + down;
        const float width = 1.5f + 2.5f * uniform(&of_kind), height = 0.6f + 0.4f * uniform(state);
        for (int i = 0; i < PIXELS; i++) {
            const float a = ((float)(i % SIDE) - x) / width, b = ((float)i / SIDE - y) / width;
            pixels[i] += height * expf(-(a * a + b * b) / 2);
        }
    }
    for (int i = 0; i < PIXELS; i++) {
        const float noisy = pixels[i] + 0.8f * (uniform(state) - 0.5f);
        pixels[i] = noisy < 0 ? 0 : noisy > 1 ? 1 : noisy;
    }
}

bool images_make(images *set, int count, unsigned seed)
{
    memset(set, 0, sizeof *set);
    set->labels = malloc((size_t)count);
    if (!allocate(set, count) || !set->labels) {
        return false;
    }
    for (int i = 0; i < count; i++) {
        set->labels[i] = (unsigned char)(uniform(&seed) * CLASSES);
        draw(set->pixels + (size_t)i * PIXELS, set->labels[i], &seed);
    }
    return true;
}

void images_free(images *set)
{
    free(set->pixels);
    free(set->labels);
}

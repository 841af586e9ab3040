/* Images and labels: from IDX files, the format of MNIST and Fashion-MNIST, or made up. */
#ifndef LENET_DATA_H
#define LENET_DATA_H

#include <stdbool.h>

enum { SIDE = 28, PIXELS = SIDE * SIDE, CLASSES = 10 };

typedef struct images {
    int count;
    float *pixels; /* count x PIXELS, 0 to 1 */
    unsigned char *labels;
} images;

/* Reads a pair of IDX files (unpacked). False after a sentence on standard error. */
bool images_read(images *set, const char *image_path, const char *label_path);

/* Ten kinds of three soft spots each, displaced and noisy. A set of another seed shows the same kinds. */
bool images_make(images *set, int count, unsigned seed);

void images_free(images *set);

#endif

/* Small problems of every kind that kernels write in their own way. */
#ifndef NORMA_TEST_GEOMETRIES_H
#define NORMA_TEST_GEOMETRIES_H

#include "norma/norma.h"

enum { GEOMETRIES = 14 };

norma_desc geometries_get(int turn, norma_dtype dtype);

#endif

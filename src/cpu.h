/* The machine: instruction sets, caches, processors. Found once. */
#ifndef NORMA_CPU_H
#define NORMA_CPU_H

#include <stdbool.h>

#include "norma/norma.h"

/* The process's view of its machine; struct_size is set. Never fails: what the system does not tell is 0. */
const norma_cpu_info *norma_cpu(void);

/* An ISA's place among those of its architecture, generic lowest; 0 for one of another architecture. */
int norma_isa_level(norma_isa isa);

#endif

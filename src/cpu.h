/* The machine: instruction sets, caches, processors. Found once. */
#ifndef NORMA_CPU_H
#define NORMA_CPU_H

#include <stdbool.h>

#include "norma/norma.h"

/* The process's view of its machine; struct_size is set. Never fails: what the system does not tell is 0. */
const norma_cpu_info *norma_cpu(void);

/* Maker, family, model and stepping, as the processor numbers them. */
const char *norma_cpu_identity(void);

/* Processors of the machine, of which this process may use norma_cpu()->cores. */
int norma_cpu_processors(void);

/* An ISA's place among those of its architecture, generic lowest; 0 for one of another architecture. */
int norma_isa_level(norma_isa isa);

#endif

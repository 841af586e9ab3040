/* Instruction sets: what this machine has, told without norma, and contexts that use them. */
#ifndef NORMA_TEST_ISA_H
#define NORMA_TEST_ISA_H

#include "support/trial.h"

/* The compiler's own run-time detection, operating system included. */
bool isa_on_cpu(norma_isa isa);

/* The instruction sets of this machine, lowest first: the one after `isa`, or 0; isa_next(0) is the first. */
norma_isa isa_next(norma_isa isa);

/* Whether its kernels promise the same bits as all others that do: all with fused multiply-add. */
bool isa_shares_bits(norma_isa isa);

/* A context that is checked to use just that instruction set; parallel_for and pool may be NULL. */
norma_context *isa_context(norma_isa isa, int threads, norma_parallel_for parallel_for, void *pool);

/* Plans and runs the trial where it lies. */
void isa_run(trial *t, norma_context *context);

/* The same, on a serial context of that instruction set. */
void isa_run_serial(trial *t, norma_isa isa);

/* Plans and runs the descriptor on such a context, with tensors of the test's own; sets args.struct_size. */
void isa_run_args(norma_isa isa, const norma_desc *desc, norma_args args);

/* Runs the trial serially on each instruction set, as near to the guard pages' ends as can be, and checks each. */
void isa_check_each(trial *t);

#endif

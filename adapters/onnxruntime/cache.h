/* What was prepared for recent shapes. Looking up takes no lock: a slot counts those who use it and is refilled only when none
 * do. */
#ifndef NORMA_ONNXRUNTIME_CACHE_H
#define NORMA_ONNXRUNTIME_CACHE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CACHE_SLOTS 16

struct prepared;

typedef struct cache_slot {
    _Atomic uint64_t hash; /* of what is in it; 0: empty, or being refilled */
    _Atomic int users;
    struct prepared *content;
} cache_slot;

typedef struct plan_cache {
    cache_slot slot[CACHE_SLOTS];
    pthread_mutex_t filling;
    unsigned next; /* slot to refill */
} plan_cache;

void norma_ort_cache_init(plan_cache *cache);
void norma_ort_cache_free(plan_cache *cache);

/* The slot with the given hash, now in use by the caller, or NULL. The caller compares what is in it, for two shapes may share
 * a hash, and releases it. from is where to go on searching, at first 0. */
cache_slot *norma_ort_cache_find(plan_cache *cache, uint64_t hash, int *from);
void norma_ort_cache_release(cache_slot *slot);

/* Takes content over in place of something old. NULL: every slot is in use, and content stays the caller's. The slot is then
 * in use by the caller. */
cache_slot *norma_ort_cache_insert(plan_cache *cache, uint64_t hash, struct prepared *content);

#endif

#include "cache.h"

#include "layer.h"

void norma_ort_cache_init(plan_cache *cache)
{
    for (int i = 0; i < CACHE_SLOTS; i++) {
        atomic_init(&cache->slot[i].hash, 0);
        atomic_init(&cache->slot[i].users, 0);
        cache->slot[i].content = NULL;
    }
    pthread_mutex_init(&cache->filling, NULL);
    cache->next = 0;
}

void norma_ort_cache_free(plan_cache *cache)
{
    for (int i = 0; i < CACHE_SLOTS; i++) {
        norma_ort_prepared_free(cache->slot[i].content);
    }
    pthread_mutex_destroy(&cache->filling);
}

/* A reader announces itself, then looks whether the slot still holds what it wants; one who refills says so, then looks whether
 * there are readers. With both in one order (seq_cst), at least one of the two sees the other. */
cache_slot *norma_ort_cache_find(plan_cache *cache, uint64_t hash, int *from)
{
    while (*from < CACHE_SLOTS) {
        cache_slot *slot = &cache->slot[(*from)++];
        if (atomic_load_explicit(&slot->hash, memory_order_relaxed) != hash) {
            continue;
        }
        atomic_fetch_add(&slot->users, 1);
        if (atomic_load(&slot->hash) == hash) {
            return slot;
        }
        atomic_fetch_sub(&slot->users, 1);
    }
    return NULL;
}

void norma_ort_cache_release(cache_slot *slot)
{
    atomic_fetch_sub(&slot->users, 1);
}

cache_slot *norma_ort_cache_insert(plan_cache *cache, uint64_t hash, prepared *content)
{
    cache_slot *found = NULL;
    pthread_mutex_lock(&cache->filling);
    for (int i = 0; i < CACHE_SLOTS && !found; i++) {
        cache_slot *slot = &cache->slot[cache->next++ % CACHE_SLOTS];
        const uint64_t old = atomic_exchange(&slot->hash, 0);
        if (atomic_load(&slot->users) != 0) {
            atomic_store(&slot->hash, old);
            continue;
        }
        norma_ort_prepared_free(slot->content);
        slot->content = content;
        atomic_fetch_add(&slot->users, 1);
        atomic_store(&slot->hash, hash);
        found = slot;
    }
    pthread_mutex_unlock(&cache->filling);
    return found;
}

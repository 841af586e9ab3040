#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "support/guard.h"

#include <sys/mman.h>
#include <unistd.h>

#include "support/suite.h"

enum { BESIDE = 256 }; /* bytes watched on each side: more than any vector or cache line */

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

guard guard_create(size_t capacity)
{
    const size_t page = page_size();
    const size_t inside = (capacity + 2 * BESIDE + page - 1) / page * page;
    guard g = {NULL, 0, NULL, inside + 2 * page};
    g.map = mmap(NULL, g.map_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED || mprotect(g.map, page, PROT_NONE) != 0 ||
        mprotect(g.map + g.map_size - page, page, PROT_NONE) != 0) {
        suite_fail("no guarded memory for %zu bytes", capacity);
    }
    return g;
}

void guard_destroy(guard *g)
{
    if (g->map) {
        munmap(g->map, g->map_size);
        g->map = NULL;
    }
}

static unsigned char *watch_begin(const guard *g)
{
    unsigned char *first = g->map + page_size();
    return g->data - first > BESIDE ? g->data - BESIDE : first;
}

static unsigned char *watch_end(const guard *g)
{
    unsigned char *last = g->map + g->map_size - page_size();
    return last - (g->data + g->size) > BESIDE ? g->data + g->size + BESIDE : last;
}

void guard_place(guard *g, size_t size, guard_side side, size_t distance)
{
    const size_t page = page_size();
    if (size + distance > g->map_size - 2 * page) {
        suite_fail("%zu bytes do not fit the guarded buffer", size);
    }
    g->data = side == GUARD_START ? g->map + page + distance : g->map + g->map_size - page - size - distance;
    g->size = size;
    unsigned char *begin = watch_begin(g);
    memset(begin, GUARD_FILL, (size_t)(watch_end(g) - begin));
}

static bool filled(const unsigned char *begin, const unsigned char *end)
{
    while (begin < end) {
        if (*begin++ != GUARD_FILL) {
            return false;
        }
    }
    return true;
}

bool guard_intact(const guard *g)
{
    return filled(watch_begin(g), g->data) && filled(g->data + g->size, watch_end(g));
}

#include "support/random.h"

#include <math.h>
#include <stdlib.h>

uint64_t random_seed(void)
{
    const char *text = getenv("NORMA_TEST_SEED");
    return text && *text ? strtoull(text, NULL, 0) : 20;
}

/* splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). */
uint64_t random_bits(random_state *random)
{
    uint64_t z = random->word += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

random_state random_begin(uint64_t salt)
{
    random_state random = {random_seed()};
    random.word = random_bits(&random) ^ (salt + 1) * 0xd1342543de82ef95;
    random_bits(&random);
    return random;
}

uint64_t random_below(random_state *random, uint64_t count)
{
    return random_bits(random) % count;
}

double random_between(random_state *random, double low, double high)
{
    return low + (high - low) * (double)(random_bits(random) >> 11) * 0x1p-53;
}

/* Box and Muller, one of the pair. */
double random_normal(random_state *random)
{
    const double radius = sqrt(-2 * log(random_between(random, 0x1p-53, 1)));
    return radius * cos(6.283185307179586 * random_between(random, 0, 1));
}

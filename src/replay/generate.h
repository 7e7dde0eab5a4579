/* generate: traces from a seed, always the same from the same seed, scaled by their number of requests.
 *
 *   syn:   popularity that stays. Zipf .9 over 400,000 ranks, a fifth of which get a fresh object on the way; 15 % of
 *          requests are for objects never asked for again, 5 % come in scans of 20,000 cold objects, each of which takes
 *          every second request. Sizes: 88 % lognormal round 14 KB (sigma 1.4), 10 % round 250 KB (sigma 1), 2 % Pareto 1.1
 *          from 1 MB to 256 MB.
 *   short: popularity that passes (shot noise). Each object has a life of its own, lognormal round 1,000 requests (sigma
 *          1.5), exponential within; 60 % are asked for once, the others as often as Pareto 1.2 says. Sizes as above.
 *
 * The numbers are for 3 million requests: ranks and scans scale with the number, lives do not. 1,000 requests a second. */
#ifndef WARP_REPLAY_GENERATE_H
#define WARP_REPLAY_GENERATE_H

#include "base/base.h"

#define GENERATE_REQUESTS        3000000u
#define GENERATE_REQUESTS_MIN    1000u
#define GENERATE_REQUESTS_MAX    1000000000u
#define GENERATE_REQUESTS_PER_S  1000u

enum generate_like { GENERATE_SYN, GENERATE_SHORT };

struct generate_config {
    enum generate_like like;
    uint64_t seed;
    uint64_t requests; /* GENERATE_REQUESTS_MIN.._MAX */
};

struct generated {
    uint64_t number; /* of the request, from 0 */
    uint64_t object;
    uint64_t bytes;
};

struct generator;
struct generator *generator_new(const struct generate_config *config);
struct generator *generator_free(struct generator *generator);
/* False behind the last request. */
bool generator_next(struct generator *generator, struct generated *ret_request);

#endif

#include "contention.h"

#include <sched.h>

#undef pthread_mutex_lock /* compiled with the store, so its locks would count themselves */

_Thread_local struct contention contention;
unsigned contention_yield_every;

int contention_lock(pthread_mutex_t *mutex, enum contention_kind also)
{
    contention.count[CONTENTION_locks]++;
    if (also != CONTENTION_COUNT)
        contention.count[also]++;
    if (pthread_mutex_trylock(mutex) != 0) {
        contention.count[CONTENTION_contended]++;
        pthread_mutex_lock(mutex);
    }
    if (contention_yield_every > 0 && contention.count[CONTENTION_locks] % contention_yield_every == 0)
        sched_yield();
    return 0;
}

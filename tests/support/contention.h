/* contention: what code does to memory that threads share, counted where it is done.
 *
 * Not included by anything: the store is compiled a second time with `-include` of this file, and its locks and
 * atomic writes are then counted by kind, per thread. The code itself has no marks, so a new write cannot be
 * forgotten and the release binary has nothing of this.
 *
 * Complete: what threads share is written under a lock or atomically, else the thread sanitizer finds it. So code
 * that takes no lock and makes no atomic write writes no memory that another thread may touch. What an owner alone
 * writes and others only read now and then (a thread's own tallies) is counted apart, as `own`.
 *
 * The kind comes from the text of the expression: `&stored->refs` is a reference count. What no rule knows is `other`. */
#ifndef WARP_TESTS_CONTENTION_H
#define WARP_TESTS_CONTENTION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#define CONTENTION_KINDS(X)                                                                                          \
    X(locks, "lock acquisitions")                                                                                    \
    X(contended, "of these, taken by another thread at the moment")                                                  \
    X(retries, "versioned reads that fell back to a lock")                                                           \
    X(refs, "writes to reference counts")                                                                            \
    X(hits, "writes to an object's hits and use")                                                                    \
    X(budget, "writes to the budget (tier, tenant)")                                                                 \
    X(tier, "writes to the tier's own counters")                                                                     \
    X(purge, "writes to the purge log")                                                                              \
    X(body, "writes to the state of an object or body")                                                              \
    X(other, "other shared writes")                                                                                  \
    X(cas_failed, "failed compare-and-swap")                                                                         \
    X(own, "writes to the thread's own lines that others may read")

enum contention_kind {
#define X(name, text) CONTENTION_##name,
    CONTENTION_KINDS(X)
#undef X
    CONTENTION_COUNT
};

struct contention {
    uint64_t count[CONTENTION_COUNT];
};
extern _Thread_local struct contention contention; /* this thread's */
/* Every n-th lock is held across a yield (0: never): with fewer cores than threads nobody would ever meet a held
 * lock otherwise. */
extern unsigned contention_yield_every;

int contention_lock(pthread_mutex_t *mutex, enum contention_kind also);

/* Locks, and every write to memory that others write too. */
static inline uint64_t contention_shared_(const struct contention *c)
{
    uint64_t sum = c->count[CONTENTION_locks];

    for (unsigned i = CONTENTION_refs; i <= CONTENTION_other; i++)
        sum += c->count[i];
    return sum;
}

#define CONTENTION_HAS_(text, part) (__builtin_strstr((text), (part)) != (char *)0)
#define CONTENTION_KIND_(text)                                                                                       \
    (CONTENTION_HAS_(text, "near->")      ? CONTENTION_own                                                           \
     : CONTENTION_HAS_(text, "->refs")    ? CONTENTION_refs                                                          \
     : CONTENTION_HAS_(text, "->hits")    ? CONTENTION_hits                                                          \
     : CONTENTION_HAS_(text, "budget->")  ? CONTENTION_budget                                                        \
     : CONTENTION_HAS_(text, "->use")     ? CONTENTION_hits                                                          \
     : CONTENTION_HAS_(text, "->is_soft") || CONTENTION_HAS_(text, "->is_indexed") || CONTENTION_HAS_(text, "body->") \
         ? CONTENTION_body                                                                                           \
     : CONTENTION_HAS_(text, "log->") || CONTENTION_HAS_(text, "slot->") || CONTENTION_HAS_(text, "purges->") ||     \
             CONTENTION_HAS_(text, "table->")                                                                        \
         ? CONTENTION_purge                                                                                          \
     : CONTENTION_HAS_(text, "ram->") ? CONTENTION_tier                                                              \
                                      : CONTENTION_other)
#define CONTENTION_WROTE_(text) ((void)contention.count[CONTENTION_KIND_(text)]++)

#ifdef WARP_CONTENTION
/* The one lock that only a versioned read takes is called `mutex` (purge.c). */
#define pthread_mutex_lock(m) \
    contention_lock((m), __builtin_strcmp(#m, "mutex") == 0 ? CONTENTION_retries : CONTENTION_COUNT)

#ifdef __clang__
#define CONTENTION_RAW_(name)        __c11_atomic_##name
#define CONTENTION_STORE_            __c11_atomic_store
#define CONTENTION_EXCHANGE_         __c11_atomic_exchange
#define CONTENTION_CAS_(p, e, d, s, f) __c11_atomic_compare_exchange_weak((p), (e), (d), (s), (f))
#else
#define CONTENTION_RAW_(name)        __atomic_##name
#define CONTENTION_STORE_            __atomic_store_n
#define CONTENTION_EXCHANGE_         __atomic_exchange_n
#define CONTENTION_CAS_(p, e, d, s, f) __atomic_compare_exchange_n((p), (e), (d), 1, (s), (f))
#endif
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or_explicit
#undef atomic_fetch_and_explicit
#undef atomic_store_explicit
#undef atomic_exchange_explicit
#undef atomic_compare_exchange_weak_explicit
#undef atomic_compare_exchange_strong_explicit
#define atomic_fetch_add_explicit(p, v, o) (CONTENTION_WROTE_(#p), CONTENTION_RAW_(fetch_add)((p), (v), (o)))
#define atomic_fetch_sub_explicit(p, v, o) (CONTENTION_WROTE_(#p), CONTENTION_RAW_(fetch_sub)((p), (v), (o)))
#define atomic_fetch_or_explicit(p, v, o)  (CONTENTION_WROTE_(#p), CONTENTION_RAW_(fetch_or)((p), (v), (o)))
#define atomic_fetch_and_explicit(p, v, o) (CONTENTION_WROTE_(#p), CONTENTION_RAW_(fetch_and)((p), (v), (o)))
#define atomic_store_explicit(p, v, o)     (CONTENTION_WROTE_(#p), CONTENTION_STORE_((p), (v), (o)))
#define atomic_exchange_explicit(p, v, o)  (CONTENTION_WROTE_(#p), CONTENTION_EXCHANGE_((p), (v), (o)))
#define atomic_compare_exchange_weak_explicit(p, e, d, s, f)                                                         \
    (CONTENTION_WROTE_(#p), CONTENTION_CAS_(p, e, d, s, f) ? 1 : (contention.count[CONTENTION_cas_failed]++, 0))
#define atomic_compare_exchange_strong_explicit atomic_compare_exchange_weak_explicit

/* The short forms and the plain operators on an _Atomic would get past this. */
#undef atomic_fetch_add
#undef atomic_fetch_sub
#undef atomic_store
#undef atomic_exchange
#define atomic_fetch_add(p, v) atomic_fetch_add_explicit(p, v, memory_order_seq_cst)
#define atomic_fetch_sub(p, v) atomic_fetch_sub_explicit(p, v, memory_order_seq_cst)
#define atomic_store(p, v)     atomic_store_explicit(p, v, memory_order_seq_cst)
#define atomic_exchange(p, v)  atomic_exchange_explicit(p, v, memory_order_seq_cst)
#endif

#endif

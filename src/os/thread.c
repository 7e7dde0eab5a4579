#include "os/os.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

struct os_thread {
    pthread_t id;
    void (*run)(void *arg);
    void *arg;
};

static void *thread_main(void *arg)
{
    struct os_thread *thread = arg;
    thread->run(thread->arg);
    return NULL;
}

err os_thread_start(const char *name, void (*run)(void *arg), void *arg, struct os_thread **ret_thread)
{
    struct os_thread *thread = calloc(1, sizeof(*thread));
    sigset_t all, before;
    int error;

    ENSURE(thread != NULL, MEMORY);
    thread->run = run;
    thread->arg = arg;
    /* Signals are for the first thread only; the mask is inherited. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread->id, NULL, thread_main, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        free(thread);
        return ERR_SYS(error);
    }
    pthread_setname_np(thread->id, name); /* a name that is too long is no reason to fail */
    *ret_thread = thread;
    return ERR_OK;
}

void os_thread_join(struct os_thread *thread)
{
    if (thread == NULL)
        return;
    pthread_join(thread->id, NULL);
    free(thread);
}

void os_thread_yield(void)
{
    sched_yield();
}

struct os_event {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool set;
};

struct os_event *os_event_new(void)
{
    struct os_event *event = calloc(1, sizeof(*event));
    pthread_condattr_t attr;

    if (event == NULL)
        return NULL;
    pthread_mutex_init(&event->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&event->changed, &attr);
    pthread_condattr_destroy(&attr);
    return event;
}

struct os_event *os_event_free(struct os_event *event)
{
    if (event != NULL) {
        pthread_cond_destroy(&event->changed);
        pthread_mutex_destroy(&event->lock);
        free(event);
    }
    return NULL;
}

void os_event_set(struct os_event *event)
{
    pthread_mutex_lock(&event->lock);
    event->set = true;
    pthread_cond_signal(&event->changed);
    pthread_mutex_unlock(&event->lock);
}

static struct timespec timespec_in(uint64_t timeout_ns)
{
    struct timespec at;
    uint64_t ns;

    clock_gettime(CLOCK_MONOTONIC, &at);
    timeout_ns = MIN(timeout_ns, (uint64_t)INT32_MAX * 1000000000u);
    ns = (uint64_t)at.tv_nsec + timeout_ns;
    at.tv_sec += (time_t)(ns / 1000000000u);
    at.tv_nsec = (long)(ns % 1000000000u);
    return at;
}

void os_event_wait(struct os_event *event, uint64_t timeout_ns)
{
    struct timespec until = timespec_in(timeout_ns);

    pthread_mutex_lock(&event->lock);
    while (!event->set)
        if (pthread_cond_timedwait(&event->changed, &event->lock, &until) == ETIMEDOUT)
            break;
    event->set = false;
    pthread_mutex_unlock(&event->lock);
}

/* Operations on files: epoll knows none, so a few threads of the process do them, for all its doors, and hand each back
 * to the door it came from. */
#include "os/epoll/door.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define POOL_THREADS 4u

/* lock may be taken while starting is held. There are threads while a door uses them; what they are is inherited from
 * the thread that starts them: no CPU that the process may not use. */
static struct {
    pthread_mutex_t starting; /* users, threads, count */
    unsigned users;
    struct os_thread *threads[POOL_THREADS];
    unsigned count;
    pthread_mutex_t lock; /* asked, is_ending */
    pthread_cond_t changed;
    struct list asked; /* os_file_op.op.link */
    bool is_ending;
} pool = {
    .starting = PTHREAD_MUTEX_INITIALIZER,
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .changed = PTHREAD_COND_INITIALIZER,
    .asked = LIST_INIT(pool.asked),
};

/* The door is not freed before its lock is let go. */
static void hand_back(struct os_file_op *op)
{
    struct epoll_files *files = &epoll_of(op->os)->files;

    pthread_mutex_lock(&files->lock);
    list_push_back(&files->ended, &op->op.link);
    pthread_cond_signal(&files->changed);
    os_wake(op->os);
    pthread_mutex_unlock(&files->lock);
}

static struct os_file_op *asked_next(void)
{
    struct list *link;

    pthread_mutex_lock(&pool.lock);
    while ((link = list_pop_front(&pool.asked)) == NULL && !pool.is_ending)
        pthread_cond_wait(&pool.changed, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
    return link != NULL ? container_of(link, struct os_file_op, op.link) : NULL;
}

static void pool_thread(void *arg)
{
    struct os_file_op *op;

    (void)arg;
    while ((op = asked_next()) != NULL) {
        while (!kernel_file_moved(op, kernel_file_call(op)))
            continue;
        hand_back(op);
    }
}

/* One thread is enough to go on with. */
static bool pool_join(void)
{
    char name[16];
    bool is_there;

    pthread_mutex_lock(&pool.starting);
    while (pool.count < POOL_THREADS) {
        snprintf(name, sizeof(name), "warp-io-%u", pool.count);
        if (!err_is_ok(os_thread_start(name, pool_thread, NULL, &pool.threads[pool.count])))
            break;
        pool.count++;
    }
    is_there = pool.count > 0;
    pool.users += is_there;
    pthread_mutex_unlock(&pool.starting);
    return is_there;
}

static void pool_say_ending(bool is_ending)
{
    pthread_mutex_lock(&pool.lock);
    pool.is_ending = is_ending;
    pthread_cond_broadcast(&pool.changed);
    pthread_mutex_unlock(&pool.lock);
}

static void pool_leave(void)
{
    pthread_mutex_lock(&pool.starting);
    if (--pool.users == 0) {
        pool_say_ending(true);
        while (pool.count > 0)
            os_thread_join(pool.threads[--pool.count]);
        pool_say_ending(false);
    }
    pthread_mutex_unlock(&pool.starting);
}

void epoll_files_init(struct epoll_files *files)
{
    pthread_mutex_init(&files->lock, NULL);
    pthread_cond_init(&files->changed, NULL);
    list_init(&files->ended);
}

void epoll_file_submit(struct os_file_op *op)
{
    struct epoll_files *files = &epoll_of(op->os)->files;

    files->under_way++;
    if (!files->in_pool && !(files->in_pool = pool_join())) {
        op->op.result = -EAGAIN; /* no thread to be had: told in the next turn */
        hand_back(op);
        return;
    }
    pthread_mutex_lock(&pool.lock);
    list_push_back(&pool.asked, &op->op.link);
    pthread_cond_signal(&pool.changed);
    pthread_mutex_unlock(&pool.lock);
}

unsigned epoll_files_run(struct epoll_files *files)
{
    struct list ended = LIST_INIT(ended);
    struct list *link;
    unsigned ran = 0;

    if (files->under_way == 0)
        return 0;
    pthread_mutex_lock(&files->lock);
    list_splice_back(&ended, &files->ended);
    pthread_mutex_unlock(&files->lock);
    while ((link = list_pop_front(&ended)) != NULL) {
        struct os_file_op *op = container_of(link, struct os_file_op, op.link);
        files->under_way--;
        ran++;
        op->op.done(&op->op);
    }
    return ran;
}

void epoll_files_done(struct epoll_files *files)
{
    struct list ended = LIST_INIT(ended);
    struct list *link;

    pthread_mutex_lock(&files->lock);
    while (files->under_way > 0) {
        if ((link = list_pop_front(&files->ended)) == NULL) {
            pthread_cond_wait(&files->changed, &files->lock);
            continue;
        }
        list_push_back(&ended, link);
        files->under_way--;
    }
    pthread_mutex_unlock(&files->lock);
    op_files_cancelled(&ended);
    if (files->in_pool)
        pool_leave();
    pthread_cond_destroy(&files->changed);
    pthread_mutex_destroy(&files->lock);
}

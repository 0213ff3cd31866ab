/* POSIX threads behind hbm_pool_run.  The calling thread is worker 0; with one thread no thread is ever made. */
#define _POSIX_C_SOURCE 200809L
#include "pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct hbm_pool {
    int32_t threads;
    int32_t started;
    pthread_t *thread;
    pthread_mutex_t lock;
    pthread_cond_t go;
    pthread_cond_t done;
    uint64_t round;
    int32_t busy;
    bool quit;
    hbm_work_fn work;
    void *context;
    int32_t n;
    atomic_int next;
    int32_t failed_item;
    int error;
    int32_t next_worker;
    int (*poll)(void *);
    void *poll_context;
};

static void fail(hbm_pool_t *self, int32_t item, int error)
{
    pthread_mutex_lock(&self->lock);
    if (self->error == 0 || item < self->failed_item) {
        self->error = error;
        self->failed_item = item;
    }
    pthread_mutex_unlock(&self->lock);
}

static void take_items(hbm_pool_t *self, int32_t worker)
{
    for (;;) {
        int32_t item;
        int ret;
        if (worker == 0 && self->poll != NULL && self->poll(self->poll_context) != 0) {
            fail(self, -1, HBM_ERR_INTERRUPTED);
            atomic_store(&self->next, self->n);
        }
        item = atomic_fetch_add(&self->next, 1);
        if (item >= self->n) {
            return;
        }
        ret = self->work(self->context, worker, item);
        if (ret != 0) {
            fail(self, item, ret);
        }
    }
}

static void *loop(void *argument)
{
    hbm_pool_t *self = argument;
    uint64_t seen = 0;
    int32_t worker;

    pthread_mutex_lock(&self->lock);
    worker = ++self->next_worker;
    for (;;) {
        while (self->round == seen && !self->quit) {
            pthread_cond_wait(&self->go, &self->lock);
        }
        if (self->quit) {
            break;
        }
        seen = self->round;
        pthread_mutex_unlock(&self->lock);
        take_items(self, worker);
        pthread_mutex_lock(&self->lock);
        if (--self->busy == 0) {
            pthread_cond_signal(&self->done);
        }
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

int hbm_pool_create(int32_t threads, hbm_pool_t **out)
{
    hbm_pool_t *self = calloc(1, sizeof *self);

    *out = NULL;
    if (self == NULL) {
        return HBM_ERR_NO_MEMORY;
    }
    self->threads = threads < 1 ? 1 : threads;
    self->thread = calloc((size_t)self->threads, sizeof *self->thread);
    if (self->thread == NULL) {
        free(self);
        return HBM_ERR_NO_MEMORY;
    }
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->go, NULL);
    pthread_cond_init(&self->done, NULL);
    while (self->started < self->threads - 1) {
        if (pthread_create(&self->thread[self->started], NULL, loop, self) != 0) {
            break; /* fewer threads give the same results */
        }
        self->started++;
    }
    *out = self;
    return 0;
}

void hbm_pool_free(hbm_pool_t *self)
{
    if (self == NULL) {
        return;
    }
    pthread_mutex_lock(&self->lock);
    self->quit = true;
    pthread_cond_broadcast(&self->go);
    pthread_mutex_unlock(&self->lock);
    for (int32_t i = 0; i < self->started; i++) {
        pthread_join(self->thread[i], NULL);
    }
    pthread_cond_destroy(&self->done);
    pthread_cond_destroy(&self->go);
    pthread_mutex_destroy(&self->lock);
    free(self->thread);
    free(self);
}

void hbm_pool_set_poll(hbm_pool_t *self, int (*poll)(void *), void *context)
{
    self->poll = poll;
    self->poll_context = context;
}

int hbm_pool_run(hbm_pool_t *self, hbm_work_fn work, void *context, int32_t n)
{
    self->work = work;
    self->context = context;
    self->n = n;
    self->error = 0;
    atomic_store(&self->next, 0);
    if (self->started == 0 || n < 2) {
        take_items(self, 0);
        return self->error;
    }
    pthread_mutex_lock(&self->lock);
    self->busy = self->started;
    self->round++;
    pthread_cond_broadcast(&self->go);
    pthread_mutex_unlock(&self->lock);
    take_items(self, 0);
    pthread_mutex_lock(&self->lock);
    while (self->busy > 0) {
        pthread_cond_wait(&self->done, &self->lock);
    }
    pthread_mutex_unlock(&self->lock);
    return self->error;
}

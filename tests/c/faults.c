/* See faults.h.  Counters are atomic: the core may allocate on its threads. */
#include "faults.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

#include "hbm.h"

enum { MAX_POINTS = 100000 };

typedef struct {
    atomic_long countdown; /* calls until the failing one */
    atomic_bool armed;
    atomic_bool for_good; /* all later calls fail as well */
    atomic_bool fired;
} fault_t;

static fault_t allocation, thread_start;
static atomic_long live;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void __real_free(void *p);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __wrap_free(void *p);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);

static bool fails(fault_t *f)
{
    long left;

    if (!atomic_load(&f->armed)) {
        return false;
    }
    left = atomic_fetch_sub(&f->countdown, 1);
    if (left == 0 || (left < 0 && atomic_load(&f->for_good))) {
        atomic_store(&f->fired, true);
        return true;
    }
    return false;
}

static void *count(void *p)
{
    if (p != NULL) {
        atomic_fetch_add(&live, 1);
    }
    return p;
}

void *__wrap_malloc(size_t size) { return fails(&allocation) ? NULL : count(__real_malloc(size)); }

void *__wrap_calloc(size_t n, size_t size) { return fails(&allocation) ? NULL : count(__real_calloc(n, size)); }

void *__wrap_realloc(void *p, size_t size)
{
    void *moved;

    if (fails(&allocation)) {
        return NULL;
    }
    moved = __real_realloc(p, size);
    return p == NULL ? count(moved) : moved;
}

void __wrap_free(void *p)
{
    if (p != NULL) {
        atomic_fetch_sub(&live, 1);
    }
    __real_free(p);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
    return fails(&thread_start) ? EAGAIN : __real_pthread_create(thread, attr, run, arg);
}

long faults_live(void) { return atomic_load(&live); }

/* One run with call number n failing; false when something is wrong. */
static bool run_point(fault_t *f, int (*scenario)(void *), void *arg, long n, bool for_good, bool strict, bool *fired)
{
    const long before = faults_live();
    int ret;

    atomic_store(&f->countdown, n);
    atomic_store(&f->for_good, for_good);
    atomic_store(&f->fired, false);
    atomic_store(&f->armed, true);
    ret = scenario(arg);
    atomic_store(&f->armed, false);
    *fired = atomic_load(&f->fired);
    if (faults_live() != before) {
        printf("  call %ld failed%s: %ld blocks leaked\n", n, for_good ? " for good" : "", faults_live() - before);
        return false;
    }
    if (*fired ? (strict && ret != HBM_ERR_NO_MEMORY) : ret != 0) {
        printf("  call %ld %s: returned %d (%s)\n", n, *fired ? "failed" : "did not fail", ret, hbm_strerror(ret));
        return false;
    }
    return true;
}

static int sweep(fault_t *f, int (*scenario)(void *), void *arg, bool strict)
{
    for (long n = 0; n < MAX_POINTS; n++) {
        bool once = false, for_good = false;
        if (!run_point(f, scenario, arg, n, false, strict, &once) ||
            !run_point(f, scenario, arg, n, true, strict, &for_good)) {
            return -1;
        }
        if (!once && !for_good) {
            return (int)n;
        }
    }
    printf("  still failing after %d points\n", MAX_POINTS);
    return -1;
}

int faults_sweep(int (*scenario)(void *), void *arg) { return sweep(&allocation, scenario, arg, true); }

int faults_sweep_threads(int (*scenario)(void *), void *arg) { return sweep(&thread_start, scenario, arg, false); }

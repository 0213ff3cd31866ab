/* Makes allocations and thread starts fail on demand, and counts the blocks that are alive.  The linker's --wrap puts
 * these in the place of malloc, calloc, realloc, free and pthread_create for every object of the test program. */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdbool.h>

/* Runs the scenario again and again, failing its first allocation, then its second, ... until none is left to fail.
 * Every run must return HBM_ERR_NO_MEMORY exactly when an allocation failed, and free what it allocated.  Each point is
 * tried twice: this allocation alone fails; this one and all that follow fail.  Returns the number of points, or -1. */
int faults_sweep(int (*scenario)(void *), void *arg);

/* The same for pthread_create.  A run may answer with any error, or do the work with fewer threads. */
int faults_sweep_threads(int (*scenario)(void *), void *arg);

/* Blocks allocated and not freed. */
long faults_live(void);

#endif

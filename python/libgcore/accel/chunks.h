/* The cache for the interpreter's frame chunks. */
#ifndef GCORE_ACCEL_CHUNKS_H
#define GCORE_ACCEL_CHUNKS_H

#include "accel.h"

/* How many chunks are free. */
size_t accel_chunks_cached(void);

/* Give all free ones but `keep` back to the system. */
void accel_chunks_trim(size_t keep);

#endif

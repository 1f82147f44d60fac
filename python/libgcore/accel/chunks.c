/*
 * A cache for the interpreter's frame chunks.
 *
 * From CPython 3.11 on each greenlet that runs gets a 16 KiB chunk for its
 * frames, mapped and unmapped through the arena allocator: several
 * microseconds a greenlet, most of what spawning costs.  Here such blocks go
 * onto a bounded free list instead; all other sizes fall through.
 *
 * The allocator functions are not part of the limited API, so they are
 * looked up at run time.  The hooks may be called by any thread, with or
 * without the GIL: they never wait for the lock but fall through when it is
 * taken.  fork() takes it, so that the child finds the list whole.
 */
#include "chunks.h"

#include <dlfcn.h>
#include <pthread.h>

#define CHUNK_SIZE 16384
#define CHUNK_LIMIT 4096 /* 64 MiB */

/* As CPython's PyObjectArenaAllocator, which the limited API leaves out. */
typedef struct {
    void *context;
    void *(*alloc)(void *context, size_t size);
    void (*free)(void *context, void *block, size_t size);
} arena_allocator;

typedef void allocator_function(arena_allocator *allocator);

static arena_allocator wrapped;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *blocks[CHUNK_LIMIT];
static size_t cached;
static bool installed;

static void *cache_alloc(void *context, size_t size)
{
    void *block = NULL;
    if (size == CHUNK_SIZE && cached && !pthread_mutex_trylock(&lock)) {
        if (cached)
            block = blocks[--cached];
        pthread_mutex_unlock(&lock);
    }
    return block ? block : wrapped.alloc(context, size);
}

static void cache_free(void *context, void *block, size_t size)
{
    bool kept = false;
    if (block && size == CHUNK_SIZE && !pthread_mutex_trylock(&lock)) {
        kept = cached < CHUNK_LIMIT;
        if (kept)
            blocks[cached++] = block;
        pthread_mutex_unlock(&lock);
    }
    if (!kept)
        wrapped.free(context, block, size);
}

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&lock);
}

size_t accel_chunks_cached(void)
{
    return cached;
}

void accel_chunks_trim(size_t keep)
{
    void *block;
    do {
        block = NULL;
        if (pthread_mutex_trylock(&lock))
            return;
        if (cached > keep)
            block = blocks[--cached];
        pthread_mutex_unlock(&lock);
        if (block)
            wrapped.free(wrapped.context, block, CHUNK_SIZE);
    } while (block);
}

static PyObject *install(PyObject *Py_UNUSED(module),
                         PyObject *Py_UNUSED(ignored))
{
    allocator_function *get, *set;
    *(void **)&get = dlsym(RTLD_DEFAULT, "PyObject_GetArenaAllocator");
    *(void **)&set = dlsym(RTLD_DEFAULT, "PyObject_SetArenaAllocator");
    if (installed)
        Py_RETURN_TRUE;
    if (!get || !set || pthread_atfork(before_fork, after_fork, after_fork))
        Py_RETURN_FALSE;
    get(&wrapped);
    arena_allocator cache = {wrapped.context, cache_alloc, cache_free};
    set(&cache);
    installed = true;
    Py_RETURN_TRUE;
}

static PyObject *count(PyObject *Py_UNUSED(module),
                       PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromSize_t(cached);
}

static PyObject *trim(PyObject *Py_UNUSED(module), PyObject *keep)
{
    Py_ssize_t number = PyLong_AsSsize_t(keep);
    if (number == -1 && PyErr_Occurred())
        return NULL;
    accel_chunks_trim(number < 0 ? 0 : (size_t)number);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"install_chunk_cache", install, METH_NOARGS,
     "install_chunk_cache($module, /)\n--\n\nCache the interpreter's frame "
     "chunks from now on; False where that cannot be."},
    {"cached_chunks", count, METH_NOARGS,
     "cached_chunks($module, /)\n--\n\nHow many are free."},
    {"trim_chunks", trim, METH_O,
     "trim_chunks($module, keep, /)\n--\n\nGive all free ones but `keep` "
     "back."},
    {NULL, NULL, 0, NULL}};

int accel_chunks_init(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}

"""Lets one of the interpreter's allocations fail, in one thread.

A small library is built for that, with the compiler that the tests have
anyway. It replaces the allocators of Python's objects and of extension
modules: raw memory, which is the interpreter's own, is left alone, and so is
what greenlet asks for, as it does not look whether it gets it.
"""
import ctypes
import os
import shutil
import subprocess
import sysconfig

__all__ = ["COMPILER", "FailingMemory", "build"]

COMPILER = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")

_SOURCE = r"""
#define _GNU_SOURCE
#include <Python.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <string.h>

enum { NEAR = 8 };

static PyMemAllocatorEx kept[2];
static unsigned long thread;
static long seen, last;

/* Whether greenlet is among those that have just called one another. */
static int is_for_greenlet(void)
{
    void *callers[NEAR];
    Dl_info info;
    int count = backtrace(callers, NEAR);

    for (int i = 0; i < count; i++)
        if (dladdr(callers[i], &info) && strstr(info.dli_fname, "_greenlet"))
            return 1;
    return 0;
}

static int shall_fail(void)
{
    return thread && PyThread_get_thread_ident() == thread &&
           ++seen == last && !is_for_greenlet();
}

static void *fail_malloc(void *to, size_t size)
{
    PyMemAllocatorEx *it = to;
    return shall_fail() ? NULL : it->malloc(it->ctx, size);
}

static void *fail_calloc(void *to, size_t count, size_t size)
{
    PyMemAllocatorEx *it = to;
    return shall_fail() ? NULL : it->calloc(it->ctx, count, size);
}

static void *fail_realloc(void *to, void *block, size_t size)
{
    PyMemAllocatorEx *it = to;
    return shall_fail() ? NULL : it->realloc(it->ctx, block, size);
}

static void just_free(void *to, void *block)
{
    PyMemAllocatorEx *it = to;
    it->free(it->ctx, block);
}

void install(void)
{
    static const PyMemAllocatorDomain domains[] = {PYMEM_DOMAIN_MEM,
                                                   PYMEM_DOMAIN_OBJ};
    for (int i = 0; i < 2; i++) {
        PyMemAllocatorEx it = {&kept[i], fail_malloc, fail_calloc,
                               fail_realloc, just_free};
        PyMem_GetAllocator(domains[i], &kept[i]);
        PyMem_SetAllocator(domains[i], &it);
    }
}

void arm(unsigned long in_thread, long k)
{
    seen = 0;
    last = k;
    thread = in_thread;
}

long disarm(void)
{
    thread = 0;
    return seen;
}
"""


def build(folder):
    """Build the library in *folder*; its path."""
    source, library = folder / "failing.c", folder / "failing.so"
    source.write_text(_SOURCE)
    subprocess.run([COMPILER, "-shared", "-fPIC",
                    "-I", sysconfig.get_path("include"),
                    str(source), "-o", str(library)], check=True)
    return library


class FailingMemory:
    """The library at *path*, installed."""

    def __init__(self, path):
        self._library = ctypes.PyDLL(str(path))
        self._library.arm.argtypes = ctypes.c_ulong, ctypes.c_long
        self._library.arm.restype = None
        self._library.disarm.restype = ctypes.c_long
        self._library.install()

    def arm(self, thread, k):
        """Have the *k*-th allocation from now on of *thread* (its ident)
        fail; the ones after it do not."""
        self._library.arm(thread, k)

    def disarm(self):
        """Back to normal; the number of allocations since `arm`."""
        return self._library.disarm()

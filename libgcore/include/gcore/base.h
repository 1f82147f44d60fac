/*
 * gcore/base.h: what every part of the library shares: version, errors,
 * time, completion functions, the allocator.
 *
 * The contracts below hold for the whole library.
 *
 *  1. Errors. A function that can fail returns int: 0 or a positive count on
 *     success, a negative error otherwise (-errno, or minus one of the
 *     library's own codes, which are above 10000). A call that returned an
 *     error never completes later.
 *  2. Objects are opaque and counted. gcore_<noun>_new gives one reference
 *     to the caller; _ref adds one, _unref drops one, and the last one frees
 *     the object. _close stops it, may be called twice, and completes what
 *     was pending with -ECANCELED, exactly once.
 *  3. Time. A moment is an int64_t of nanoseconds on CLOCK_MONOTONIC, a
 *     length an int64_t of nanoseconds. Whatever can wait takes a deadline,
 *     which is a moment.
 *  4. One way to be told. What completes later takes (done, arg) and calls
 *     done(arg, result) once, on the hub's thread; or, with GCORE_COMPLETE
 *     for done, puts {arg, result} into what gcore_hub_poll returns.
 *  5. Public structures begin with `size_t size`, set by the caller to the
 *     sizeof it was compiled with, so that members can be added without
 *     breaking callers. Of one that is given, zero in any other member means
 *     the default; members behind `size` count as zero, and those that this
 *     version does not know have to be zero. Of one that is filled in, the
 *     members that this version does not know are set to zero. What cannot
 *     be a size (no member beside it, not a multiple of sizeof(size_t), more
 *     than 4096) is -EINVAL, and so is an unknown member that is not zero.
 *     Structures that the library makes tell their own size.
 *  6. Threads. Each function says who may call it: "any thread", "hub's
 *     thread" (the thread that drives the hub, or, while nobody drives it,
 *     one thread at a time), or "signal handler" too.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GCORE_BASE_H
#define GCORE_BASE_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef GCORE_API
#define GCORE_API __attribute__((visibility("default")))
#endif

#define GCORE_VERSION_MAJOR 0
#define GCORE_VERSION_MINOR 1
#define GCORE_VERSION_PATCH 0

/* Deadlines: do not wait at all; wait for as long as it takes. */
#define GCORE_NOW 0
#define GCORE_FOREVER 9223372036854775807

/*
 * The library's own errors: X(name, number, text). Everything that knows
 * them is made from this table.
 */
#define GCORE_OWN_ERRORS(X)                                                   \
    X(GCORE_EIDLE, 10001, "nothing referenced is left to wait for")           \
    X(GCORE_ESTOPPED, 10002, "the hub was stopped")                           \
    X(GCORE_EAI_BADFLAGS, 10101, "bad flags for a name lookup")               \
    X(GCORE_EAI_NONAME, 10102, "no such name or service")                     \
    X(GCORE_EAI_AGAIN, 10103, "no name server answered, try again later")     \
    X(GCORE_EAI_FAIL, 10104, "the name server failed for good")               \
    X(GCORE_EAI_NODATA, 10105, "the name has no address, or no such record")  \
    X(GCORE_EAI_FAMILY, 10106, "the address family is not supported")         \
    X(GCORE_EAI_SOCKTYPE, 10107, "the socket type is not supported")          \
    X(GCORE_EAI_SERVICE, 10108, "no such service for this socket type")       \
    X(GCORE_EAI_ADDRFAMILY, 10109, "the name has no address of this family")  \
    X(GCORE_EAI_IDN, 10205, "the name is no valid international name")

/* The system's errors that the library returns: X(name, text). */
#define GCORE_SYSTEM_ERRORS(X)                                                \
    X(EACCES, "no right to that")                                             \
    X(EADDRINUSE, "another socket has that address")                          \
    X(EADDRNOTAVAIL, "not an address of this host")                           \
    X(EAFNOSUPPORT, "the system lacks that family of addresses")              \
    X(EAGAIN, "no room or no resources now, try again later")                 \
    X(EALREADY, "already started")                                            \
    X(EBADF, "not an open file descriptor")                                   \
    X(EBADMSG, "malformed message from the peer")                             \
    X(EBUSY, "in use by another thread or by a caller further up")            \
    X(ECANCELED, "closed before it could complete")                           \
    X(ECHILD, "no child of this process, or another waited for it")           \
    X(ECONNREFUSED, "nobody listens there")                                   \
    X(ECONNRESET, "the peer closed or reset the connection")                  \
    X(EDEADLK, "the thread would wait for itself")                            \
    X(EDESTADDRREQ, "it must be said where to")                               \
    X(EHOSTUNREACH, "no way to that host")                                    \
    X(EINTR, "interrupted by a signal")                                       \
    X(EINVAL, "invalid argument")                                             \
    X(EMFILE, "the process has too many open files")                          \
    X(EMSGSIZE, "longer than allowed or announced")                           \
    X(ENAMETOOLONG, "the name is too long")                                   \
    X(ENETUNREACH, "no way to that network")                                  \
    X(ENFILE, "the system has too many open files")                           \
    X(ENOBUFS, "the system has no room for more sockets' data")               \
    X(ENODATA, "the file is shorter than was said")                           \
    X(ENOENT, "no such file, or nothing of that name")                        \
    X(ENOMEM, "out of memory")                                                \
    X(ENOSPC, "the system's limit on watched descriptors is reached")         \
    X(ENOTCONN, "not connected")                                              \
    X(ENOTSOCK, "not a socket")                                               \
    X(ENOTSUP, "not supported by this backend or system")                     \
    X(EPERM, "not permitted")                                                 \
    X(EPIPE, "the peer takes no more")                                        \
    X(EPROTO, "the peer breaks the protocol")                                 \
    X(ESHUTDOWN, "closed, nothing new is taken")                              \
    X(ESRCH, "no such process")                                               \
    X(ETIMEDOUT, "the deadline passed")

#define GCORE_ENUMERATOR(name, number, text) name = number,
enum gcore_error { GCORE_OWN_ERRORS(GCORE_ENUMERATOR) GCORE_ERROR_END };
#undef GCORE_ENUMERATOR

/*
 * Told once when an operation is over.
 *   arg     what was given when the operation was started; the caller's
 *   result  0 or positive on success, a negative error otherwise
 * Runs on the hub's thread unless the operation says otherwise. It may
 * start, stop and close anything, and close its hub; it may not drive it.
 * Since 0.1.
 */
typedef void gcore_done_fn(void *arg, int64_t result);

/*
 * Never called (it does nothing): its address given as `done` asks for an
 * entry in what gcore_hub_poll returns instead of a call. Since 0.1.
 */
GCORE_API void gcore_complete(void *arg, int64_t result);
#define GCORE_COMPLETE gcore_complete

/*
 * The name of an error, such as "EAGAIN" or "GCORE_EIDLE".
 *   error   as returned by a call; the sign does not matter
 * Returns a string that lives for ever; "UNKNOWN" for what the tables lack.
 * Any thread, signal handler. Since 0.1.
 */
GCORE_API const char *gcore_error_name(int error);

/*
 * What an error means, in a few English words.
 *   error   as returned by a call; the sign does not matter
 * Returns a string that lives for ever; "unknown error" for what the tables
 * lack. Any thread, signal handler. Since 0.1.
 */
GCORE_API const char *gcore_error_text(int error);

/*
 * The library's version as text, "0.1.0", and as a number, major * 10000 +
 * minor * 100 + patch: those of the library that runs, where the
 * GCORE_VERSION_ macros tell what the caller was compiled against.
 * Any thread. Since 0.1.
 */
GCORE_API const char *gcore_version(void);
GCORE_API int gcore_version_number(void);

/*
 * The monotonic clock, read now (not a hub's cached time).
 * Returns nanoseconds. Any thread, signal handler. Since 0.1.
 */
GCORE_API int64_t gcore_clock(void);

/*
 * Allocates, resizes and frees, all in one.
 *   context  as given to gcore_allocator_set
 *   block    NULL to allocate; otherwise a block this function returned
 *   bytes    the new size; 0 frees `block` (and NULL is returned)
 * Returns memory aligned for any object, or NULL: then `block` is as before
 * and the library's call fails with -ENOMEM. Any thread. Since 0.1.
 */
typedef void *gcore_allocate_fn(void *context, void *block, size_t bytes);

/*
 * Replaces the allocator of the whole library (the default is realloc and
 * free of the C library).
 *   allocate  the function; NULL puts the default back
 *   context   handed to it; the caller's
 * Returns 0, or -EBUSY while anything allocated by the library is alive.
 * Any thread, but not beside another call of the library. Since 0.1.
 */
GCORE_API int gcore_allocator_set(gcore_allocate_fn *allocate, void *context);

/*
 * How many blocks the library holds at the moment: 0 once every object is
 * closed and dropped, so a test can prove that nothing leaked.
 * Any thread. Since 0.1.
 */
GCORE_API int64_t gcore_allocator_live(void);

#ifdef __cplusplus
}
#endif

#endif

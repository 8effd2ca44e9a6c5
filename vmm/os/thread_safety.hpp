#pragma once

/// What is guarded by which mutex, as clang checks it (-Wthread-safety); other compilers see
/// nothing. The mutexes that it knows are those of vmm/os/mutex.hpp.
///
/// A lambda is checked as a function of its own: the predicate of a wait says that it needs the
/// mutex, `[this]() FERRY_REQUIRES(mutex_) { return ready_; }`.

#ifdef __clang__
#define FERRY_THREAD_SAFETY(attribute) __attribute__((attribute))
#else
#define FERRY_THREAD_SAFETY(attribute)
#endif

/// Of a member or variable: it is read and written with the mutex held.
#define FERRY_GUARDED_BY(mutex) FERRY_THREAD_SAFETY(guarded_by(mutex))
/// Of a function: whoever calls it holds the mutex.
#define FERRY_REQUIRES(mutex) FERRY_THREAD_SAFETY(requires_capability(mutex))
#define FERRY_REQUIRES_SHARED(mutex) FERRY_THREAD_SAFETY(requires_shared_capability(mutex))

// For mutex.hpp alone.
#define FERRY_CAPABILITY(name) FERRY_THREAD_SAFETY(capability(name))
#define FERRY_SCOPED_CAPABILITY FERRY_THREAD_SAFETY(scoped_lockable)
#define FERRY_ACQUIRE(...) FERRY_THREAD_SAFETY(acquire_capability(__VA_ARGS__))
#define FERRY_ACQUIRE_SHARED(...) FERRY_THREAD_SAFETY(acquire_shared_capability(__VA_ARGS__))
#define FERRY_RELEASE(...) FERRY_THREAD_SAFETY(release_capability(__VA_ARGS__))
#define FERRY_RELEASE_GENERIC(...) FERRY_THREAD_SAFETY(release_generic_capability(__VA_ARGS__))

#pragma once

#include <condition_variable>
#include <mutex>
#include <shared_mutex>
#include <utility>

#include "vmm/os/thread_safety.hpp"

namespace vmm {

/// The standard library's mutexes, with what clang needs to check who holds which. All is inline,
/// and does no more than they do.

class FERRY_CAPABILITY("mutex") Mutex {
 private:
  friend class Lock;
  std::mutex mutex_;
};

/// Holds a mutex, from here to the end of the block; unlock() lets go of it earlier, or for a
/// while.
class FERRY_SCOPED_CAPABILITY Lock {
 public:
  explicit Lock(Mutex& mutex) FERRY_ACQUIRE(mutex) : lock_(mutex.mutex_) {}
  ~Lock() FERRY_RELEASE() {}
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  void unlock() FERRY_RELEASE() { lock_.unlock(); }
  void lock() FERRY_ACQUIRE() { lock_.lock(); }

 private:
  friend class Condition;
  std::unique_lock<std::mutex> lock_;
};

/// What threads wait for with a mutex held, which they let go of meanwhile.
class Condition {
 public:
  void notify_one() { changed_.notify_one(); }
  void notify_all() { changed_.notify_all(); }

  template <typename Time>
  void wait_until(Lock& lock, const Time& deadline) {
    changed_.wait_until(lock.lock_, deadline);
  }
  template <typename Predicate>
  void wait(Lock& lock, Predicate ready) {
    changed_.wait(lock.lock_, std::move(ready));
  }
  /// Whether it became ready in time.
  template <typename Time, typename Predicate>
  bool wait_until(Lock& lock, const Time& deadline, Predicate ready) {
    return changed_.wait_until(lock.lock_, deadline, std::move(ready));
  }
  template <typename Duration, typename Predicate>
  bool wait_for(Lock& lock, const Duration& duration, Predicate ready) {
    return changed_.wait_for(lock.lock_, duration, std::move(ready));
  }

 private:
  std::condition_variable changed_;
};

class FERRY_CAPABILITY("shared mutex") SharedMutex {
 private:
  friend class ExclusiveLock;
  friend class SharedLock;
  std::shared_mutex mutex_;
};

/// Alone.
class FERRY_SCOPED_CAPABILITY ExclusiveLock {
 public:
  explicit ExclusiveLock(SharedMutex& mutex) FERRY_ACQUIRE(mutex) : lock_(mutex.mutex_) {}
  ~ExclusiveLock() FERRY_RELEASE() {}
  ExclusiveLock(const ExclusiveLock&) = delete;
  ExclusiveLock& operator=(const ExclusiveLock&) = delete;

 private:
  const std::unique_lock<std::shared_mutex> lock_;
};

/// With others that share it.
class FERRY_SCOPED_CAPABILITY SharedLock {
 public:
  explicit SharedLock(SharedMutex& mutex) FERRY_ACQUIRE_SHARED(mutex) : lock_(mutex.mutex_) {}
  ~SharedLock() FERRY_RELEASE_GENERIC() {}
  SharedLock(const SharedLock&) = delete;
  SharedLock& operator=(const SharedLock&) = delete;

 private:
  const std::shared_lock<std::shared_mutex> lock_;
};

}  // namespace vmm

#pragma once

namespace guest {

/// The little of <atomic> that is needed here; the library's own header does not compile
/// everywhere without floating point.
template <typename Value>
class Atomic {
 public:
  Value load() const { return __atomic_load_n(&value_, __ATOMIC_ACQUIRE); }
  void store(Value value) { __atomic_store_n(&value_, value, __ATOMIC_RELEASE); }
  Value fetch_add(Value value) { return __atomic_fetch_add(&value_, value, __ATOMIC_ACQ_REL); }
  Value exchange(Value value) { return __atomic_exchange_n(&value_, value, __ATOMIC_ACQ_REL); }

 private:
  Value value_ = {};
};

}  // namespace guest

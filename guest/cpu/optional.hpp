#pragma once

#include <new>

namespace guest {

/// std::optional for what is made at most once and lives as long as the machine.
template <typename Value>
class Optional {
 public:
  template <typename... Arguments>
  void emplace(Arguments&&... arguments) {
    value_ = ::new (static_cast<void*>(storage_)) Value(static_cast<Arguments&&>(arguments)...);
  }
  explicit operator bool() const { return value_ != nullptr; }
  Value* operator->() { return value_; }

 private:
  alignas(Value) unsigned char storage_[sizeof(Value)];
  Value* value_ = nullptr;
};

}  // namespace guest

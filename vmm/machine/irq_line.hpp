#pragma once

#include <cstdint>
#include <functional>
#include <utility>

namespace vmm {

/// The wire from a device to the interrupt controllers. Copyable and cheap; any thread.
class IrqLine {
 public:
  using Set = std::function<void(bool high)>;

  IrqLine() = default;
  explicit IrqLine(Set set) : set_(std::move(set)) {}

  void set_level(bool high) const {
    if (set_) set_(high);
  }

 private:
  Set set_;
};

}  // namespace vmm

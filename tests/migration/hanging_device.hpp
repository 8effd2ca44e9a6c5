#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vmm/machine/device.hpp"
#include "vmm/os/mutex.hpp"

namespace migration {

/// A device whose host does not answer until it is let go, or says no.
class HangingDevice final : public vmm::Device {
 public:
  explicit HangingDevice(std::string id) : id_(std::move(id)) {}

  [[nodiscard]] std::string_view id() const override { return id_; }
  [[nodiscard]] std::uint32_t version() const override { return 1; }
  void read(std::uint64_t /*offset*/, std::span<std::byte> data) override {
    std::ranges::fill(data, std::byte{0});
  }
  void write(std::uint64_t /*offset*/, std::span<const std::byte> /*data*/) override {}
  [[nodiscard]] std::string host_part() const override {
    ask("host_part");
    return id_ + " by now";
  }
  void acquire() override { ask("acquire"); }
  void release() override { ask("release"); }
  [[nodiscard]] bool last_ran_here() const override {
    const vmm::Lock lock(mutex_);
    return last_ran_here_;
  }
  [[nodiscard]] std::vector<std::byte> save() override { return {}; }
  void load(std::uint32_t /*version*/, std::span<const std::byte> /*bytes*/) override {}

  void last_ran(bool here) {
    const vmm::Lock lock(mutex_);
    last_ran_here_ = here;
  }
  /// In that call, from now on.
  void hang_at(std::string call) {
    const vmm::Lock lock(mutex_);
    hangs_at_ = std::move(call);
  }
  void let_go() {
    const vmm::Lock lock(mutex_);
    hangs_at_.clear();
    changed_.notify_all();
  }
  /// That call, from now on; none when it is empty.
  void refuse(std::string call) {
    const vmm::Lock lock(mutex_);
    refuses_ = std::move(call);
  }
  /// Until something was asked of its host.
  [[nodiscard]] bool wait_asked() const {
    vmm::Lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20),
                             [this]() FERRY_REQUIRES(mutex_) { return !asked_.empty(); });
  }
  /// What was asked of its host so far.
  [[nodiscard]] std::vector<std::string> asked() const {
    const vmm::Lock lock(mutex_);
    return asked_;
  }

 private:
  void ask(const std::string& what) const {
    vmm::Lock lock(mutex_);
    asked_.push_back(what);
    changed_.notify_all();
    changed_.wait(lock, [&]() FERRY_REQUIRES(mutex_) { return hangs_at_ != what; });
    if (refuses_ == what) throw std::runtime_error(id_ + " is in use");
  }

  const std::string id_;
  mutable vmm::Mutex mutex_;
  mutable vmm::Condition changed_;
  std::string hangs_at_ FERRY_GUARDED_BY(mutex_);
  std::string refuses_ FERRY_GUARDED_BY(mutex_);
  bool last_ran_here_ FERRY_GUARDED_BY(mutex_) = false;
  mutable std::vector<std::string> asked_ FERRY_GUARDED_BY(mutex_);
};

}  // namespace migration

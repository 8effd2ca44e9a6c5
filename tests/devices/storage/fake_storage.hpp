#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "devices/storage/storage.hpp"
#include "vmm/os/mutex.hpp"

namespace devices::storage {

/// A disk in memory, which notes what is asked of it, and waits or fails where a test wants so. It
/// ends the process when it is asked for what no disk has.
class FakeStorage final : public Storage {
 public:
  /// Of a size that no std::vector is grown to.
  explicit FakeStorage(std::uint64_t size, bool read_only = false)
      : read_only_(read_only), bytes_(size) {}

  std::atomic<bool> at_hand{true};   ///< for try_read()
  std::atomic<bool> failing{false};  ///< all but try_read() do, then

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::uint64_t size() const override { return bytes_.size(); }
  [[nodiscard]] bool read_only() const override { return read_only_; }
  [[nodiscard]] std::string_view id() const override { return "a fake"; }
  [[nodiscard]] std::string host_part() const override { return "a fake"; }
  void acquire() override { enter("acquire"); }
  void release() override { enter("release"); }

  void read(std::uint64_t offset, std::span<iovec> parts) override {
    enter("read");
    copy_out(offset, parts);
  }
  bool try_read(std::uint64_t offset, std::span<const iovec> parts) override {
    if (at_hand) copy_out(offset, parts);
    return at_hand;
  }
  void write(std::uint64_t offset, std::span<iovec> parts) override {
    enter("write");
    const vmm::Lock lock(mutex_);
    for (const iovec& part : parts) {
      std::memcpy(range(offset, part.iov_len).data(), part.iov_base, part.iov_len);
      offset += part.iov_len;
    }
  }
  void flush() override { enter("flush"); }
  void discard(std::uint64_t offset, std::uint64_t length) override {
    enter(fmt::format("discard {} {}", offset, length));
    fill(offset, length, std::byte{0xdd});
  }
  void write_zeroes(std::uint64_t offset, std::uint64_t length, bool may_unmap) override {
    enter(fmt::format("zero {} {}{}", offset, length, may_unmap ? " unmap" : ""));
    fill(offset, length, std::byte{0});
  }

  /// Calls of that name wait from now on.
  void hold(const std::string& call) {
    const vmm::Lock lock(mutex_);
    held_.insert(call);
  }
  void let_go() {
    const vmm::Lock lock(mutex_);
    held_.clear();
    changed_.notify_all();
  }
  /// All calls that wait for the host so far, once there are `count`, or fewer after some seconds.
  std::vector<std::string> calls(std::size_t count = 0) {
    vmm::Lock lock(mutex_);
    static_cast<void>(
        changed_.wait_for(lock, std::chrono::seconds(20),
                          [&]() FERRY_REQUIRES(mutex_) { return calls_.size() >= count; }));
    return calls_;
  }
  void forget_calls() {
    const vmm::Lock lock(mutex_);
    calls_.clear();
  }
  [[nodiscard]] std::string content(std::uint64_t offset, std::uint64_t length) {
    const vmm::Lock lock(mutex_);
    const auto bytes = range(offset, length);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  void fill(std::uint64_t offset, std::uint64_t length, std::byte with) {
    const vmm::Lock lock(mutex_);
    std::ranges::fill(range(offset, length), with);
  }

 private:
  const std::string name_ = "disk 'fake'";

  void enter(const std::string& call) {
    vmm::Lock lock(mutex_);
    calls_.push_back(call);
    changed_.notify_all();
    changed_.wait(lock, [&]() FERRY_REQUIRES(mutex_) { return !held_.contains(call); });
    if (failing) {
      throw std::system_error(EIO, std::generic_category(), "disk 'fake': cannot " + call);
    }
  }
  void copy_out(std::uint64_t offset, std::span<const iovec> parts) {
    const vmm::Lock lock(mutex_);
    for (const iovec& part : parts) {
      std::memcpy(part.iov_base, range(offset, part.iov_len).data(), part.iov_len);
      offset += part.iov_len;
    }
  }
  std::span<std::byte> range(std::uint64_t offset, std::uint64_t length) FERRY_REQUIRES(mutex_) {
    if (length == 0 || offset > bytes_.size() || length > bytes_.size() - offset) std::abort();
    return std::span(bytes_).subspan(offset, length);
  }

  const bool read_only_;
  vmm::Mutex mutex_;
  vmm::Condition changed_;
  std::vector<std::byte> bytes_;
  std::set<std::string> held_ FERRY_GUARDED_BY(mutex_);
  std::vector<std::string> calls_ FERRY_GUARDED_BY(mutex_);
};

}  // namespace devices::storage

#pragma once

#include <sys/eventfd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "devices/network/network_port.hpp"
#include "vmm/os/mutex.hpp"
#include "vmm/os/unique_fd.hpp"

namespace devices::network {

using Bytes = std::vector<std::byte>;

/// A network that is a test: it notes what a device sends, and gives it what the test says.
class FakePort final : public NetworkPort {
 public:
  struct Frame {
    FrameHeader header{};
    Bytes bytes;
  };

  explicit FakePort(std::uint64_t offloads = 0, std::optional<std::uint16_t> mtu = std::nullopt)
      : offloads_(offloads), mtu_(mtu) {}

  [[nodiscard]] std::string name() const override { return "fake"; }
  [[nodiscard]] std::uint64_t offloads() const override { return offloads_; }
  [[nodiscard]] std::optional<std::uint16_t> mtu() const override { return mtu_; }
  void open() override {
    if (refuses != std::errc{}) throw std::system_error(std::make_error_code(refuses), "no port");
    linked_ = true;
  }
  void close() override { linked_ = false; }
  void use(std::uint64_t offloads) override { used = offloads; }
  [[nodiscard]] int descriptor() const override { return ready_.get(); }
  [[nodiscard]] bool linked() const override { return linked_; }

  void give(Frame frame) {
    const vmm::Lock lock(mutex_);
    given_.push_back(std::move(frame));
    ::eventfd_write(ready_.get(), 1);
  }
  /// Frames that do not fit come without end, or do no more.
  void flood(bool on) {
    floods_ = on;
    ::eventfd_write(ready_.get(), 1);
  }
  /// The other end has gone.
  void lose() {
    linked_ = false;
    ::eventfd_write(ready_.get(), 1);
  }
  /// What was sent so far, once that are `count` frames, or fewer after some seconds.
  std::vector<Frame> sent(std::size_t count = 0) {
    vmm::Lock lock(mutex_);
    static_cast<void>(
        told_.wait_for(lock, std::chrono::seconds(30), [&] { return sent_.size() >= count; }));
    return sent_;
  }

  std::atomic<std::uint64_t> used{0};
  std::errc refuses{};  ///< why it is not to be had

 private:
  [[nodiscard]] bool do_send(const FrameHeader& header, std::span<const iovec> frame) override {
    if (!linked_) return false;
    Frame one{.header = header, .bytes = {}};
    for (const iovec& part : frame) {
      const auto* bytes = static_cast<const std::byte*>(part.iov_base);
      one.bytes.insert(one.bytes.end(), bytes, bytes + part.iov_len);
    }
    const vmm::Lock lock(mutex_);
    sent_.push_back(std::move(one));
    told_.notify_all();
    return true;
  }
  [[nodiscard]] std::optional<std::size_t> do_receive(FrameHeader& header,
                                                      std::span<const iovec> into) override {
    if (floods_) return 0;
    eventfd_t one = 0;
    if (::eventfd_read(ready_.get(), &one) != 0 || !linked_) return std::nullopt;
    const vmm::Lock lock(mutex_);
    if (given_.empty()) return std::nullopt;
    const Frame frame = std::move(given_.front());
    given_.pop_front();
    header = frame.header;
    if (frame.bytes.size() > size_of(into)) return 0;
    std::span<const std::byte> rest = frame.bytes;
    for (const iovec& part : into) {
      const auto here = rest.first(std::min(rest.size(), part.iov_len));
      if (!here.empty()) std::memcpy(part.iov_base, here.data(), here.size());
      rest = rest.subspan(here.size());
    }
    return frame.bytes.size();
  }

  const std::uint64_t offloads_;
  const std::optional<std::uint16_t> mtu_;
  const vmm::UniqueFd ready_{::eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC)};
  std::atomic<bool> linked_{false};
  std::atomic<bool> floods_{false};
  vmm::Mutex mutex_;
  vmm::Condition told_;
  std::vector<Frame> sent_;
  std::deque<Frame> given_;
};

}  // namespace devices::network

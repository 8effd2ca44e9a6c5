#pragma once

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <future>
#include <list>
#include <optional>
#include <system_error>
#include <vector>

#include "vmm/memory/guest_memory.hpp"
#include "vmm/memory/userfault.hpp"

namespace vmm {

inline constexpr std::chrono::seconds kFaultDeadline{20};

/// Pages of that many bytes of that value.
inline std::vector<std::byte> pages_of(int value, std::size_t pages = 1) {
  return std::vector<std::byte>(pages * kPageSize, static_cast<std::byte>(value));
}

/// The page of the next fault; nullptr when none comes.
inline std::byte* next_fault(const Userfault& userfault) {
  pollfd poll{userfault.fd(), POLLIN, 0};
  std::array<std::byte*, 1> address{};
  ::poll(&poll, 1, static_cast<int>(std::chrono::milliseconds(kFaultDeadline).count()));
  return userfault.read_faults(address) == 1 ? address[0] : nullptr;
}

/// A read of one byte by a thread of its own.
class Reader {
 public:
  explicit Reader(const std::byte* address)
      : value_(std::async(std::launch::async,
                          [address] { return *static_cast<const volatile std::byte*>(address); })) {
  }

  [[nodiscard]] bool waits() const {
    return value_.wait_for(std::chrono::seconds(0)) == std::future_status::timeout;
  }
  /// What it read; nullopt when it does not get on.
  [[nodiscard]] std::optional<std::byte> value() {
    if (value_.wait_for(kFaultDeadline) != std::future_status::ready) return std::nullopt;
    return value_.get();
  }

 private:
  std::future<std::byte> value_;
};

/// RAM whose missing pages are waited for. Skipped, with the reason, where that is not permitted.
class UserfaultTest : public ::testing::Test {
 protected:
  void SetUp() override {
    try {
      userfault_.emplace();
    } catch (const std::system_error& error) {
      GTEST_SKIP() << error.what();
    }
  }

  [[nodiscard]] std::span<std::byte> all(GuestMemory& memory) {
    return memory.pages({0, memory.page_count()});
  }
  [[nodiscard]] PageSet populated(const GuestMemory& memory) {
    PageSet pages(memory.page_count());
    memory.add_populated({0, memory.page_count()}, pages);
    return pages;
  }
  Reader& read(const std::byte* address) { return readers_.emplace_back(address); }

  GuestMemory memory_{kMinMemory};
  std::list<Reader> readers_;
  // Goes first: readers that still wait then go on.
  std::optional<Userfault> userfault_;
};

}  // namespace vmm

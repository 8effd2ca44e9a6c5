#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "devices/virtio/balloon.hpp"
#include "tests/devices/fake_host.hpp"
#include "tests/devices/virtio/driver.hpp"

namespace devices::virtio {

using vmm::kPageSize;
using vmm::operator""_MiB;
using Pages = std::vector<vmm::PageRange>;

inline constexpr unsigned kInflate = 0;
inline constexpr unsigned kDeflate = 1;
inline constexpr unsigned kFreePages = 2;  ///< the first queue of them
inline constexpr Balloon::Offers kPlain{.hints = false};
inline constexpr Balloon::Offers kReports{.hints = false, .reporting = true};
inline constexpr Balloon::Offers kHints{};
inline constexpr Balloon::Offers kBoth{.reporting = true};
inline constexpr vmm::PageIndex kFirst = 1024;  ///< of those that are full

/// What a driver has told of its free pages, a line each.
struct Heard final : vmm::FreePageListener {
  std::vector<std::string> lines;

  void begins() override { lines.emplace_back("begins"); }
  void free(std::span<const vmm::PageRange> pages) override {
    std::string line = "free";
    for (const vmm::PageRange& range : pages) {
      line += fmt::format(" {}+{}", range.first, range.count);
    }
    lines.push_back(line);
  }
  void told_all() override { lines.emplace_back("told all"); }
};
using Lines = std::vector<std::string>;

class BalloonTest : public testing::Test {
 protected:
  void start(unsigned queue, std::uint64_t features = 0, Balloon::Offers offers = kReports) {
    queue_.reset();  // it serves the one before
    balloon_.emplace(offers);
    balloon_->attach(host_, [this] { ++told_; });
    balloon_->begin(features);
    queue_.emplace(
        Queue(host_.ram, Driver::state(), false), notified_,
        ServedQueue::Callbacks{
            .serve = [this, queue](ServedQueue& served) { balloon_->serve(queue, served); },
            .interrupt = [this] { host_.signal_message(0, 0); },
            .broken = [](const std::string& why) { ADD_FAILURE() << why; }},
        0U);
    std::ranges::fill(host_.ram.pages({kFirst, 64}), std::byte{7});
    queue_->resume();
  }
  void offer(const std::vector<Descriptor>& chain) {
    std::vector<Descriptor> linked = chain;
    for (std::size_t i = 0; i + 1 < linked.size(); ++i) {
      linked[i].flags |= kDescriptorNext;
      linked[i].next = static_cast<std::uint16_t>(i + 1);
    }
    driver_.describe(linked);
    driver_.offer(0);
    notified_.signal();
    host_.messages(++offered_);
  }
  void offer_numbers(const std::vector<std::uint32_t>& numbers) {
    put_numbers(numbers);
    offer({{Driver::kData, static_cast<std::uint32_t>(numbers.size() * 4), 0, 0}});
  }
  void put_numbers(const std::vector<std::uint32_t>& numbers) {
    const auto bytes = std::as_bytes(std::span(numbers));
    std::ranges::copy(bytes, host_.ram.at({Driver::kData}, bytes.size()).begin());
  }
  void report(std::uint64_t address, std::uint32_t bytes) {
    offer({{address, bytes, kDescriptorWrite, 0}});
  }
  /// A driver's word of what it answers.
  void offer_command(std::uint32_t command) {
    put_numbers({command});
    offer({{Driver::kData, sizeof(command), 0, 0}});
  }
  void hint(vmm::PageRange pages) {
    report(pages.first * kPageSize, static_cast<std::uint32_t>(pages.count * kPageSize));
  }
  /// What the driver reads of it.
  std::uint32_t command() {
    std::uint32_t command = 0;
    std::memcpy(&command, &balloon_->config()[8], sizeof(command));
    return command;
  }
  /// Of the pages that were full: what went back to the host.
  Pages given_back() {
    vmm::PageSet there(host_.ram.page_count());
    host_.ram.add_populated({kFirst, 64}, there);
    vmm::PageSet gone(host_.ram.page_count());
    gone.set(vmm::PageRange{kFirst, 64});
    gone -= there;
    return gone.ranges();
  }
  /// Of the same pages.
  Pages noted() {
    vmm::PageSet written(host_.ram.page_count());
    host_.ram.take_host_writes(written);
    return written.ranges({kFirst, 64});
  }

  FakeHost host_;
  Driver driver_{host_.ram};
  vmm::EventFd notified_;
  std::optional<Balloon> balloon_;
  std::optional<ServedQueue> queue_;
  int told_ = 0;

 private:
  std::size_t offered_ = 0;
};

}  // namespace devices::virtio

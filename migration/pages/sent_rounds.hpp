#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>

#include "vmm/memory/guest_address.hpp"

namespace migration {

/// In which round each page of RAM went last. What is known of a page's content at the destination
/// holds as long as that round is still the last one.
///
/// Channels share it: in a round a page is one channel's alone, and between two rounds all of them
/// wait for the destination. Costs memory only where pages were sent.
class SentRounds {
 public:
  explicit SentRounds(std::uint64_t pages)
      : rounds_(static_cast<std::uint32_t*>(std::calloc(pages, sizeof(std::uint32_t)))) {
    if (!rounds_) throw std::bad_alloc();
  }

  /// 0: never. (Rounds count from 1.)
  [[nodiscard]] std::uint32_t of(vmm::PageIndex page) const { return rounds_[page]; }
  /// The page goes in this round. The one before.
  std::uint32_t put(vmm::PageIndex page, std::uint32_t round) {
    return std::exchange(rounds_[page], round);
  }

 private:
  struct Free {
    void operator()(std::uint32_t* rounds) const { std::free(rounds); }
  };
  std::unique_ptr<std::uint32_t[], Free> rounds_;
};

}  // namespace migration

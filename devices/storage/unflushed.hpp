#pragma once

#include <atomic>
#include <cstdint>

namespace devices::storage {

/// Whether a disk has been changed since it was last flushed. Any thread, several at a time.
class Unflushed {
 public:
  /// A change that begins. It counts once it is over, even if it failed: a flush meanwhile may have
  /// missed it.
  class Change {
   public:
    explicit Change(Unflushed& disk) : disk_(disk) {}
    ~Change() { ++disk_.changes_; }
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;

   private:
    Unflushed& disk_;
  };

  [[nodiscard]] bool any() const { return flushed_ != changes_; }

  /// `flush` throws when it fails, and then nothing is flushed.
  template <typename Flush>
  void flush(Flush flush) {
    const std::uint64_t before = changes_;
    flush();
    std::uint64_t known = flushed_;
    while (known < before && !flushed_.compare_exchange_weak(known, before)) {
    }
  }

 private:
  std::atomic<std::uint64_t> changes_{0};
  std::atomic<std::uint64_t> flushed_{0};  ///< of these
};

}  // namespace devices::storage

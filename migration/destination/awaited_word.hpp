#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <optional>

#include "migration/handover/awake_watch.hpp"

namespace migration::destination {

/// The VM is prepared here, and the source is to say what becomes of it. Finds out that it says
/// nothing for a timeout, and that this process stood still meanwhile: what the source said before
/// that may be older than what it, or its operator, has decided since.
class AwaitedWord {
 public:
  struct Callbacks {
    /// Asked now and then: whether the word is still awaited.
    std::function<bool()> awaited;
    std::function<void()> overdue;
  };

  AwaitedWord(boost::asio::io_context& context, Callbacks callbacks);

  /// From now on, for `timeout`. `silence`: the shorter of both sides' timeouts.
  void await(std::chrono::milliseconds timeout, std::chrono::milliseconds silence);
  /// Whether this process has stood still for longer than `silence` since it was asked last. To be
  /// asked before anything is obeyed that was read.
  [[nodiscard]] bool stood_still();

 private:
  using Clock = std::chrono::steady_clock;

  void look_later();

  const Callbacks callbacks_;
  std::optional<handover::AwakeWatch> awake_;  ///< none before a word was awaited
  Clock::time_point due_;
  std::chrono::milliseconds silence_{};
  boost::asio::steady_timer look_;
};

}  // namespace migration::destination

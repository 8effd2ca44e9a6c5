#pragma once

#include <chrono>
#include <cstdint>

namespace migration {

/// How long a guest that was asked for its free pages is waited for before the first page is sent
/// (pure). It is so as long as it names pages faster than they could be sent: then that gains time
/// as well as bytes. What it names later is left out too where it was not sent yet.
class FreePageWait {
 public:
  /// Since the guest was asked.
  using Time = std::chrono::nanoseconds;
  /// A guest that does not take up the question costs so much, while it runs.
  static constexpr std::chrono::milliseconds kTakesUp{50};
  /// How fast it names pages is looked at over so long, or for as long as the link takes for two of
  /// the blocks of 4 MiB that Linux names: one that clears them names few in a second.
  static constexpr std::chrono::milliseconds kWindow{50};
  static constexpr std::uint64_t kTwoBlocks = 8 << 20;
  /// 10 Gbit/s, unless fewer bytes may be sent.
  static constexpr std::uint64_t kLinkRate = 1'250'000'000;

  /// 64 MiB. A kernel that clears what it names touches memory that its guest has never used: that
  /// is to take no more than so much of the host's.
  static constexpr std::uint64_t kMostGrown = 16384;
  /// A guest that names pages again and again has this side go through its RAM so often.
  static constexpr std::uint64_t kMostTimesNamed = 4;

  struct Heard {
    bool begun = false;
    bool over = false;
    std::uint64_t pages = 0;  ///< that are free, each once
    std::uint64_t grown = 0;  ///< of these, had never been touched before, and are now
    std::uint64_t named = 0;  ///< each as often as it was named
    std::uint64_t ram = 0;    ///< all that there are
    bool failed = false;      ///< to note them, or to ask the host what they cost
  };
  /// It is no longer worth what it costs.
  [[nodiscard]] static bool too_dear(const Heard& heard) {
    return heard.failed || heard.grown > kMostGrown || heard.named > kMostTimesNamed * heard.ram;
  }

  /// `cap`: bytes per second that may be sent; 0: no cap.
  explicit FreePageWait(std::uint64_t cap);

  /// Whether to go on waiting. To be asked again when the guest begins, when it is over, and after
  /// kWindow at the latest.
  [[nodiscard]] bool goes_on(Time now, const Heard& heard);

 private:
  const double rate_;
  const Time window_;
  bool begun_ = false;
  Time window_began_{};
  std::uint64_t pages_before_ = 0;
};

}  // namespace migration

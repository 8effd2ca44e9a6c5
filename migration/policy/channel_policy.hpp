#pragma once

namespace migration {

/// Decides, from what was measured, how many of a migration's channels take pages at a time, where
/// nobody has said.
///
/// A channel more carries more where the processor limits those that send: compressing, copying
/// into the socket, looking for zero pages. Where they wait for a cap or for the link it carries
/// nothing. So one joins while they work most of the time.
///
/// Whether a processor is free for it shows when it has joined: if the channels do not get more of
/// the processors' time together than before, it was none, and the channel leaves again, for a
/// while that doubles. One leaves as well where the others could do what all of them do.
class ChannelPolicy {
 public:
  explicit ChannelPolicy(unsigned most) : most_(most) {}

  /// The number that takes pages.
  [[nodiscard]] unsigned active() const { return active_; }
  /// Where the time of one of them went, in seconds.
  struct Work {
    double ran = 0;     ///< on a processor
    double waited = 0;  ///< for a processor
    double passed = 0;  ///< in all: also for the link, or for a cap
  };
  void worked(const Work& work);

 private:
  void decide();

  unsigned most_;
  unsigned active_ = 1;
  bool joined_ = false;   ///< one has, before this window
  double alone_ = 0;      ///< processors that the channels had in the window before that
  unsigned to_wait_ = 0;  ///< windows until another try
  unsigned penalty_ = 0;  ///< windows that they were, the last time
  Work window_;
};

/// Channels that are opened for the policy to choose from. Each sends from one of the processors.
[[nodiscard]] unsigned channels_to_open(unsigned processors);

}  // namespace migration

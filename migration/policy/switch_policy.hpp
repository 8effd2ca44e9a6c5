#pragma once

namespace migration {

/// Decides, while pre-copy runs, whether it works in vain and the migration had better go on as
/// post-copy.
///
/// A byte sent should leave one byte less to send. Where the guest writes a page again about as
/// soon as it is sent it does not: what remains is then near a minimum, and to go on would send the
/// same pages over and over. So it is in vain when twice in a row the rest fell by less than 30 %
/// of what was sent. That leaves out a guest whose rounds shrink to 0.7 or less, the headway that
/// `decide` (convergence.hpp) asks for; twice, and over samples that grow with the rest, so that a
/// short burst of writes does not count.
class SwitchPolicy {
 public:
  /// To be called now and then; most calls only look whether enough was sent since the last one
  /// that counted. `remaining_bytes`: what this round has yet to send and what was written after it
  /// was sent, in the unit of `sent_bytes`, the total so far. Both as of now: where writes are
  /// known only when a round ends, between rounds only.
  [[nodiscard]] bool in_vain(double remaining_bytes, double sent_bytes);

 private:
  bool begun_ = false;
  double remaining_ = 0;  ///< when the sample began
  double sent_ = 0;
  unsigned bad_ = 0;  ///< samples in a row
};

}  // namespace migration

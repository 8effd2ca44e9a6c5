#pragma once

#include <cstdint>

namespace migration {

/// Decides, for one channel and from what it measured, whether pages are hashed to find those whose
/// content was sent already.
///
/// What is found saves the time of a page on the wire; but how much will be found nobody knows
/// before. So pages are hashed where that takes a small share of the time that they take on the
/// wire, whatever comes of it, and no more once hardly any were found in very many.
class DuplicatePolicy {
 public:
  /// `link`: bytes per second that the channel carries, as far as is known; else infinity.
  [[nodiscard]] bool pays(double link) const;
  /// A page of so many bytes was copied, hashed and looked up.
  void looked(double bytes, bool found, double seconds);
  /// A page was not looked at. After so many of them the speed counts as unknown again.
  void passed_over(double bytes);

 private:
  static constexpr double kAssumedSpeed = 2e9;

  double speed_ = kAssumedSpeed;  ///< bytes per second
  double passed_over_ = 0;        ///< bytes
  std::uint64_t looked_ = 0, found_ = 0;
  struct Window {
    double bytes = 0, seconds = 0;
  } window_;
};

}  // namespace migration

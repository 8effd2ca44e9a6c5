#pragma once

#include <cstdint>
#include <vector>

namespace migration::model {

/// What is known of one page of a guest that was looked at.
struct PageTraits {
  bool touched = false;         ///< ever
  bool zero = false;            ///< until it is written
  float writes_per_second = 0;  ///< of one that is in use
  float bytes = 4096;           ///< on the wire, when it is not zero
};

/// A guest, page by page, as it was sampled. A large guest has fewer pages here than it has in
/// truth: each stands for `scale` of them.
struct Profile {
  std::vector<PageTraits> pages;
  double scale = 1;
};

}  // namespace migration::model

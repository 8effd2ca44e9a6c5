#include "migration/reuse/copy_plan.hpp"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <limits>
#include <utility>

namespace migration {

namespace {

constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

/// Copies sorted by `to`, and for each the one that overwrites what it reads.
class Order {
 public:
  explicit Order(std::vector<Copy> wanted) : copies_(std::move(wanted)) {
    std::ranges::sort(copies_, {}, &Copy::to);
    overwrites_.resize(copies_.size(), kNone);
    readers_.resize(copies_.size());
    for (std::size_t i = 0; i < copies_.size(); ++i) {
      const Copy& copy = copies_[i];
      assert(copy.count == 1 && copy.to != copy.from);
      assert(i == 0 || copies_[i - 1].to != copy.to);
      const auto found = std::ranges::lower_bound(copies_, copy.from, {}, &Copy::to);
      if (found == copies_.end() || found->to != copy.from) continue;
      overwrites_[i] = static_cast<std::size_t>(found - copies_.begin());
      ++readers_[overwrites_[i]];
    }
  }

  CopyPlan plan() {
    // First come, first served: what lies side by side is freed side by side, and joins to runs.
    for (std::size_t i = 0; i < copies_.size(); ++i) {
      if (readers_[i] == 0) ready_.push_back(i);
    }
    serve();
    // All that is left is in cycles.
    for (std::size_t i = 0; i < copies_.size(); ++i) {
      if (readers_[i] == 0) continue;
      plan_.left_out.push_back(copies_[i].to);
      left_out_ = i;
      has_read(i);
      serve();
    }
    return std::move(plan_);
  }

 private:
  void serve() {
    for (; next_ < ready_.size(); ++next_) {
      const std::size_t copy = ready_[next_];
      append(copies_[copy]);
      has_read(copy);
    }
  }

  /// The page that `copy` reads may be overwritten, once all of its readers have read.
  void has_read(std::size_t copy) {
    const std::size_t freed = overwrites_[copy];
    if (freed == kNone || --readers_[freed] > 0 || freed == left_out_) return;
    ready_.push_back(freed);
  }

  void append(const Copy& copy) {
    if (!plan_.copies.empty()) {
      Copy& run = plan_.copies.back();
      const std::uint64_t distance = run.to > run.from ? run.to - run.from : run.from - run.to;
      if (copy.to == run.to + run.count && copy.from == run.from + run.count &&
          run.count < distance) {
        ++run.count;
        return;
      }
    }
    plan_.copies.push_back(copy);
  }

  std::vector<Copy> copies_;
  std::vector<std::size_t> overwrites_;  ///< the copy that must come after; kNone
  std::vector<std::size_t> readers_;     ///< copies that read from where this one writes
  std::vector<std::size_t> ready_;       ///< in the order in which they became so
  std::size_t next_ = 0;                 ///< of `ready_`
  std::size_t left_out_ = kNone;         ///< the newest
  CopyPlan plan_;
};

}  // namespace

CopyPlan plan_copies(std::vector<Copy> wanted) { return Order(std::move(wanted)).plan(); }

}  // namespace migration

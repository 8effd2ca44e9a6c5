#pragma once

#include <atomic>
#include <optional>
#include <vector>

#include "migration/handover/source_side.hpp"
#include "vmm/os/mutex.hpp"

namespace migration::source {

/// The rules of who owns the VM, at the source. The migration's thread tells them what has
/// happened, and any thread what somebody wishes. What they say is kept, in order, until the
/// migration's thread does it.
class Ownership {
 public:
  using Side = handover::SourceSide;
  using Stage = Side::Stage;
  using Event = Side::Event;

  /// Once committed, the VM lacks pages over there.
  void hands_pages_over(bool whether) { hands_pages_over_ = whether; }

  // Any thread.
  [[nodiscard]] bool hands_pages_over() const { return hands_pages_over_; }
  [[nodiscard]] Stage stage() const;
  void advance(Event event);
  /// Nullopt when the wish is granted; else the stage in which it is not.
  [[nodiscard]] std::optional<Stage> wish(Event event);
  /// The newest wish that was.
  [[nodiscard]] std::optional<Event> granted() const;
  /// What is to be done now, each once.
  [[nodiscard]] std::vector<handover::Action> take_due();

 private:
  void add_due(const handover::Actions& actions) FERRY_REQUIRES(mutex_);

  mutable vmm::Mutex mutex_;
  handover::SourceHandover rules_ FERRY_GUARDED_BY(mutex_);
  std::vector<handover::Action> due_ FERRY_GUARDED_BY(mutex_);
  std::optional<Event> granted_ FERRY_GUARDED_BY(mutex_);
  std::atomic<bool> hands_pages_over_ = false;
};

}  // namespace migration::source

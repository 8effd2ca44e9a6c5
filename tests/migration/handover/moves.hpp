#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/migration/handover/step.hpp"

namespace migration::handover::model {

/// More do not fit a World.
inline constexpr std::uint8_t kMostFaults = 15;

/// How far is looked.
struct Bounds {
  std::uint8_t faults = 3;  ///< that happen in one history, of any kinds
  std::uint8_t links = 2;   ///< connections that exist at one time
  bool post_copy = false;
  /// The VM has a disk to write, and both sides have one kernel, which keeps its lock.
  bool disk = false;
  /// The lock is lost though its holder lives, as that of another host may be: shows why both must
  /// have one kernel.
  bool lease_ends = false;
  /// The destination does not note beside the disk that it is about to run the VM.
  bool unmarked = false;
  /// The operator takes a host for dead whose clock stands still with it, and that counts as true:
  /// shows what no side can find out.
  bool believe_whole_freeze = false;
  /// The operator forces the source at once, while the destination has been frozen for less than a
  /// timeout, and that counts as true: shows what the gap does not tell.
  bool force_at_once = false;
  /// Looks for two owners, and for a guest that runs again after its end, and at nothing else.
  bool owners_only = false;
};

/// Pre-copy and post-copy, without a disk and with one.
[[nodiscard]] std::array<Bounds, 4> kinds_of(Bounds bounds);

/// What happens in a move.
enum class What : std::uint8_t {
  source_reads,
  source_reads_twice,  ///< the frame comes again
  source_event,
  source_asks,
  stranger_answers,  ///< somebody else listens at that address
  source_dies,
  source_freezes,
  source_wakes,
  destination_reads,
  destination_reads_twice,
  destination_cannot_start,   ///< what it has read told it to
  destination_dies_starting,  ///< likewise: the disk's mark names it, and the guest has not run
  destination_event,
  destination_tells,  ///< how many pages are missing
  destination_dies,
  destination_freezes,
  destination_freezes_whole,
  destination_wakes,
  destination_wakes_after_gap,
  link_breaks,
  source_takes_disk,   ///< which it lacked to run the VM
  disk_changes_hands,  ///< nobody has its lock for a moment, on its way to the third host
  disk_taken_again,    ///< it does not go there after all
  lease_ends
};

struct Label {
  What what{};
  std::uint8_t detail = 0;  ///< the frame, or the event
};
[[nodiscard]] std::string describe(Label label);

struct Move {
  World to;
  Label label;
  bool fault = false;               ///< it takes one of the faults that are left
  const char* violation = nullptr;  ///< what must never happen, and has
};

/// All that can happen next. One move is one thing: a frame is read, an end is noticed, a side
/// freezes, an operator says something.
class Mover {
 public:
  Mover(const Tables& tables, const Bounds& bounds, Coverage* coverage = nullptr)
      : tables_(&tables), bounds_(bounds), coverage_(coverage) {}

  [[nodiscard]] World first() const;
  void moves_of(const World& from, std::vector<Move>& moves) const;
  /// Those of one side alone, with nothing from outside.
  void moves_of_source(const World& from, std::vector<Move>& moves) const;
  void moves_of_destination(const World& from, std::vector<Move>& moves) const;

 private:
  class Adder;

  // source_moves.cpp
  void source_reads(const Adder& add) const;
  void source_notices(const Adder& add) const;
  void source_asks(const Adder& add) const;
  void source_times(const Adder& add) const;
  void source_wishes(const Adder& add) const;
  void source_looks_at_disk(const Adder& add) const;
  void operator_forces_source(const Adder& add) const;

  // destination_moves.cpp
  void destination_reads(const Adder& add) const;
  void destination_loads(const Adder& add, std::size_t at) const;
  void destination_reads_from(const Adder& add, std::size_t at, bool twice) const;
  void destination_notices(const Adder& add) const;
  void guest_runs_there(const Adder& add) const;
  void destination_times(const Adder& add) const;
  void destination_wishes(const Adder& add) const;
  void destination_wakes(const Adder& add) const;

  void break_links(const Adder& add) const;
  void stop_sides(const Adder& add) const;
  void move_disk(const Adder& add) const;

  const Tables* tables_;
  Bounds bounds_;
  Coverage* coverage_;
};

}  // namespace migration::handover::model

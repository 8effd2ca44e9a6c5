#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "migration/handover/destination_side.hpp"
#include "migration/handover/source_side.hpp"

/// One moment of one handover, as the model sees it: both sides, a third host, and the connections
/// between the two with the frames that are under way. Some 40 bytes, so that millions of them fit.
namespace migration::handover::model {

using SourceStage = SourceSide::Stage;
using SourceEvent = SourceSide::Event;
using DestinationStage = DestinationSide::Stage;
using DestinationEvent = DestinationSide::Event;

/// Frames by their direction; those that have nothing to do with who owns the VM are left out, and
/// the machine state and the last pages come with `last_round`.
enum class ToDestination : std::uint8_t {
  none,
  offer,
  last_round,
  commit,
  abort,
  inquire,
  released
};
enum class ToSource : std::uint8_t {
  none,
  accept,
  prepared,
  running_lacking,
  running,
  refused,
  ended,
  acknowledged,
  status_prepared,
  status_running,
  status_refused,
  status_unknown
};

/// At most eight frames, the oldest first.
template <class Frame>
struct Frames {
  std::uint32_t bits = 0;

  [[nodiscard]] bool empty() const { return bits == 0; }
  [[nodiscard]] bool full() const { return (bits >> 28) != 0; }
  [[nodiscard]] Frame first() const { return static_cast<Frame>(bits & 15); }
  void pop() { bits >>= 4; }
  void push(Frame frame) {
    int shift = 0;
    while ((bits >> shift & 15) != 0) shift += 4;
    bits |= static_cast<std::uint32_t>(frame) << shift;
  }
  [[nodiscard]] bool has(Frame frame) const {
    for (std::uint32_t rest = bits; rest != 0; rest >>= 4) {
      if ((rest & 15) == static_cast<unsigned>(frame)) return true;
    }
    return false;
  }
};

/// A control or inquiry connection. What was sent before it broke, or before an end was closed, may
/// still be read by the other end.
struct Link {
  Frames<ToDestination> to_destination;
  Frames<ToSource> to_source;
  bool source_open = false;
  bool destination_open = false;
  bool accepted = false;  ///< the destination has read what it is for
  bool broken = false;    ///< nothing gets through any more

  [[nodiscard]] bool gone() const { return !source_open && !destination_open; }
};

/// `frozen`: it does nothing, and its clock goes on. `frozen_whole`: its clock, too, stands still.
/// `hung`: it does nothing but to send signs of life.
enum class Life : std::uint8_t { lives, frozen, frozen_whole, hung, dead };
[[nodiscard]] constexpr bool is_frozen(Life life) {
  return life == Life::frozen || life == Life::frozen_whole;
}

enum class SourceGuest : std::uint8_t { running, stopped, dropped };
enum class DestinationGuest : std::uint8_t { none, paused, running };

/// Who has the lock of the VM's disk. `elsewhere`: the destination, or the third host.
enum class Disk : std::uint8_t { none, free, source, elsewhere };

struct World {
  static constexpr std::size_t kLinks = 3;

  SourceStage source = SourceStage::connecting;
  DestinationStage destination = DestinationStage::listening;
  Life source_life = Life::lives;
  Life destination_life = Life::lives;
  SourceGuest source_guest = SourceGuest::running;
  DestinationGuest destination_guest = DestinationGuest::none;
  std::uint8_t faults_left = 0;
  Disk disk = Disk::none;
  bool marked = false;     ///< the disk's mark names another than the source
  bool seen_held = false;  ///< the source has seen, once told `prepared`, that the other has it
  /// What has happened, for the judge.
  struct Past {
    bool post_copy : 1;      ///< pages are missing at the handover
    bool pages_missing : 1;  ///< and still are
    bool commit_sent : 1;
    bool has_run_there : 1;  ///< at the destination
    bool told_running : 1;   ///< the source has read so
    bool third_runs : 1;     ///< the VM has gone on to a third host
    bool guest_over : 1;     ///< it has ended
    bool long_freeze : 1;    ///< the destination is frozen for longer than its timeout
    bool false_claim : 1;    ///< the operator said that a side is dead that was not
    bool doubled : 1;        ///< a frame was read twice
    bool gave_up : 1;        ///< the time for telling, or for answering, was over
    bool warned : 1;         ///< people have been told of two owners
  } past{};
  std::array<Link, kLinks> links{};

  friend bool operator==(const World& left, const World& right) {
    return left.words() == right.words();
  }
  [[nodiscard]] std::array<std::uint64_t, 4> words() const;
  [[nodiscard]] std::size_t hash() const;

  [[nodiscard]] bool source_alive() const { return source_life != Life::dead; }
  [[nodiscard]] bool destination_alive() const {
    return destination_life != Life::dead && destination != DestinationStage::over;
  }
  /// How many run the VM, or would go on with it as soon as they are no longer frozen.
  [[nodiscard]] int owners() const;
  /// The connection by which a side is connected now; null: none.
  [[nodiscard]] Link* source_link();
  [[nodiscard]] Link* destination_link();
  /// Links that nobody has open any more make room.
  void forget_links();
};

}  // namespace migration::handover::model

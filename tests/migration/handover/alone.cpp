#include "tests/migration/handover/alone.hpp"

#include <algorithm>

namespace migration::handover::model {

struct Alone::Goal {
  std::size_t number;
  bool of_source;       ///< the source's moves; else the destination's
  bool operator_helps;  ///< by --force, and by passing the VM on
  bool (*reached)(const World& world);
};

namespace {

bool somebody_runs(const World& world) { return world.owners() > 0; }

bool source_rests(const World& world) {
  return world.source == SourceStage::in_doubt || world.source == SourceStage::serving_unlinked ||
         world.source == SourceStage::here || world.source == SourceStage::there;
}

/// While memory travels, and while nothing but telling is left, signs of life are enough: a peer
/// that hangs then costs the guest nothing, or is found by the pages that do not come.
bool source_does_not_wait(const World& world) {
  World copy = world;
  return copy.source_link() == nullptr || world.source == SourceStage::copying ||
         world.source == SourceStage::serving || world.source == SourceStage::here_telling ||
         world.source == SourceStage::there_telling;
}

bool destination_rests(const World& world) {
  switch (world.destination) {
    case DestinationStage::receiving:
    case DestinationStage::prepared:
    case DestinationStage::lacking:
    case DestinationStage::fetching:
    case DestinationStage::ended:
    case DestinationStage::refused: return false;
    default: return true;
  }
}

bool destination_does_not_wait(const World& world) {
  return world.destination != DestinationStage::prepared &&
         world.destination != DestinationStage::lacking;
}

bool has_gone_on(const World& world) { return world.past.third_runs; }

bool is_by_operator(Label label) {
  if (label.what == What::source_event) {
    return static_cast<SourceEvent>(label.detail) == SourceEvent::force;
  }
  const auto event = static_cast<DestinationEvent>(label.detail);
  return label.what == What::destination_event &&
         (event == DestinationEvent::force || event == DestinationEvent::pass_on);
}

}  // namespace

const char* Alone::judge(const World& world) {
  if (world.past.false_claim) return nullptr;
  const char* wrong = world.source_alive() ? judge_source(world) : nullptr;
  if (wrong != nullptr || !world.destination_alive()) return wrong;
  return judge_destination(world);
}

const char* Alone::judge_source(const World& world) {
  Step dead(*tables_, world);
  dead.kill_destination();
  const bool written_there = world.disk != Disk::none && world.past.has_run_there;
  const bool may_run = world.owners() == 0 && !world.past.guest_over && !written_there &&
                       world.source_guest != SourceGuest::dropped;
  if (may_run && !comes_to({0, true, true, somebody_runs}, dead.world())) {
    return "the destination is dead, and the source cannot be made to run the VM";
  }
  const bool disk_tells = world.seen_held && !world.marked &&
                          world.source >= SourceStage::committed &&
                          world.source <= SourceStage::asking;
  if (disk_tells && may_run && !comes_to({7, true, false, somebody_runs}, dead.world())) {
    return "the destination is dead, its disk shows that it has not run the VM, and the source "
           "waits";
  }
  if (!comes_to({1, true, false, source_rests}, dead.world())) {
    return "the destination is dead, and the source does not come to rest";
  }
  if (!world.destination_alive()) return nullptr;
  World hung = world;
  hung.destination_life = Life::hung;
  // Who hangs keeps the disk.
  const bool may_have_disk = world.disk != Disk::elsewhere;
  if (may_run && may_have_disk && !comes_to({2, true, true, somebody_runs}, hung)) {
    return "the destination hangs, and the source cannot be made to run the VM";
  }
  if (!comes_to({3, true, false, source_does_not_wait}, hung)) {
    return "the destination hangs, and the source waits for ever";
  }
  return nullptr;
}

const char* Alone::judge_destination(const World& world) {
  Step dead(*tables_, world);
  dead.kill_source();
  const bool whole = !world.past.pages_missing && !world.past.guest_over;
  if (whole && world.destination_guest == DestinationGuest::paused &&
      !comes_to({4, false, true, somebody_runs}, dead.world())) {
    return "the source is dead, and the destination cannot be made to run the VM";
  }
  if (whole && world.destination_guest == DestinationGuest::running &&
      !comes_to({4, false, true, has_gone_on}, dead.world())) {
    return "the source is dead, and the VM cannot be passed on";
  }
  if (!comes_to({5, false, false, destination_rests}, dead.world())) {
    return "the source is dead, and the destination does not come to rest";
  }
  World hung = world;
  if (world.source_alive()) hung.source_life = Life::hung;
  if (!comes_to({6, false, false, destination_does_not_wait}, hung)) {
    return "the source hangs, and the destination waits for ever";
  }
  return nullptr;
}

/// Nobody else is there; and minutes of telling are no deadline of an answer.
bool Alone::is_skipped(const Goal& goal, Label label) {
  if (label.what == What::stranger_answers) return true;
  return goal.reached == source_does_not_wait && label.what == What::source_event &&
         static_cast<SourceEvent>(label.detail) == SourceEvent::telling_over;
}

bool Alone::comes_to(const Goal& goal, const World& from) {
  World start = from;
  start.faults_left = goal.operator_helps ? 4 : 0;
  start.past.gave_up = start.past.doubled = start.past.long_freeze = start.past.warned = false;
  start.forget_links();
  if (goal.reached(start)) return true;
  auto& known = known_.at(goal.number);
  if (known.contains(start)) return true;
  std::unordered_set<World, Hash> seen{start};
  std::vector<World> open{start};
  while (!open.empty()) {
    const World world = open.back();
    open.pop_back();
    moves_.clear();
    goal.of_source ? mover_.moves_of_source(world, moves_)
                   : mover_.moves_of_destination(world, moves_);
    for (const Move& move : moves_) {
      if (is_skipped(goal, move.label) || (move.fault && !is_by_operator(move.label))) continue;
      if (goal.reached(move.to)) {
        known.insert(start);
        return true;
      }
      if (seen.insert(move.to).second) open.push_back(move.to);
    }
  }
  return false;
}

}  // namespace migration::handover::model

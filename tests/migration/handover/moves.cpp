#include "tests/migration/handover/moves.hpp"

#include <array>
#include <string_view>

#include "tests/migration/handover/adder.hpp"

/// What can happen to connections and to whole sides, and how people are told of it.
namespace migration::handover::model {

std::array<Bounds, 4> kinds_of(Bounds bounds) {
  std::array<Bounds, 4> all{};
  for (std::size_t kind = 0; kind < all.size(); ++kind) {
    bounds.post_copy = kind % 2 == 1;
    bounds.disk = kind >= 2;
    all.at(kind) = bounds;
  }
  return all;
}

World Mover::first() const {
  World world;
  world.faults_left = bounds_.faults;
  world.past.post_copy = world.past.pages_missing = bounds_.post_copy;
  if (bounds_.disk) world.disk = Disk::source;
  world.links[0] = {{}, {}, true, true};
  world.links[0].to_destination.push(ToDestination::offer);
  return world;
}

void Mover::moves_of(const World& from, std::vector<Move>& moves) const {
  moves.clear();
  moves_of_source(from, moves);
  moves_of_destination(from, moves);
  const Adder add(*this, from, moves);
  break_links(add);
  stop_sides(add);
  move_disk(add);
}

void Mover::break_links(const Adder& add) const {
  for (std::size_t at = 0; at < World::kLinks; ++at) {
    const Link& link = add.from().links.at(at);
    if (link.gone() || link.broken) continue;
    add.fault({What::link_breaks}, [at](Step& step) { step.world().links.at(at).broken = true; });
  }
}

void Mover::stop_sides(const Adder& add) const {
  if (add.from().source_life == Life::lives) {
    add.fault({What::source_dies}, [](Step& step) { step.kill_source(); });
    add.fault({What::source_freezes}, [](Step& step) { step.world().source_life = Life::frozen; });
  }
  if (add.from().destination_life == Life::lives && add.from().destination_alive()) {
    add.fault({What::destination_dies}, [](Step& step) {
      // Then nobody can know any more that the guest had ended.
      if (step.world().past.guest_over) step.world().past.gave_up = true;
      step.kill_destination();
    });
    add.fault({What::destination_freezes},
              [](Step& step) { step.world().destination_life = Life::frozen; });
    add.fault({What::destination_freezes_whole},
              [](Step& step) { step.world().destination_life = Life::frozen_whole; });
  }
}

/// Without the two sides' doing: theirs goes with what they do.
void Mover::move_disk(const Adder& add) const {
  const World& world = add.from();
  const bool held_there = world.disk == Disk::elsewhere && world.destination_alive();
  if (held_there && bounds_.lease_ends) {
    add.fault({What::lease_ends}, [](Step& step) { step.world().disk = Disk::free; });
  }
  if (world.destination != DestinationStage::settled || !world.destination_alive()) return;
  if (held_there) {
    add.fault({What::disk_changes_hands}, [](Step& step) { step.world().disk = Disk::free; });
  } else if (world.disk == Disk::free) {
    add.free({What::disk_taken_again}, [](Step& step) { step.world().disk = Disk::elsewhere; });
  }
}

namespace {

constexpr std::array<std::string_view, 7> kToDestination = {
    "nothing", "offer", "last_round", "commit", "abort", "inquire", "released"};
constexpr std::array<std::string_view, 12> kToSource = {
    "nothing",         "accept",         "prepared",       "running, pages missing",
    "running",         "refused",        "ended",          "acknowledged",
    "status prepared", "status running", "status refused", "status unknown"};

std::string text(std::string_view before, std::string_view what, std::string_view after = {}) {
  std::string whole(before);
  return whole.append(what).append(after);
}

}  // namespace

std::string describe(Label label) {
  switch (label.what) {
    case What::source_reads: return text("source reads: ", kToSource.at(label.detail));
    case What::source_reads_twice:
      return text("source reads: ", kToSource.at(label.detail), ", which will come again");
    case What::source_event:
      return text("source: ", SourceSide::name(static_cast<SourceEvent>(label.detail)));
    case What::source_asks: return "source dials and asks";
    case What::stranger_answers: return "source dials and asks somebody else";
    case What::source_dies: return "source dies";
    case What::source_freezes: return "source freezes";
    case What::source_wakes: return "source wakes";
    case What::destination_reads:
      return text("destination reads: ", kToDestination.at(label.detail));
    case What::destination_reads_twice:
      return text("destination reads: ", kToDestination.at(label.detail),
                  ", which will come again");
    case What::destination_cannot_start: return "destination is to run the VM, and cannot";
    case What::destination_dies_starting: return "destination dies as it is to run the VM";
    case What::source_takes_disk: return "source takes the disk, and runs the VM";
    case What::disk_changes_hands: return "destination gives the disk's lock up for a third host";
    case What::disk_taken_again: return "destination takes the disk's lock again";
    case What::lease_ends: return "the disk's lock is lost";
    case What::destination_tells: return "destination tells how many pages are missing";
    case What::destination_event:
      return text("destination: ",
                  DestinationSide::name(static_cast<DestinationEvent>(label.detail)));
    case What::destination_dies: return "destination dies";
    case What::destination_freezes: return "destination freezes";
    case What::destination_freezes_whole: return "destination freezes with its clock";
    case What::destination_wakes: return "destination wakes";
    case What::destination_wakes_after_gap: return "destination wakes, and notices the gap";
    case What::link_breaks: return "a connection breaks";
  }
  return {};
}

}  // namespace migration::handover::model

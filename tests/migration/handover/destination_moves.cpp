#include "tests/migration/handover/adder.hpp"

/// What can happen to the destination, and what its operator may say.
namespace migration::handover::model {

namespace {

Label event_label(DestinationEvent event) {
  return {What::destination_event, static_cast<std::uint8_t>(event)};
}

DestinationEvent event_of(ToDestination frame) {
  switch (frame) {
    case ToDestination::none:
    case ToDestination::last_round:
    case ToDestination::offer: return DestinationEvent::offer;
    case ToDestination::commit: return DestinationEvent::commit;
    case ToDestination::abort: return DestinationEvent::abort;
    case ToDestination::inquire: return DestinationEvent::inquire;
    case ToDestination::released: break;
  }
  return DestinationEvent::released;
}

/// Whether what the operator says by `force` at the destination is true: the source is dead, or has
/// let go of the VM for good.
bool source_is_out(const World& world) {
  return !world.source_alive() || world.source == SourceStage::there ||
         world.source == SourceStage::there_telling || world.source == SourceStage::there_asking;
}

}  // namespace

void Mover::moves_of_destination(const World& from, std::vector<Move>& moves) const {
  if (!from.destination_alive()) return;
  const Adder add(*this, from, moves);
  if (is_frozen(from.destination_life)) return destination_wakes(add);
  destination_reads(add);
  destination_notices(add);
  guest_runs_there(add);
  destination_times(add);
  destination_wishes(add);
}

void Mover::destination_reads(const Adder& add) const {
  for (std::size_t at = 0; at < World::kLinks; ++at) {
    const Link& link = add.from().links.at(at);
    if (!link.destination_open || link.to_destination.empty()) continue;
    if (link.to_destination.first() == ToDestination::last_round) {
      destination_loads(add, at);
      continue;
    }
    destination_reads_from(add, at, false);
    if (!add.from().past.doubled) destination_reads_from(add, at, true);
  }
}

void Mover::destination_loads(const Adder& add, std::size_t at) const {
  if (add.from().destination != DestinationStage::receiving) return;
  const auto load = [at](DestinationEvent event) {
    return [at, event](Step& step) {
      step.world().links.at(at).to_destination.pop();
      step.world().destination_guest = DestinationGuest::paused;
      if (step.world().disk == Disk::free) step.world().disk = Disk::elsewhere;
      step.destination(event);
    };
  };
  if (add.from().disk == Disk::source) {  // which runs the VM again
    add.free(event_label(DestinationEvent::load_failed), load(DestinationEvent::load_failed));
    return;
  }
  const auto loaded =
      add.from().past.post_copy ? DestinationEvent::loaded_lacking : DestinationEvent::loaded;
  add.free(event_label(loaded), load(loaded));
  add.fault(event_label(DestinationEvent::load_failed), load(DestinationEvent::load_failed));
}

void Mover::destination_reads_from(const Adder& add, std::size_t at, bool twice) const {
  const ToDestination frame = add.from().links.at(at).to_destination.first();
  const bool unmarked = bounds_.unmarked;
  const auto obey = [at, twice, unmarked](DestinationEvent event) {
    return [at, twice, event, unmarked](Step& step) {
      step.world().links.at(at).accepted = true;
      if (twice) step.world().past.doubled = true;
      if (!twice) step.world().links.at(at).to_destination.pop();
      step.destination(event, &step.world().links.at(at));
      if (unmarked) step.world().marked = false;
    };
  };
  const auto read = obey(event_of(frame));
  const auto detail = static_cast<std::uint8_t>(frame);
  const bool was_paused = add.from().destination_guest == DestinationGuest::paused;
  const Label label{twice ? What::destination_reads_twice : What::destination_reads, detail};
  add.fault_unless(!twice, label, [&read, was_paused](Step& step) {
    read(step);
    if (was_paused && is_starting(step.world().destination)) step.destination_started();
  });
  if (twice) return;
  if (frame == ToDestination::commit) {
    add.fault({What::destination_cannot_start}, [&read, was_paused](Step& step) {
      read(step);
      if (was_paused && is_starting(step.world().destination)) step.destination_cannot_start();
    });
    if (add.from().disk != Disk::none && was_paused) {
      add.fault({What::destination_dies_starting}, [&read](Step& step) {
        read(step);
        step.kill_destination();
      });
    }
  } else if (add.from().destination == DestinationStage::listening) {
    add.fault(event_label(DestinationEvent::offer_unfit), obey(DestinationEvent::offer_unfit));
  }
}

void Mover::destination_notices(const Adder& add) const {
  World world = add.from();
  const Link* current = world.destination_link();
  for (std::size_t at = 0; at < World::kLinks; ++at) {
    const Link& link = world.links.at(at);
    const bool ended = link.broken || !link.source_open || is_frozen(world.source_life);
    if (!link.destination_open || !ended) continue;
    add.free(event_label(DestinationEvent::link_lost), [at, &link, current](Step& step) {
      step.close_by_destination(step.world().links.at(at));
      if (&link == current) step.destination(DestinationEvent::link_lost);
    });
  }
}

void Mover::guest_runs_there(const Adder& add) const {
  const World& world = add.from();
  if (world.destination_guest != DestinationGuest::running) return;
  add.fault(event_label(DestinationEvent::guest_ended), [](Step& step) {
    step.world().destination_guest = DestinationGuest::none;
    step.world().past.guest_over = true;
    step.destination(DestinationEvent::guest_ended);
  });
  if (!world.past.pages_missing) return;
  World copy = world;
  const Link* link = copy.destination_link();
  const bool linked = link != nullptr && link->source_open && !link->broken;
  const bool served =
      linked && world.source == SourceStage::serving && world.source_life == Life::lives;
  // What was on its way when the link was lost may land later.
  add.fault_unless(served, event_label(DestinationEvent::all_here), [](Step& step) {
    step.world().past.pages_missing = false;
    step.destination(DestinationEvent::all_here);
  });
  if (!linked || !link->to_source.empty()) return;
  add.fault({What::destination_tells}, [](Step& step) {
    step.world().destination_link()->to_source.push(ToSource::running_lacking);
  });
}

void Mover::destination_times(const Adder& add) const {
  const World& world = add.from();
  for (const DestinationEvent event : {DestinationEvent::overdue, DestinationEvent::answer_over}) {
    if (tables_->destination.find(world.destination, event) == nullptr) continue;
    // Nobody asks any more once the source is done.
    const bool alone = world.source_life != Life::lives || world.source == SourceStage::here;
    add.fault_unless(alone, event_label(event), [event](Step& step) {
      if (event == DestinationEvent::answer_over) step.world().past.gave_up = true;
      step.destination(event);
    });
  }
}

void Mover::destination_wishes(const Adder& add) const {
  const World& world = add.from();
  for (const DestinationEvent event : {DestinationEvent::pass_on, DestinationEvent::decline}) {
    if (tables_->destination.find(world.destination, event) == nullptr) continue;
    add.fault(event_label(event), [event](Step& step) { step.destination(event); });
  }
  if (tables_->destination.find(world.destination, DestinationEvent::force) == nullptr) return;
  const auto forces = [&](bool starts) {
    return [&world, starts](Step& step) {
      if (!source_is_out(world)) step.world().past.false_claim = true;
      step.destination(DestinationEvent::force);
      if (!is_starting(step.world().destination)) return;
      starts ? step.destination_started() : step.destination_cannot_start();
    };
  };
  add.fault(event_label(DestinationEvent::force), forces(true));
  add.fault({What::destination_cannot_start}, forces(false));
}

/// A gap longer than the timeout is noticed before anything else is looked at, if the clock has
/// seen it. One that is shorter need not be.
void Mover::destination_wakes(const Adder& add) const {
  const bool whole = add.from().destination_life == Life::frozen_whole;
  const auto wake = [](Step& step) {
    step.world().destination_life = Life::lives;
    step.world().past.long_freeze = false;
  };
  if (!add.from().past.long_freeze) add.free({What::destination_wakes}, wake);
  if (whole) return;
  add.free({What::destination_wakes_after_gap}, [&wake](Step& step) {
    wake(step);
    step.destination(DestinationEvent::gap);
  });
}

}  // namespace migration::handover::model

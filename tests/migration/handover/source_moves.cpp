#include "tests/migration/handover/adder.hpp"

/// What can happen to the source, and what its operator may say.
namespace migration::handover::model {

namespace {

Label event_label(SourceEvent event) {
  return {What::source_event, static_cast<std::uint8_t>(event)};
}

SourceEvent event_of(ToSource frame) {
  switch (frame) {
    case ToSource::none:
    case ToSource::accept: return SourceEvent::accept;
    case ToSource::prepared: return SourceEvent::prepared;
    case ToSource::running_lacking: return SourceEvent::running_lacking;
    case ToSource::running: return SourceEvent::running;
    case ToSource::refused: return SourceEvent::refused;
    case ToSource::ended: return SourceEvent::ended;
    case ToSource::acknowledged: return SourceEvent::acknowledged;
    case ToSource::status_prepared: return SourceEvent::status_prepared;
    case ToSource::status_running: return SourceEvent::status_running;
    case ToSource::status_refused: return SourceEvent::status_refused;
    case ToSource::status_unknown: break;
  }
  return SourceEvent::status_unknown;
}

bool dials(SourceStage stage) {
  return stage == SourceStage::in_doubt || stage == SourceStage::serving_unlinked ||
         stage == SourceStage::here_telling || stage == SourceStage::there_telling;
}

bool has_commit(const World& world) {
  for (const Link& link : world.links) {
    if (link.destination_open && link.to_destination.has(ToDestination::commit)) return true;
  }
  return false;
}

/// Whether what the operator says by `force` at the source is true: the destination does not run
/// the VM, and by itself never will.
bool destination_is_out(const World& world, const Bounds& bounds) {
  if (!world.destination_alive() || world.destination == DestinationStage::refused) return true;
  if (world.past.has_run_there || world.past.guest_over) return false;
  switch (world.destination_life) {
    case Life::frozen: return true;  // it will notice
    case Life::frozen_whole: return bounds.believe_whole_freeze || !has_commit(world);
    default: return !has_commit(world);
  }
}

}  // namespace

void Mover::moves_of_source(const World& from, std::vector<Move>& moves) const {
  if (from.source_life == Life::dead) return;
  const Adder add(*this, from, moves);
  if (from.source_life == Life::frozen) {
    add.free({What::source_wakes}, [](Step& step) { step.world().source_life = Life::lives; });
    return;
  }
  source_reads(add);
  source_notices(add);
  source_asks(add);
  source_times(add);
  source_wishes(add);
  source_looks_at_disk(add);
  operator_forces_source(add);
}

void Mover::source_reads(const Adder& add) const {
  World world = add.from();
  const Link* link = world.source_link();
  if (link == nullptr || link->to_source.empty()) return;
  const ToSource frame = link->to_source.first();
  const auto detail = static_cast<std::uint8_t>(frame);
  add.free({What::source_reads, detail}, [&](Step& step) {
    step.world().source_link()->to_source.pop();
    step.source(event_of(frame));
  });
  if (world.past.doubled) return;
  add.fault({What::source_reads_twice, detail}, [&](Step& step) {
    step.world().past.doubled = true;
    step.source(event_of(frame));
  });
}

/// That the connection has ended; or that the guest is to stop, or all has been sent.
void Mover::source_notices(const Adder& add) const {
  World world = add.from();
  if (world.source == SourceStage::copying) {
    add.free(event_label(SourceEvent::guest_stopped),
             [](Step& step) { step.source(SourceEvent::guest_stopped); });
  } else if (world.source == SourceStage::stopped && world.destination_life == Life::lives) {
    add.free(event_label(SourceEvent::all_sent),
             [](Step& step) { step.source(SourceEvent::all_sent); });
  }
  const Link* link = world.source_link();
  if (link == nullptr) return;
  if (link->destination_open && !link->broken && !is_frozen(world.destination_life)) return;
  add.free(event_label(SourceEvent::link_lost), [](Step& step) {
    step.close_by_source(*step.world().source_link());
    step.source(SourceEvent::link_lost);
  });
}

void Mover::source_asks(const Adder& add) const {
  World world = add.from();
  if (!dials(world.source) || world.source_link() != nullptr) return;
  Link* free = nullptr;
  for (std::size_t at = 0; at < bounds_.links && free == nullptr; ++at) {
    if (world.links.at(at).gone()) free = &world.links.at(at);
  }
  if (free == nullptr) return;
  const auto at = static_cast<std::size_t>(free - world.links.data());
  if (world.destination_alive()) {
    add.free({What::source_asks}, [at](Step& step) {
      step.world().links.at(at) = {{}, {}, true, true};
      step.source(SourceEvent::connected);
    });
  }
  add.fault_unless(!world.destination_alive(), {What::stranger_answers}, [at](Step& step) {
    step.world().links.at(at) = {{}, {}, true};
    step.source(SourceEvent::connected);
    step.world().links.at(at).to_source.push(ToSource::status_unknown);
  });
}

void Mover::source_times(const Adder& add) const {
  World world = add.from();
  const bool silent = world.destination_life != Life::lives || !world.destination_alive();
  for (const SourceEvent event : {SourceEvent::overdue, SourceEvent::telling_over}) {
    if (tables_->source.find(world.source, event) == nullptr) continue;
    add.fault_unless(silent, event_label(event), [event](Step& step) {
      if (event == SourceEvent::telling_over) step.world().past.gave_up = true;
      step.source(event);
    });
  }
}

void Mover::source_wishes(const Adder& add) const {
  const World& world = add.from();
  if (tables_->source.find(world.source, SourceEvent::cancel) != nullptr) {
    add.fault(event_label(SourceEvent::cancel),
              [](Step& step) { step.source(SourceEvent::cancel); });
  }
  const bool before_stop =
      world.source == SourceStage::connecting || world.source == SourceStage::copying;
  if (!before_stop || world.past.guest_over) return;
  add.fault(event_label(SourceEvent::guest_ended), [](Step& step) {
    step.world().past.guest_over = true;
    step.world().source_guest = SourceGuest::stopped;
    step.source(SourceEvent::guest_ended);
  });
}

/// Who goes on by the disk alone; and who is to run the VM, and lacks the disk.
void Mover::source_looks_at_disk(const Adder& add) const {
  const World& world = add.from();
  if (world.disk != Disk::free) return;
  if (world.source == SourceStage::in_doubt && world.seen_held && !world.marked) {
    add.free(event_label(SourceEvent::unused_there), [](Step& step) {
      step.world().disk = Disk::source;
      step.source(SourceEvent::unused_there);
    });
  }
  const bool lacks_it = SourceSide::stays(world.source) &&
                        world.source_guest == SourceGuest::stopped && !world.past.guest_over;
  if (lacks_it && !world.past.has_run_there) {
    add.free({What::source_takes_disk}, [](Step& step) { step.run_at_source(); });
  }
}

void Mover::operator_forces_source(const Adder& add) const {
  const World& world = add.from();
  if (tables_->source.find(world.source, SourceEvent::force) == nullptr) return;
  add.fault(event_label(SourceEvent::force), [&](Step& step) {
    if (!destination_is_out(world, bounds_)) step.world().past.false_claim = true;
    if (world.destination_life == Life::frozen && !bounds_.force_at_once) {
      step.world().past.long_freeze = true;
    }
    step.source(SourceEvent::force);
  });
}

}  // namespace migration::handover::model

#include "tests/migration/handover/step.hpp"

#include <algorithm>

namespace migration::handover::model {

namespace {

constexpr const char* kTooMany = "more frames are under way than the model has room for";

template <class Enum>
std::size_t place(Enum value) {
  return static_cast<std::size_t>(value);
}

bool has(const Actions& actions, Action wanted) {
  return std::find(actions.begin(), actions.end(), wanted) != actions.end();
}

}  // namespace

bool is_starting(DestinationStage stage) {
  return stage == DestinationStage::starting || stage == DestinationStage::starting_forced ||
         stage == DestinationStage::lacking_starting;
}

void Step::source(SourceEvent event) {
  if (coverage_ != nullptr) coverage_->source.at(place(world_.source)).set(place(event));
  HandoverState<SourceSide> state(tables_->source, world_.source);
  const auto step = state.advance(event);
  world_.source = state.stage();
  if (!step.allowed && SourceSide::kind(event) == EventKind::frame) out_of_turn();
  if (event == SourceEvent::running || event == SourceEvent::running_lacking) {
    world_.past.told_running = true;
  }
  if (event == SourceEvent::prepared) world_.seen_held = world_.disk == Disk::elsewhere;
  if (event == SourceEvent::unused_there && world_.past.has_run_there) {
    violate("the source takes a VM for unused that has run there");
  }
  for (const Action action : step.actions) act_at_source(action);
}

void Step::destination(DestinationEvent event, Link* link) {
  const bool prepared = world_.destination_guest == DestinationGuest::paused;
  if (coverage_ != nullptr) {
    coverage_->destination.at(place(world_.destination)).set(place(event));
  }
  HandoverState<DestinationSide> state(tables_->destination, world_.destination);
  const auto step = state.advance(event);
  world_.destination = state.stage();
  if (!step.allowed && DestinationSide::kind(event) == EventKind::frame) out_of_turn();
  for (const Action action : step.actions) act_at_destination(action, link);
  const bool over = world_.destination == DestinationStage::over;
  if (has(step.actions, Action::start_guest) && !is_starting(world_.destination)) {
    violate("the destination does not look whether the VM has started");
  }
  if (event == DestinationEvent::decline && world_.destination != DestinationStage::refused &&
      !over) {
    violate("the receiver is stopped, and goes on");
  }
  if (event == DestinationEvent::offer_unfit && world_.destination != DestinationStage::listening) {
    violate("an offer that is refused is the receiver's last");
  }
  if (prepared && (over || world_.destination_guest == DestinationGuest::none)) gives_up(event);
  if (over) end_destination(event);
}

/// A VM that is prepared is kept until the source, or this side's operator, says otherwise.
void Step::gives_up(DestinationEvent event) {
  if (event == DestinationEvent::abort || event == DestinationEvent::decline ||
      event == DestinationEvent::load_failed) {
    return;
  }
  // With a source that hears of it, what cannot be started here runs there.
  if (event == DestinationEvent::start_failed && world_.destination_link() != nullptr) return;
  violate("the destination gives up a VM that it holds prepared");
}

void Step::end_destination(DestinationEvent event) {
  if (world_.destination_guest == DestinationGuest::running) {
    violate("the destination's process ends while its guest runs");
  }
  const bool may_ask =
      world_.source >= SourceStage::committed && world_.source <= SourceStage::serving_asking;
  const bool owes_answer =
      world_.past.has_run_there || may_ask || event == DestinationEvent::start_failed;
  const bool source_knows = !world_.source_alive() || world_.source >= SourceStage::here_telling;
  const bool excused = world_.past.gave_up || world_.past.false_claim;
  if (owes_answer && !source_knows && !excused) violate("the destination ends without an answer");
  world_.destination_guest = DestinationGuest::none;
  kill_destination();
}

/// Both sides are honest, so none of their frames is out of turn.
void Step::out_of_turn() {
  if (!world_.past.doubled && !world_.past.false_claim) violate("a frame came out of turn");
}

void Step::act_at_source(Action action) {
  switch (action) {
    case Action::stop_guest: world_.source_guest = SourceGuest::stopped; break;
    case Action::run_guest: run_at_source(); break;
    case Action::drop_guest:
      if (world_.past.pages_missing && !world_.past.guest_over && !world_.past.false_claim) {
        violate("the source gives up pages that the destination lacks");
      }
      world_.source_guest = SourceGuest::dropped;
      break;
    case Action::send_last_round:
      if (world_.disk == Disk::source) world_.disk = Disk::free;
      send(ToDestination::last_round);
      break;
    case Action::send_commit:
      world_.past.commit_sent = true;
      send(ToDestination::commit);
      break;
    case Action::send_abort: send(ToDestination::abort); break;
    case Action::send_inquire: send(ToDestination::inquire); break;
    case Action::send_released: send(ToDestination::released); break;
    case Action::close_link:
      if (Link* link = world_.source_link()) close_by_source(*link);
      break;
    case Action::warn_two_owners:
      if (!world_.past.false_claim) violate("the source warns of two owners where there are none");
      world_.past.warned = true;
      break;
    default: violate("an action of the other side");
  }
}

void Step::act_at_destination(Action action, Link* link) {
  switch (action) {
    case Action::start_guest:
      if (world_.destination_guest != DestinationGuest::paused) violate("starts what is not there");
      if (world_.past.guest_over) violate("a guest that has ended runs again");
      world_.destination_guest = DestinationGuest::running;
      world_.marked = world_.disk != Disk::none;
      break;
    case Action::drop_guest:
      world_.destination_guest = DestinationGuest::none;
      free_disk();
      break;
    case Action::hand_on:
      world_.destination_guest = DestinationGuest::none;
      world_.past.third_runs = true;
      if (world_.disk == Disk::free) world_.disk = Disk::elsewhere;
      break;
    case Action::send_accept: send(ToSource::accept); break;
    case Action::send_prepared: send(ToSource::prepared); break;
    case Action::send_running:
      send(world_.destination == DestinationStage::fetching ? ToSource::running_lacking
                                                            : ToSource::running);
      break;
    case Action::send_ended: send(ToSource::ended); break;
    case Action::send_refused:
      free_disk();
      send(ToSource::refused);
      break;
    case Action::send_acknowledged: send(ToSource::acknowledged); break;
    case Action::send_status_prepared: send(ToSource::status_prepared); break;
    case Action::send_status_running: send(ToSource::status_running); break;
    case Action::send_status_refused: send(ToSource::status_refused); break;
    case Action::close_link:
      if (Link* open = world_.destination_link()) close_by_destination(*open);
      break;
    case Action::close_earlier: close_earlier(link); break;
    default: violate("an action of the other side");
  }
}

void Step::run_at_source() {
  if (world_.source_guest == SourceGuest::dropped) violate("resumes a VM whose memory is gone");
  // What nobody can know once the time for answering is over.
  const bool unknowable = world_.past.gave_up || world_.past.false_claim;
  if (world_.past.guest_over && !unknowable) violate("a guest that has ended runs again");
  if (source_has_disk()) world_.source_guest = SourceGuest::running;
}

/// It is taken if nobody has it, and nobody has written to it: who has run the VM has.
bool Step::source_has_disk() {
  if (world_.disk == Disk::free && !world_.past.has_run_there) world_.disk = Disk::source;
  return world_.disk == Disk::none || world_.disk == Disk::source;
}

/// By a destination that will not run the VM any more, or that is dead.
void Step::free_disk() {
  if (world_.disk == Disk::elsewhere && !world_.past.third_runs) world_.disk = Disk::free;
}

void Step::send(ToDestination frame) {
  Link* link = world_.source_link();
  if (link == nullptr || !link->destination_open || link->broken) return;
  if (link->to_destination.full()) return violate(kTooMany);
  link->to_destination.push(frame);
}

void Step::send(ToSource frame) {
  Link* link = world_.destination_link();
  if (link == nullptr || !link->source_open || link->broken) return;
  if (link->to_source.full()) return violate(kTooMany);
  link->to_source.push(frame);
}

void Step::close_earlier(const Link* but) {
  for (Link& link : world_.links) {
    if (&link != but && link.accepted && link.destination_open) close_by_destination(link);
  }
}

void Step::destination_started() {
  if (world_.destination_guest == DestinationGuest::running) world_.past.has_run_there = true;
  destination(DestinationEvent::started, world_.destination_link());
}

void Step::destination_cannot_start() {
  world_.destination_guest = DestinationGuest::paused;
  destination(DestinationEvent::start_failed, world_.destination_link());
}

/// What had not been read by then tells the peer by a reset that it never will be.
void Step::close_by_source(Link& link) {
  link.source_open = false;
  if (!link.to_source.empty()) link.broken = true;
  link.to_source = {};
}

void Step::close_by_destination(Link& link) {
  link.destination_open = false;
  if (!link.to_destination.empty()) link.broken = true;
  link.to_destination = {};
}

void Step::kill_source() {
  world_.source_life = Life::dead;
  if (world_.disk == Disk::source) world_.disk = Disk::free;
  for (Link& link : world_.links) {
    if (link.source_open) close_by_source(link);
  }
}

void Step::kill_destination() {
  if (world_.destination_life != Life::hung) world_.destination_life = Life::dead;
  free_disk();
  for (Link& link : world_.links) {
    if (link.destination_open) close_by_destination(link);
  }
}

}  // namespace migration::handover::model

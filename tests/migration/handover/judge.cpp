#include "tests/migration/handover/judge.hpp"

namespace migration::handover::model {

namespace {

bool is_within(SourceStage stage, SourceStage first, SourceStage last) {
  return stage >= first && stage <= last;
}

bool is_within(DestinationStage stage, DestinationStage first, DestinationStage last) {
  return stage >= first && stage <= last;
}

/// What the source says of who owns the VM, against what is.
const char* judge_source_words(const Tables& tables, const World& world) {
  const bool running = world.source_guest == SourceGuest::running;
  const Owner owner = tables.advice(world.source).owner;
  const bool stopped =
      world.source == SourceStage::stopped || world.source == SourceStage::completing;
  // It has told people that it does not, and why.
  const bool lacks_disk = SourceSide::stays(world.source) && !running &&
                          (world.disk == Disk::elsewhere || world.disk == Disk::free);
  if (running != (owner == Owner::here && !stopped) && !world.past.guest_over && !lacks_disk) {
    return "the source says that it runs the VM, and does not; or the other way round";
  }
  if (world.past.false_claim) return nullptr;
  if (owner == Owner::other_side && !world.past.has_run_there) {
    return "the source says that the VM is where it never was";
  }
  if (owner == Owner::nobody) return "the source says that the guest has ended";
  if (owner == Owner::in_doubt && !world.past.commit_sent) {
    return "the source is in doubt of a VM that it never committed";
  }
  if (owner == Owner::in_doubt && world.past.told_running) {
    return "the source forgets that the VM ran there";
  }
  return nullptr;
}

const char* judge_source(const Tables& tables, World world) {
  using enum SourceSide::Stage;
  if (const char* wrong = judge_source_words(tables, world)) return wrong;
  const bool serves = is_within(world.source, serving, serving_asking);
  if (serves && !world.past.post_copy) return "the source serves pages that nobody lacks";
  const bool is_there = is_within(world.source, there_telling, there);
  if (is_there != (world.source_guest == SourceGuest::dropped)) {
    return "the source's memory of the VM is there, or is not, when it should";
  }
  const bool unlinked = world.source == in_doubt || world.source == serving_unlinked ||
                        world.source == here || world.source == there;
  const bool either = world.source == here_telling || world.source == there_telling;
  if (!either && unlinked == (world.source_link() != nullptr)) {
    return "the source has a connection, or has none, when it should";
  }
  const bool cancels = tables.source.find(world.source, SourceEvent::cancel) != nullptr;
  if (cancels != (world.source <= completing)) return "cancel is granted too late, or not in time";
  const bool forces = tables.source.find(world.source, SourceEvent::force) != nullptr;
  if (forces != tables.advice(world.source).force) {
    return "the source's advice of --force is not what it grants";
  }
  return nullptr;
}

const char* judge_destination_guest(const Tables& tables, const World& world) {
  using enum DestinationSide::Stage;
  const DestinationGuest guest = world.destination_guest;
  if (is_starting(world.destination)) return "the destination waits for a start that nobody makes";
  const bool says_ended = tables.advice(world.destination).owner == Owner::nobody;
  if (says_ended != (world.destination == ended) || (says_ended && !world.past.guest_over)) {
    return "the destination says that the guest has ended, or does not, and should";
  }
  switch (tables.advice(world.destination).owner) {
    case Owner::here:
      if (guest != DestinationGuest::running) return "the destination says that it runs the VM";
      break;
    case Owner::in_doubt:
      if (guest != DestinationGuest::paused) return "the destination does not hold the VM prepared";
      break;
    case Owner::nobody:
    case Owner::other_side:
      if (guest != DestinationGuest::none)
        return "the destination has a VM that it does not know of";
      break;
  }
  const bool whole = is_within(world.destination, prepared, prepared_unlinked) ||
                     is_within(world.destination, running, settled);
  if (whole && world.past.pages_missing) return "a VM that lacks pages is taken for complete";
  const bool lacks = is_within(world.destination, lacking, lacking_unlinked) ||
                     is_within(world.destination, fetching, fetching_unlinked);
  if (lacks && !world.past.pages_missing) return "pages are taken for missing that are there";
  return nullptr;
}

const char* judge_destination_wishes(const Tables& tables, const World& world) {
  using enum DestinationSide::Stage;
  const auto grants = [&](DestinationEvent event) {
    return tables.destination.find(world.destination, event) != nullptr;
  };
  if (grants(DestinationEvent::force) != tables.advice(world.destination).force) {
    return "the destination's advice of --force is not what it grants";
  }
  if (grants(DestinationEvent::pass_on) != (world.destination == settled)) {
    return "the VM may be passed on when it should not, or may not when it should";
  }
  if (grants(DestinationEvent::decline) != (world.destination <= lacking_unlinked)) {
    return "the receiver can be stopped when it should not, or cannot when it should";
  }
  return nullptr;
}

const char* judge_destination(const Tables& tables, World world) {
  using enum DestinationSide::Stage;
  if (const char* wrong = judge_destination_guest(tables, world)) return wrong;
  const bool source_knows = !world.source_alive() ||
                            is_within(world.source, SourceStage::there_telling, SourceStage::there);
  if (world.destination == settled && !source_knows && !world.past.false_claim) {
    return "the destination takes for acknowledged what the source does not know";
  }
  const bool linked = world.destination == receiving || world.destination == prepared ||
                      world.destination == lacking || world.destination == fetching;
  const bool unlinked = world.destination == listening || world.destination == prepared_unlinked ||
                        world.destination == lacking_unlinked ||
                        world.destination == fetching_unlinked;
  if ((linked || unlinked) && linked != (world.destination_link() != nullptr)) {
    return "the destination has a connection, or has none, when it should";
  }
  return judge_destination_wishes(tables, world);
}

}  // namespace

const char* judge_owners(const World& world) {
  if (world.past.false_claim) return nullptr;
  if (world.owners() > 1) return "two owners";
  const bool again = world.past.guest_over && world.owners() > 0 && !world.past.gave_up;
  return again ? "a guest that has ended runs again" : nullptr;
}

/// Whatever people claim: where there is a disk, its lock and its mark stand against that.
const char* judge_disk(const World& world) {
  if (world.disk == Disk::none) return nullptr;
  if (world.owners() > 1) return "two owners of one disk";
  const bool here = world.source_alive() && world.source_guest == SourceGuest::running;
  if (here && world.past.has_run_there) return "the source's memory is older than the disk";
  return nullptr;
}

const char* judge(const Tables& tables, const World& world) {
  if (const char* wrong = judge_owners(world)) return wrong;
  if (const char* wrong = judge_disk(world)) return wrong;
  const bool nobody = world.source_guest == SourceGuest::dropped &&
                      world.destination_guest == DestinationGuest::none && !world.past.third_runs &&
                      !world.past.guest_over;
  if (nobody && !world.past.false_claim && world.source_alive() && world.destination_alive()) {
    return "both sides live, and nobody has the VM any more";
  }
  const char* wrong = world.source_alive() ? judge_source(tables, world) : nullptr;
  if (wrong != nullptr || !world.destination_alive()) return wrong;
  return judge_destination(tables, world);
}

bool is_settled(const World& world) {
  if (world.past.gave_up) return true;
  // A disk keeps the one that was forced from running.
  const bool kept_back =
      world.disk != Disk::none && world.past.has_run_there && SourceSide::stays(world.source);
  if (world.past.false_claim && (world.owners() > 1 || kept_back)) return world.past.warned;
  if (world.source != SourceStage::here && world.source != SourceStage::there) return false;
  return !world.destination_alive() || world.destination == DestinationStage::listening ||
         world.destination == DestinationStage::settled;
}

bool has_succeeded(const World& world) {
  return world.source == SourceStage::there && world.destination == DestinationStage::settled &&
         world.destination_guest == DestinationGuest::running;
}

}  // namespace migration::handover::model

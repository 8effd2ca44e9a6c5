#include "tests/migration/handover/world.hpp"

namespace migration::handover::model {

namespace {

template <class Enum>
std::uint64_t bits(Enum value, int shift) {
  return static_cast<std::uint64_t>(value) << shift;
}

std::uint64_t packed(const Link& link) {
  return bits(link.to_destination.bits, 0) | bits(link.to_source.bits, 32);
}

std::uint64_t ends(const Link& link) {
  return bits(link.source_open, 0) | bits(link.destination_open, 1) | bits(link.accepted, 2) |
         bits(link.broken, 3);
}

}  // namespace

std::array<std::uint64_t, 4> World::words() const {
  const std::uint64_t flags =
      bits(past.post_copy, 0) | bits(past.pages_missing, 1) | bits(past.has_run_there, 2) |
      bits(past.told_running, 3) | bits(past.third_runs, 4) | bits(past.guest_over, 5) |
      bits(past.long_freeze, 6) | bits(past.false_claim, 7) | bits(past.doubled, 8) |
      bits(past.gave_up, 9) | bits(past.warned, 10) | bits(past.commit_sent, 11);
  return {bits(source, 0) | bits(destination, 8) | bits(source_life, 16) |
              bits(destination_life, 20) | bits(source_guest, 24) | bits(destination_guest, 28) |
              bits(faults_left, 32) | bits(flags, 36) | ends(links[0]) << 48 |
              ends(links[1]) << 52 | ends(links[2]) << 56 | bits(disk, 60) | bits(marked, 62) |
              bits(seen_held, 63),
          packed(links[0]), packed(links[1]), packed(links[2])};
}

std::size_t World::hash() const {
  std::uint64_t sum = 0;
  for (const std::uint64_t word : words()) {
    sum = (sum ^ word) * 0x9e3779b97f4a7c15;
    sum ^= sum >> 29;
  }
  return static_cast<std::size_t>(sum);
}

int World::owners() const {
  const bool here = source_alive() && source_guest == SourceGuest::running;
  const bool there = destination_alive() && destination_guest == DestinationGuest::running;
  return int{here} + int{there} + int{past.third_runs};
}

Link* World::source_link() {
  const auto found =
      std::find_if(links.rbegin(), links.rend(), [](const Link& link) { return link.source_open; });
  return found == links.rend() ? nullptr : &*found;
}

Link* World::destination_link() {
  const auto found = std::find_if(links.rbegin(), links.rend(), [](const Link& link) {
    return link.destination_open && link.accepted;
  });
  return found == links.rend() ? nullptr : &*found;
}

void World::forget_links() {
  const auto end =
      std::remove_if(links.begin(), links.end(), [](const Link& link) { return link.gone(); });
  std::fill(end, links.end(), Link{});
}

}  // namespace migration::handover::model

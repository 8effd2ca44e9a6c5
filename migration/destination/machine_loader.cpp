#include "migration/destination/machine_loader.hpp"

#include <chrono>

#include "migration/base/elapsed.hpp"

namespace migration::destination {

RamVerifier& MachineLoader::verifier() {
  if (!verifier_) verifier_.emplace(machine_.memory());
  return *verifier_;
}

void MachineLoader::check(const wire::Digests& digests) { verifier().check(digests); }

std::optional<std::string> MachineLoader::compare_ram(const vmm::PageSet* missing) {
  return verifier().finish(missing);
}

std::optional<std::string> MachineLoader::load() {
  first_.emplace();
  const auto start = std::chrono::steady_clock::now();
  machine_.load(*state_, writes_);
  restore_ms_ = ms_since(start);
  if (!verify_) return std::nullopt;
  return vmm::first_difference(*state_, machine_.save());
}

}  // namespace migration::destination

#include "vmm/machine/state_sections.hpp"

#include <fmt/format.h>

#include <stdexcept>

namespace vmm {

SectionReader::SectionReader(const MachineState& state)
    : state_(state), taken_(state.sections.size()) {}

const StateSection& SectionReader::take(std::string_view id) {
  const bool in_order = next_ < state_.sections.size() && state_.sections[next_].id == id;
  const StateSection* section = in_order ? &state_.sections[next_] : state_.find(id);
  if (section == nullptr) {
    throw std::invalid_argument(fmt::format("the machine state lacks section {}", id));
  }
  const auto at = static_cast<std::size_t>(section - state_.sections.data());
  taken_[at] = true;
  next_ = at + 1;
  return *section;
}

std::span<const std::byte> SectionReader::take_bytes(std::string_view id, std::size_t size) {
  const StateSection& section = take(id);
  if (section.version != 1 || (size != 0 && section.data.size() != size)) {
    throw std::invalid_argument(
        fmt::format("section {} of the machine state has version {} and {} bytes, not 1 and {}", id,
                    section.version, section.data.size(), size));
  }
  return section.data;
}

void SectionReader::finish() const {
  for (std::size_t i = 0; i < taken_.size(); ++i) {
    if (!taken_[i]) {
      throw std::invalid_argument(
          fmt::format("the machine state has an unknown section {}", state_.sections[i].id));
    }
  }
}

}  // namespace vmm

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/machine/machine_state.hpp"

namespace vmm {

/// Adds a kernel structure as a section.
template <typename Struct>
void add_section(MachineState& state, std::string id, const Struct& value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  state.sections.push_back({std::move(id), 1, {bytes.begin(), bytes.end()}});
}

/// Takes sections out of a state that came from a peer. Whatever is missing, of another size or
/// version, or left over is std::invalid_argument that names it.
class SectionReader {
 public:
  explicit SectionReader(const MachineState& state);

  [[nodiscard]] bool has(std::string_view id) const { return state_.find(id) != nullptr; }
  [[nodiscard]] const StateSection& take(std::string_view id);
  /// Also checks the version, and the size unless `size` is 0.
  [[nodiscard]] std::span<const std::byte> take_bytes(std::string_view id, std::size_t size);
  template <typename Struct>
  [[nodiscard]] Struct take_struct(std::string_view id) {
    Struct value{};
    std::memcpy(&value, take_bytes(id, sizeof(value)).data(), sizeof(value));
    return value;
  }
  /// Every section must have been taken.
  void finish() const;

 private:
  const MachineState& state_;
  std::vector<bool> taken_;
  std::size_t next_ = 0;  ///< behind the one that was taken last
};

}  // namespace vmm

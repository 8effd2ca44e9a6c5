#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace migration::wire {

/// What a peer may do without: a migration uses what both sides know. docs/protocol.md, "Versions
/// and features".
enum class Feature : std::uint32_t {
  lz4 = 1,         ///< `pages_lz4` frames, and pages as LZ4 blocks in answers
  report = 2,      ///< the `report` frame
  delta = 4,       ///< `pages_delta` frames
  duplicates = 8,  ///< `pages_same` and `pages_alike` frames
  zstd = 16,       ///< `pages_zstd` frames
  local = 32,      ///< RAM comes as a descriptor, with `offer`
  marks = 64,      ///< the disk's mark names who has run the VM, and both sides have one kernel
};

class Features {
 public:
  static constexpr std::array<std::pair<Feature, std::string_view>, 7> kNames = {
      {{Feature::lz4, "lz4"},
       {Feature::report, "report"},
       {Feature::delta, "delta"},
       {Feature::duplicates, "duplicates"},
       {Feature::zstd, "zstd"},
       {Feature::local, "local"},
       {Feature::marks, "marks"}}};
  /// Names in one list, and bytes of one, that a peer may send. Those of features that are not
  /// known here are passed over.
  static constexpr std::size_t kMaxNames = 64;
  static constexpr std::size_t kMaxNameBytes = 32;

  /// All that this program knows.
  [[nodiscard]] static constexpr Features all() {
    Features features;
    for (const auto& [feature, name] : kNames) features.add(feature);
    return features;
  }
  constexpr void add(Feature feature) { bits_ |= static_cast<std::uint32_t>(feature); }
  constexpr void remove(Feature feature) { bits_ &= ~static_cast<std::uint32_t>(feature); }
  /// One by its name, if it is known.
  constexpr void add(std::string_view name) {
    for (const auto& [feature, known] : kNames) {
      if (known == name) add(feature);
    }
  }
  [[nodiscard]] constexpr bool has(Feature feature) const {
    return (bits_ & static_cast<std::uint32_t>(feature)) != 0;
  }
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& [feature, name] : kNames) {
      if (has(feature)) names.emplace_back(name);
    }
    return names;
  }
  /// What both have.
  [[nodiscard]] friend constexpr Features operator&(Features a, Features b) {
    Features both;
    both.bits_ = a.bits_ & b.bits_;
    return both;
  }
  friend bool operator==(const Features&, const Features&) = default;

 private:
  std::uint32_t bits_ = 0;
};

}  // namespace migration::wire

#pragma once

#include <vector>

#include "placement/fleet.hpp"

namespace placement {

/// Says where each VM of a fleet should be, and not how it gets there. What moves fits there beside
/// all that is to be there (Loads), but for PowerAware as published; a VM for which there is no
/// better place stays where it is, as does one that is pinned. Equal fleets have equal answers.
class Policy {
 public:
  virtual ~Policy() = default;
  [[nodiscard]] virtual std::vector<HostIndex> place(const Fleet& fleet) const = 0;
};

/// Where all of them are.
[[nodiscard]] std::vector<HostIndex> places_of(const Fleet& fleet);

}  // namespace placement

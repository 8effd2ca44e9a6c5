#pragma once

#include <cstdint>
#include <string>

namespace migration::forecast {

/// What a migration takes, E = a V + b, of both hosts and with V bytes on the wire (Liu et al.
/// 2011, "Performance and energy modeling for live migration of virtual machines").
struct Energy {
  // The paper's own fit: 0.512 J a megabyte and 20.165 J, of two hosts of its time.
  double joules_per_byte = 0.512e-6;
  double joules = 20.165;
  std::string source = "Liu et al. 2011, measured on their hosts";

  [[nodiscard]] double of(std::uint64_t wire_bytes) const {
    return joules_per_byte * static_cast<double>(wire_bytes) + joules;
  }
};

}  // namespace migration::forecast

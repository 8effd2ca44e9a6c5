#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "migration/base/options.hpp"
#include "migration/model/profile.hpp"
#include "migration/policy/pre_copy_driver.hpp"
#include "migration/policy/round_pages.hpp"
#include "vmm/memory/guest_address.hpp"
#include "vmm/memory/page_set.hpp"

/// What a migration would do, in virtual time: a guest and a link that are made up, and the driver
/// and the policies of the live migration. Equal scenarios have equal outcomes.
namespace migration::model {

/// Which pages a guest writes, and when.
struct WritePattern {
  enum class Where {
    uniform,   ///< any page of the region, all alike
    hot_cold,  ///< most often a page of a hot part at its start
    sweep,     ///< one page after the other, and again from the start
    zipf,      ///< its n-th page with a probability that falls as 1 / n^exponent
  };
  Where where = Where::uniform;
  vmm::PageRange region;     ///< not empty
  double per_second = 0;     ///< writes, while the guest is busy and not slowed
  double hot_share = 0.05;   ///< of the region, with hot_cold
  double hot_writes = 0.9;   ///< share of the writes that go there
  double exponent = 1;       ///< with zipf
  double busy_seconds = 1;   ///< it writes for so long,
  double quiet_seconds = 0;  ///< then rests for so long, and so on
};

struct GuestShape {
  std::uint64_t pages = 0;   ///< of RAM
  double used = 1;           ///< share of RAM that was ever touched, in stretches of 64 pages
  double zero = 0;           ///< share of these pages that are zero until they are written
  double page_bytes = 4096;  ///< that a page which is not zero takes on the wire
  double state_bytes = 16384;
  WritePattern writes;
};

struct Link {
  double bytes_per_second = 125e6;
  double latency_seconds = 0;  ///< one way
  std::uint64_t cap = 0;       ///< bytes per second that are asked for; 0: no cap
};

/// What the two hosts take for their part.
struct Hosts {
  double begin_seconds = 0;       ///< until the first page leaves, besides the link's part
  double round_seconds = 0;       ///< a round more, besides the link's part
  double page_seconds = 0.4e-6;   ///< to take a page up, and see whether it is zero
  double data_seconds = 0;        ///< more, for one that is not zero: to compress and write it
  double delta_seconds = 0;       ///< instead, for one that goes as its difference
  double look_seconds = 0.2e-3;   ///< to read the dirty log
  double pause_seconds = 0.2e-3;  ///< until no vCPU writes any more
  double save_seconds = 0.5e-3;
  double restore_seconds = 1e-3;  ///< and to resume
  double switch_seconds = 0;      ///< to prepare for post-copy, while the guest still runs
  double fault_seconds = 60e-6;   ///< that a guest waits for a page, besides the link's part
};

/// Of pages that are sent again.
struct Deltas {
  std::uint64_t bases = 0;   ///< pages that the source may keep as bases
  double page_bytes = 4096;  ///< that the difference of a page takes on the wire
};

struct Scenario {
  GuestShape guest;
  /// In place of all of that but its state: a guest that was sampled.
  std::shared_ptr<const Profile> profile;
  Link link;
  Hosts hosts;
  Deltas deltas;
  PreCopyDriver::Settings settings;  ///< but for its state_bytes, which are the guest's
  Prepaging prepaging = Prepaging::bubbling;
  /// Pages that differ from the image that the destination has kept, if it has.
  std::optional<vmm::PageSet> changed;
  std::uint64_t chunk = RoundPages::kChunkPages;
  std::uint64_t seed = 1;
};

}  // namespace migration::model

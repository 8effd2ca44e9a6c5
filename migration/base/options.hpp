#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "migration/base/address.hpp"
#include "migration/base/token.hpp"
#include "vmm/memory/page_set.hpp"

namespace migration {

class ImageStore;

enum class Mode { pre_copy, stop_and_copy, post_copy, hybrid, local, automatic };
enum class Compression { automatic, lz4, zstd, none };
/// In which order post-copy pushes pages: around what the guest faults on, from the lowest page up,
/// or only what it faults on.
enum class Prepaging { bubbling, linear, none };

/// When pre-copy stops the guest: as soon as the rest fits the downtime, or, where it then writes
/// more than it does at times, at such a time.
enum class StopPolicy { first_fit, density };

/// How the destination's image of an earlier stay of the VM is used: what has not changed since by
/// the source's record, or what has equal content.
enum class Reuse { automatic, generation, content, off };

/// "pre-copy", "stop-and-copy", "post-copy", "hybrid", "local", "auto" / "auto", "lz4", "zstd",
/// "none" / "bubbling", "linear", "none" / "first-fit", "density" / "auto", "generation",
/// "content", "off": as on the command line and in the report.
[[nodiscard]] std::string_view to_string(Mode mode);
[[nodiscard]] std::string_view to_string(Compression compression);
[[nodiscard]] std::string_view to_string(Prepaging prepaging);
[[nodiscard]] std::string_view to_string(StopPolicy policy);
[[nodiscard]] std::string_view to_string(Reuse reuse);
[[nodiscard]] std::optional<Mode> mode_from(std::string_view name);
[[nodiscard]] std::optional<Compression> compression_from(std::string_view name);
[[nodiscard]] std::optional<Prepaging> prepaging_from(std::string_view name);
[[nodiscard]] std::optional<StopPolicy> stop_policy_from(std::string_view name);
[[nodiscard]] std::optional<Reuse> reuse_from(std::string_view name);

inline constexpr unsigned kMaxChannels = 16;

/// What `ferry migrate` asks for.
struct MigrateOptions {
  Address to;
  Mode mode = Mode::automatic;
  std::chrono::microseconds max_downtime{50'000};
  unsigned max_rounds = 0;  ///< 0: as many as suit the mode
  StopPolicy stop_policy = StopPolicy::first_fit;
  std::uint64_t max_bandwidth = 0;  ///< bytes per second on the sockets; 0 is no cap
  Compression compression = Compression::automatic;
  /// 1 to kMaxChannels connections that carry pages; none: as many as are worth it.
  std::optional<unsigned> channels = std::nullopt;
  Prepaging prepaging = Prepaging::bubbling;
  /// Bytes that the source may keep of what it sends again, for deltas; 0: it sends none.
  std::optional<std::uint64_t> delta_cache = std::nullopt;
  /// Bytes that the source's process may still take, as far as is known: a cache whose size it
  /// chooses itself is a small part of that.
  std::optional<std::uint64_t> memory_room = std::nullopt;
  bool hot_last = true;  ///< the first round holds back what the guest writes again and again
  bool throttle = false;
  bool verify = false;
  Reuse reuse = Reuse::automatic;
  bool keep_image = false;
  /// The handover by which the VM came here, if the dirty log has run since.
  struct TrackedSince {
    Token token{};
    vmm::PageSet changed;  ///< may have been changed since, besides what is in the log
  };
  std::optional<TrackedSince> tracked_since = std::nullopt;
  /// Where the image is kept after the handover; set when `keep_image` is.
  std::shared_ptr<ImageStore> keep_in = nullptr;
  std::chrono::milliseconds timeout{10'000};  ///< a peer that makes no progress so long is lost
};

/// What `ferry set` may change while a migration runs.
struct MigrateSettings {
  std::optional<std::uint64_t> max_bandwidth;
  std::optional<std::chrono::microseconds> max_downtime;
  std::optional<Address> to;  ///< where to look for the peer when the link is lost
  std::optional<Prepaging> prepaging;
};

}  // namespace migration

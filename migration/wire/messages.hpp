#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "migration/base/options.hpp"
#include "migration/base/page_hash.hpp"
#include "migration/base/report.hpp"
#include "migration/base/token.hpp"
#include "migration/wire/encode.hpp"
#include "migration/wire/features.hpp"
#include "migration/wire/format.hpp"

/// The messages of the handshake and the handover. They are JSON, so that a field can be added
/// without a new version; each decoder checks type and bounds of all it takes.
namespace migration::wire {

/// Source to destination, first.
struct Offer {
  Token token{};       ///< random, of this one handover
  std::string config;  ///< the machine's configuration, JSON
  std::uint32_t channels = 1;
  std::string mode;
  bool verify = false;
  bool paused = false;           ///< the VM was paused at the source, and shall arrive so
  std::uint64_t used_bytes = 0;  ///< resident at the source, RAM above all
  bool keep = false;             ///< the source keeps the image for the VM's return
  HashKey image_key{};           ///< of the hashes of that image
  /// Of the handover since which it knows exactly what has changed.
  std::optional<Token> image_token = std::nullopt;
  Reuse reuse = Reuse::automatic;
  Features features = Features::all();        ///< that the source knows
  std::chrono::milliseconds timeout{10'000};  ///< after which it gives up a link that is silent
};

/// Destination to source.
struct Accept {
  std::string incarnation;   ///< nonce of this receiver process
  std::string no_post_copy;  ///< why it cannot take pages after the handover; empty when it can
  std::uint64_t image_pages = 0;  ///< that it holds of an earlier stay; 0: the rest means nothing
  Reuse image_by = Reuse::off;    ///< generation (`held` follows) or content (`hashes`)
  HashKey image_key{};            ///< of the hashes
  std::string no_local = {};      ///< of an offer with RAM: why it is not taken; empty when it is
  Features features = Features::all();        ///< of those offered, what the destination knows
  std::chrono::milliseconds timeout{10'000};  ///< the destination's
};
/// Either way: why the VM will not run at the destination.
struct Reason {
  std::string reason;
};
struct Prepared {
  std::string incarnation;
  double restore_ms = 0;
  bool verified = false;
};
/// On Commit, now and then while pages are missing, and last when none is missing any more.
struct Running {
  std::string incarnation;
  double cpu_seconds = 0;
  std::uint64_t peak_rss = 0;
  std::uint64_t missing = 0;  ///< pages that still have to come
  std::uint32_t round = 0;    ///< the one in which they are awaited
  MigrationReport::Faults faults;
};
struct Inquire {
  Token token{};
  std::string incarnation;
  bool keeper = false;  ///< the source keeps the image, and asks for what changes
};
enum class VmStatus { unknown, prepared, running, refused };
struct Status {
  std::string incarnation;
  VmStatus status = VmStatus::unknown;
};

[[nodiscard]] Bytes encode(const Offer& message);
/// Without its rounds if there are too many of them.
[[nodiscard]] Bytes encode(const MigrationReport& message);
[[nodiscard]] Bytes encode(const Accept& message);
[[nodiscard]] Bytes encode(const Reason& message);
[[nodiscard]] Bytes encode(const Prepared& message);
[[nodiscard]] Bytes encode(const Running& message);
[[nodiscard]] Bytes encode(const Inquire& message);
[[nodiscard]] Bytes encode(const Status& message);

/// decode<Offer>(payload): throws ProtocolError, naming the field.
template <typename Message>
[[nodiscard]] Message decode(std::span<const std::byte> payload);
template <>
Offer decode(std::span<const std::byte> payload);
template <>
MigrationReport decode(std::span<const std::byte> payload);
template <>
Accept decode(std::span<const std::byte> payload);
template <>
Reason decode(std::span<const std::byte> payload);
template <>
Prepared decode(std::span<const std::byte> payload);
template <>
Running decode(std::span<const std::byte> payload);
template <>
Inquire decode(std::span<const std::byte> payload);
template <>
Status decode(std::span<const std::byte> payload);

}  // namespace migration::wire

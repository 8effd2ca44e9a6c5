#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace ferry {

// Quantities as people write them. The parsers throw std::invalid_argument that says what is wrong
// and shows what is right. A number that could be of several units is refused without its unit.

/// A byte per second at least, and this at most.
inline constexpr double kMaxBandwidth = 1e15;
inline constexpr std::chrono::hours kMaxDuration{24};

/// "256M", "4G", "64MiB", "512mb": bytes. K, M, G and T are powers of 1024, in every spelling. A
/// number without a unit is bytes, of which it has to be 1 MiB or more, or 0.
[[nodiscard]] std::uint64_t parse_size(std::string_view text);
/// "50ms", "200us", "1.5s", "1m" or "1min", "1h".
[[nodiscard]] std::chrono::microseconds parse_duration(std::string_view text);
/// "1Gbit", "1gbps", "800Mbit/s", "125MB", "125MB/s", "0": bytes per second. Prefixes are powers of
/// 1000, as links are sold (with an i, as in MiB, of 1024); "0" and "unlimited" are no cap.
[[nodiscard]] std::uint64_t parse_bandwidth(std::string_view text);

/// "717.0 MiB", "12 B".
[[nodiscard]] std::string format_bytes(std::uint64_t bytes);
/// "0.85 ms", "1.234 s".
[[nodiscard]] std::string format_milliseconds(double milliseconds);
/// "1,234,567".
[[nodiscard]] std::string format_count(std::uint64_t count);

}  // namespace ferry

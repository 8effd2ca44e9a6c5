#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace ferry {

// Quantities as people write them. The parsers throw std::invalid_argument that says what is wrong
// and shows what is right.

/// "256M", "4G", "64MiB", "1048576": bytes. K, M, G and T are powers of 1024.
[[nodiscard]] std::uint64_t parse_size(std::string_view text);
/// "50ms", "200us", "1.5s", "30": a number without a unit is milliseconds.
[[nodiscard]] std::chrono::microseconds parse_duration(std::string_view text);
/// "1Gbit", "800Mbit", "125MB", "0": bytes per second. bit and B in powers of 1000, as links are
/// sold; "0" and "unlimited" are no cap.
[[nodiscard]] std::uint64_t parse_bandwidth(std::string_view text);

/// "717.0 MiB", "12 B".
[[nodiscard]] std::string format_bytes(std::uint64_t bytes);
/// "0.85 ms", "1.234 s".
[[nodiscard]] std::string format_milliseconds(double milliseconds);
/// "1,234,567".
[[nodiscard]] std::string format_count(std::uint64_t count);

}  // namespace ferry

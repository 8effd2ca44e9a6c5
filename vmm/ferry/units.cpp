#include "vmm/ferry/units.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <span>
#include <stdexcept>

namespace ferry {

namespace {

struct Unit {
  std::string_view name;
  double factor;
};

constexpr double kKi = 1024;
constexpr std::array kSizes = {
    Unit{"", 1},
    Unit{"B", 1},
    Unit{"K", kKi},
    Unit{"KiB", kKi},
    Unit{"M", kKi* kKi},
    Unit{"MiB", kKi* kKi},
    Unit{"G", kKi* kKi* kKi},
    Unit{"GiB", kKi* kKi* kKi},
    Unit{"T", kKi* kKi* kKi* kKi},
    Unit{"TiB", kKi* kKi* kKi* kKi},
};
constexpr std::array kDurations = {Unit{"", 1e3}, Unit{"us", 1}, Unit{"ms", 1e3}, Unit{"s", 1e6}};
constexpr std::array kBandwidths = {
    Unit{"bit", 1.0 / 8}, Unit{"Kbit", 1e3 / 8}, Unit{"Mbit", 1e6 / 8}, Unit{"Gbit", 1e9 / 8},
    Unit{"B", 1},         Unit{"KB", 1e3},       Unit{"MB", 1e6},       Unit{"GB", 1e9},
};

/// The product is rounded to a whole number below `limit`.
std::uint64_t parse(std::string_view text, std::span<const Unit> units, std::string_view what,
                    std::string_view example, double limit) {
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  const std::string_view suffix(end, static_cast<std::size_t>(text.data() + text.size() - end));
  const auto unit = std::ranges::find(units, suffix, &Unit::name);
  if (error != std::errc{} || !std::isfinite(number) || number < 0 || unit == units.end()) {
    throw std::invalid_argument(
        fmt::format("'{}' is not a {}: write it like {}", text, what, example));
  }
  const double value = std::round(number * unit->factor);
  if (value >= limit) throw std::invalid_argument(fmt::format("'{}' is too large", text));
  return static_cast<std::uint64_t>(value);
}

}  // namespace

std::uint64_t parse_size(std::string_view text) {
  return parse(text, kSizes, "size", "512M or 4G", 0x1p62);
}

std::chrono::microseconds parse_duration(std::string_view text) {
  constexpr double kDay = 86'400e6;
  return std::chrono::microseconds(
      parse(text, kDurations, "duration", "50ms, 200us or 1.5s", kDay));
}

std::uint64_t parse_bandwidth(std::string_view text) {
  if (text == "0" || text == "unlimited") return 0;
  const std::uint64_t rate = parse(text, kBandwidths, "bandwidth", "1Gbit or 125MB", 0x1p50);
  if (rate == 0) {
    throw std::invalid_argument(
        fmt::format("'{}' is less than a byte per second; 'unlimited' is no cap", text));
  }
  return rate;
}

std::string format_bytes(std::uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  auto value = static_cast<double>(bytes);
  for (const char* unit : {"KiB", "MiB", "GiB"}) {
    value /= 1024;
    if (value < 1024) return fmt::format("{:.1f} {}", value, unit);
  }
  return fmt::format("{:.1f} TiB", value / 1024);
}

std::string format_milliseconds(double milliseconds) {
  if (milliseconds < 1000) return fmt::format("{:.2f} ms", milliseconds);
  return fmt::format("{:.3f} s", milliseconds / 1000);
}

std::string format_count(std::uint64_t count) {
  const std::string digits = std::to_string(count);
  std::string text;
  for (std::size_t index = 0; index < digits.size(); ++index) {
    if (index > 0 && (digits.size() - index) % 3 == 0) text += ',';
    text += digits[index];
  }
  return text;
}

}  // namespace ferry

#include "ferry/units.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <stdexcept>

namespace ferry {

namespace {

constexpr double kKi = 1024;
constexpr double kK = 1000;
constexpr double kMi = kKi * kKi;
constexpr double kMaxSize = 0x1p62;

/// A number and what is written behind it.
struct Quantity {
  double number;
  std::string_view unit;
};

[[noreturn]] void refuse_quantity(std::string_view text, std::string_view why) {
  throw std::invalid_argument(fmt::format("'{}' {}", text, why));
}

std::optional<Quantity> quantity_of(std::string_view text) {
  double number = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number, std::chars_format::fixed);
  if (error != std::errc{} || !std::isfinite(number) || number < 0) return std::nullopt;
  return Quantity{number, {end, static_cast<std::size_t>(last - end)}};
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& letter : lower) {
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  }
  return lower;
}

/// The power of `base` that the prefix at the front of `unit` stands for. Takes it off.
double take_prefix(std::string_view& unit, double base) {
  constexpr std::string_view kPrefixes = "kmgt";
  if (unit.empty()) return 1;
  const auto power = kPrefixes.find(lower_case(unit.substr(0, 1)));
  if (power == std::string_view::npos) return 1;
  unit.remove_prefix(1);
  return std::pow(base, static_cast<double>(power + 1));
}

/// Bytes in a "bit", "bps", "B" and so on, per second.
std::optional<double> bandwidth_unit(std::string_view unit) {
  if (unit == "B" || unit == "B/s" || unit == "Bps") return 1;
  const std::string lower = lower_case(unit);
  const bool bits = lower == "bit" || lower == "bits" || lower == "bit/s" || lower == "bits/s";
  // A B is a byte and a b a bit, unless there is no telling which was meant.
  if (bits || unit == "bps" || unit == "b/s") return 1.0 / 8;
  return std::nullopt;
}

/// `value`, unless it is more than may be.
double checked(std::string_view text, double value, double limit, std::string_view most) {
  if (value > limit) refuse_quantity(text, fmt::format("is too large: {} at most", most));
  return value;
}

}  // namespace

std::uint64_t parse_size(std::string_view text) {
  constexpr std::string_view kWrong = "is not a size: write it like 512M or 4G";
  const auto quantity = quantity_of(text);
  if (!quantity) refuse_quantity(text, kWrong);
  const std::string lower = lower_case(quantity->unit);
  std::string_view unit = lower;
  const double factor = take_prefix(unit, kKi);
  const bool prefixed = unit.size() < lower.size();
  const bool known = unit.empty() || unit == "b" || (prefixed && (unit == "i" || unit == "ib"));
  if (!known) refuse_quantity(text, kWrong);
  if (lower.empty() && quantity->number > 0 && quantity->number < kMi) {
    refuse_quantity(
        text, fmt::format("is a size without a unit: did you mean {0}M? (bytes are {0}B)", text));
  }
  return static_cast<std::uint64_t>(
      std::round(checked(text, quantity->number * factor, kMaxSize, "4194304T")));
}

std::chrono::microseconds parse_duration(std::string_view text) {
  struct Unit {
    std::string_view name;
    double microseconds;
  };
  constexpr std::array kUnits = {Unit{"us", 1},   Unit{"ms", 1e3},   Unit{"s", 1e6},
                                 Unit{"m", 60e6}, Unit{"min", 60e6}, Unit{"h", 3600e6}};
  constexpr std::string_view kWrong = "is not a time: write it like 50ms, 1.5s or 2m";
  const auto quantity = quantity_of(text);
  if (!quantity) refuse_quantity(text, kWrong);
  if (quantity->unit.empty()) {
    if (quantity->number == 0) return std::chrono::microseconds(0);
    refuse_quantity(text,
                    fmt::format("is a time without a unit: did you mean {0}ms or {0}s?", text));
  }
  const auto unit = std::ranges::find(kUnits, lower_case(quantity->unit), &Unit::name);
  if (unit == kUnits.end()) refuse_quantity(text, kWrong);
  constexpr auto kLimit = static_cast<double>(std::chrono::microseconds(kMaxDuration).count());
  return std::chrono::microseconds(static_cast<std::int64_t>(
      std::round(checked(text, quantity->number * unit->microseconds, kLimit, "24h"))));
}

std::uint64_t parse_bandwidth(std::string_view text) {
  if (text == "0" || text == "unlimited") return 0;
  constexpr std::string_view kWrong = "is not a bandwidth: write it like 1Gbit or 125MB";
  const auto quantity = quantity_of(text);
  if (!quantity) refuse_quantity(text, kWrong);
  std::string_view unit = quantity->unit;
  const double thousands = take_prefix(unit, kK);
  const std::string_view prefix = quantity->unit.substr(0, quantity->unit.size() - unit.size());
  double factor = thousands;
  if (!prefix.empty() && unit.starts_with('i')) {
    unit.remove_prefix(1);
    std::string_view again = prefix;
    factor = take_prefix(again, kKi);
  }
  const auto bytes = bandwidth_unit(unit);
  if (!bytes && (unit.empty() || lower_case(unit).starts_with('b'))) {
    const std::string number(text.substr(0, text.size() - quantity->unit.size()));
    const std::string scale = prefix.empty() ? "M" : std::string(prefix);
    refuse_quantity(text,
                    fmt::format("does not tell bits from bytes: did you mean {0}{1}bit or {0}{1}B?",
                                number, scale));
  }
  if (!bytes) refuse_quantity(text, kWrong);
  const double rate = quantity->number * factor * *bytes;
  if (rate < 1) refuse_quantity(text, "is less than a byte per second; 'unlimited' is no cap");
  return static_cast<std::uint64_t>(std::round(checked(text, rate, kMaxBandwidth, "1000TB")));
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

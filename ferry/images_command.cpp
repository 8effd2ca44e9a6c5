#include "ferry/images_command.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>

#include "ferry/client_output.hpp"
#include "ferry/exit_status.hpp"
#include "ferry/say.hpp"
#include "ferry/store_of_process.hpp"
#include "ferry/units.hpp"
#include "migration/base/token.hpp"
#include "vmm/text/json_text.hpp"

namespace ferry {

using migration::ImageStore;
using nlohmann::json;

namespace {

/// A clock that was set back makes no age negative.
std::int64_t age_seconds(const ImageStore::Entry& entry, std::int64_t now) {
  return std::max<std::int64_t>(0, (now - entry.kept_at) / 1'000'000);
}

std::string format_age(std::int64_t seconds) {
  constexpr std::int64_t kMinute = 60;
  constexpr std::int64_t kHour = 60 * kMinute;
  constexpr std::int64_t kDay = 24 * kHour;
  if (seconds < 2 * kMinute) return fmt::format("{} s", seconds);
  if (seconds < 2 * kHour) return fmt::format("{} min", seconds / kMinute);
  if (seconds < 2 * kDay) return fmt::format("{} h", seconds / kHour);
  return fmt::format("{} d", seconds / kDay);
}

std::int64_t now_microseconds() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

int print_images(std::span<const ImageStore::Entry> entries, bool as_json) {
  const std::int64_t now = now_microseconds();
  print_out(as_json ? vmm::json_text(images_json(entries, now), 2) + '\n'
                    : images_table(entries, now));
  return static_cast<int>(ExitStatus::ok);
}

}  // namespace

std::string images_table(std::span<const ImageStore::Entry> entries, std::int64_t now) {
  if (entries.empty()) return "no kept images\n";
  std::string table = fmt::format("{:<36} {:>7} {:>9} {:>10} {:>10} {:>9}  {}\n", "VM", "AGE",
                                  "RAM", "HELD", "DROPPED", "ON DISK", "NAME");
  for (const ImageStore::Entry& entry : entries) {
    fmt::format_to(std::back_inserter(table), "{:<36} {:>7} {:>9} {:>10} {:>10} {:>9}  {}\n",
                   entry.vm_id, format_age(age_seconds(entry, now)),
                   format_bytes(entry.memory_bytes), format_count(entry.held),
                   format_count(entry.dropped), format_bytes(entry.bytes), printable(entry.name));
  }
  return table;
}

json images_json(std::span<const ImageStore::Entry> entries, std::int64_t now) {
  json images = json::array();
  for (const ImageStore::Entry& entry : entries) {
    images.push_back({{"id", entry.vm_id},
                      {"name", entry.name},
                      {"token", migration::to_hex(entry.token)},
                      {"kept_at", entry.kept_at / 1'000'000},
                      {"age_s", age_seconds(entry, now)},
                      {"memory", entry.memory_bytes},
                      {"pages_held", entry.held},
                      {"pages_dropped", entry.dropped},
                      {"bytes", entry.bytes}});
  }
  return {{"images", std::move(images)}};
}

int images(const ImagesCommand& command) {
  std::filesystem::path directory = command.image_store;
  try {
    if (directory.empty()) directory = migration::default_image_store();
  } catch (const std::runtime_error& error) {
    throw Failure(ExitStatus::usage, error.what());
  }
  const auto none = [&]() -> int {
    if (!command.drop) return print_images({}, command.json);
    throw Failure(ExitStatus::failed, fmt::format("there is no image of {}", *command.drop));
  };
  std::error_code unknown;  // then the store says why
  if (!std::filesystem::exists(directory, unknown) && !unknown) {
    if (command.image_store.empty()) return none();
    throw Failure(ExitStatus::no_input,
                  fmt::format("there is no image store {}", directory.string()));
  }
  const auto store = open_image_store(directory);
  try {
    if (!command.drop) return print_images(store->list(), command.json);
    return store->drop(*command.drop) ? static_cast<int>(ExitStatus::ok) : none();
  } catch (const std::system_error&) {
    throw;
  } catch (const Failure&) {
    throw;
  } catch (const std::runtime_error& error) {  // locked
    throw Failure(ExitStatus::unavailable, error.what());
  }
}

}  // namespace ferry

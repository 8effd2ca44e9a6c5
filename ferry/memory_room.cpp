#include "ferry/memory_room.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <utility>

#include "ferry/units.hpp"

namespace ferry {

namespace {

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(at), text.size());
    if (end > 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end == text.data()) return std::nullopt;
  return value;
}

/// The value in the line that begins with `key` and a space.
std::optional<std::uint64_t> value_of(std::string_view text, std::string_view key) {
  for (const std::string_view line : split(text, '\n')) {
    const auto words = split(line, ' ');
    if (words.size() >= 2 && words[0] == key) return number(words[1]);
  }
  return std::nullopt;
}

/// mountinfo writes a blank as "\040".
std::string unescaped(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    int code = 0;
    if (text[i] == '\\' && text.size() - i >= 4 &&
        std::from_chars(&text[i + 1], &text[i] + 4, code, 8).ptr == &text[i] + 4) {
      result += static_cast<char>(code);
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

bool lists(std::string_view names, std::string_view name) {
  return std::ranges::count(split(names, ','), name) > 0;
}

struct Mount {
  std::string root;  ///< of the mounted tree, within its hierarchy
  std::string point;
};

/// Where the hierarchy of that version that limits memory is mounted.
std::optional<Mount> mount_of(std::string_view mountinfo, int version) {
  for (const std::string_view line : split(mountinfo, '\n')) {
    const std::size_t separator = line.find(" - ");  // ends the optional fields
    if (separator == std::string_view::npos) continue;
    const auto before = split(line.substr(0, separator), ' ');
    const auto behind = split(line.substr(separator + 3), ' ');
    if (before.size() < 5 || behind.empty()) continue;
    const bool matches = version == 2 ? behind[0] == "cgroup2"
                                      : behind[0] == "cgroup" && lists(behind.back(), "memory");
    if (matches) return Mount{unescaped(before[3]), unescaped(before[4])};
  }
  return std::nullopt;
}

/// `path` as seen from the mount's root. What lies outside of it (another namespace's) is the root:
/// no file further up can be read.
std::string below(const std::string& root, std::string_view path) {
  if (root == "/") return path == "/" ? std::string() : std::string(path);
  if (!path.starts_with(root)) return {};
  path.remove_prefix(root.size());
  return path.empty() || path.starts_with('/') ? std::string(path) : std::string();
}

void add_with_ancestors(int version, const Mount& mount, std::string path,
                        std::vector<MemoryCgroup>& into) {
  while (true) {
    into.push_back({version, mount.point + path});
    if (path.empty()) return;
    path.resize(path.rfind('/'));
  }
}

}  // namespace

std::optional<MemoryRoom> host_room(std::string_view meminfo) {
  const auto available = value_of(meminfo, "MemAvailable:");
  if (!available) return std::nullopt;
  return MemoryRoom{"this host", (*available + value_of(meminfo, "SwapFree:").value_or(0)) << 10};
}

std::vector<MemoryCgroup> memory_cgroups(std::string_view cgroup, std::string_view mountinfo) {
  std::vector<MemoryCgroup> found;
  for (const std::string_view line : split(cgroup, '\n')) {
    // "4:cpu,memory:/path" for each hierarchy of version 1, "0::/path" for version 2.
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos || line.substr(second + 1, 1) != "/") continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const int version = controllers.empty() ? 2 : 1;
    if (version == 1 && !lists(controllers, "memory")) continue;
    const auto mount = mount_of(mountinfo, version);
    if (!mount) continue;
    add_with_ancestors(version, *mount, below(mount->root, line.substr(second + 1)), found);
  }
  return found;
}

std::optional<MemoryRoom> cgroup_room(const MemoryCgroup& cgroup, const CgroupMemory& memory) {
  constexpr std::uint64_t kNoLimit = std::uint64_t{1} << 62;  // version 1 has a large number for it
  const auto limit = number(memory.limit);                    // version 2 has "max" for it
  const auto usage = number(memory.usage);
  if (!limit || !usage || *limit >= kNoLimit) return std::nullopt;
  const auto cache =
      value_of(memory.stat, cgroup.version == 1 ? "total_inactive_file" : "inactive_file");
  const std::uint64_t used = *usage - std::min(*usage, cache.value_or(0));
  return MemoryRoom{"the cgroup " + cgroup.directory, *limit - std::min(*limit, used)};
}

std::optional<std::string> room_refusal(std::uint64_t needed, std::span<const MemoryRoom> rooms) {
  const auto free = [](const MemoryRoom& room) {
    return room.bytes - std::min(room.bytes, room.promised);
  };
  const auto least = std::ranges::min_element(rooms, {}, free);
  if (least == rooms.end() || needed <= free(*least)) return std::nullopt;
  std::string why = fmt::format("the guest needs {} of memory and {} has {} left",
                                format_bytes(needed), least->where, format_bytes(least->bytes));
  if (least->promised > 0) {
    why += fmt::format(", of which {} are promised to VMs that are arriving in other processes",
                       format_bytes(least->promised));
  }
  return why + ". 'ferry receive --overcommit' takes it all the same";
}

}  // namespace ferry

#include "ferry/host_memory.hpp"

#include <fmt/format.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "ferry/exit_status.hpp"
#include "ferry/memory_room.hpp"
#include "ferry/say.hpp"
#include "ferry/units.hpp"
#include "migration/base/usage.hpp"

namespace ferry {

namespace {

/// Empty when there is no such file: a limit that cannot be read is none that can be checked.
std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

CgroupMemory read_cgroup(const MemoryCgroup& cgroup) {
  const std::string prefix = cgroup.directory + "/memory.";
  return {text_of(prefix + (cgroup.version == 1 ? "limit_in_bytes" : "max")),
          text_of(prefix + (cgroup.version == 1 ? "usage_in_bytes" : "current")),
          text_of(prefix + "stat")};
}

std::vector<MemoryRoom> rooms_of_process() {
  std::vector<MemoryRoom> rooms;
  if (const auto host = host_room(text_of("/proc/meminfo"))) rooms.push_back(*host);
  for (const MemoryCgroup& cgroup :
       memory_cgroups(text_of("/proc/self/cgroup"), text_of("/proc/self/mountinfo"))) {
    if (const auto room = cgroup_room(cgroup, read_cgroup(cgroup))) rooms.push_back(*room);
  }
  return rooms;
}

}  // namespace

void check_host_memory(std::uint64_t bytes) {
  struct sysinfo host {};
  if (::sysinfo(&host) != 0) return;  // then the mapping itself will tell
  const std::uint64_t total = (std::uint64_t{host.totalram} + host.totalswap) * host.mem_unit;
  if (bytes <= total) return;
  throw Failure(ExitStatus::unavailable,
                fmt::format("the guest wants {} of memory and this host has {} in all: where it "
                            "will not use it all, --overcommit allows that",
                            format_bytes(bytes), format_bytes(total)));
}

std::optional<std::uint64_t> memory_room() {
  const std::vector<MemoryRoom> rooms = rooms_of_process();
  const auto least = std::ranges::min_element(rooms, {}, &MemoryRoom::bytes);
  return least == rooms.end() ? std::nullopt : std::optional(least->bytes);
}

std::filesystem::path ledger_directory() {
  const uid_t user = ::geteuid();
  // Not in a login's own directory: services do not have it, and it goes with the login.
  if (user == 0) return "/run/ferry/ledger";
  return fmt::format("/tmp/ferry-{}", user);
}

std::shared_ptr<const migration::RoomLedger> open_ledger() {
  try {
    return std::make_shared<const migration::RoomLedger>(ledger_directory());
  } catch (const std::exception& error) {
    say(fmt::format("cannot tell what other processes have been promised: {}", error.what()));
    return nullptr;
  }
}

MemoryPromise::MemoryPromise(const migration::RoomLedger* ledger, std::uint64_t needed,
                             std::uint64_t there, bool overcommit)
    : resident_before_(migration::resident_bytes() + there) {
  needed -= std::min(needed, there);
  std::vector<MemoryRoom> rooms = rooms_of_process();
  const auto check = [&](std::span<const migration::Promised> others) {
    for (MemoryRoom& room : rooms) room.promised = migration::promised_of(others, room.where);
    if (overcommit) return;
    if (const auto why = room_refusal(needed, rooms)) throw Failure(ExitStatus::unavailable, *why);
  };
  if (ledger == nullptr) {
    check({});
    return;
  }
  migration::Promised wanted{{}, needed, 0};
  for (const MemoryRoom& room : rooms) {
    if (room.where.find('\n') == std::string::npos) wanted.of.push_back(room.where);
  }
  try {
    noted_ = ledger->promise(std::move(wanted), check);
  } catch (const Failure&) {
    throw;
  } catch (const std::exception& error) {
    say(fmt::format("cannot note what this process has been promised: {}", error.what()));
    check({});
  }
}

void MemoryPromise::update() {
  if (!noted_) return;
  const std::uint64_t resident = migration::resident_bytes();
  noted_->consume(resident - std::min(resident, resident_before_));
}

}  // namespace ferry

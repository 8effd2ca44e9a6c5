#include "vmm/machine/machine_config.hpp"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>

#include "vmm/memory/guest_memory.hpp"
#include "vmm/text/json_text.hpp"
#include "vmm/text/printable.hpp"

namespace vmm {

namespace {

using nlohmann::json;

constexpr std::size_t kMaxText = 256;
constexpr std::size_t kMaxCpuidEntries = 256;
constexpr std::uint32_t kMaxXsave = 65536;

[[noreturn]] void unsound(const char* field) {
  throw std::invalid_argument(fmt::format("\"{}\" is missing or out of bounds", field));
}

const json& member(const json& object, const char* field) {
  const auto found = object.find(field);
  if (found == object.end()) unsound(field);
  return *found;
}

std::string text(const json& object, const char* field) {
  const json& value = member(object, field);
  if (!value.is_string()) unsound(field);
  const auto& text = value.get_ref<const std::string&>();
  if (text.size() > kMaxText) unsound(field);
  return text;
}

std::uint64_t number(const json& object, const char* field, std::uint64_t least,
                     std::uint64_t most) {
  const json& value = member(object, field);
  if (!value.is_number_unsigned()) unsound(field);
  const auto result = value.get<std::uint64_t>();
  if (result < least || result > most) unsound(field);
  return result;
}

kvm_cpuid_entry2 cpuid_entry(const json& row) {
  std::array<std::uint32_t, 7> values{};
  if (!row.is_array() || row.size() != values.size()) unsound("cpuid");
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!row[i].is_number_unsigned() || row[i].get<std::uint64_t>() > UINT32_MAX) unsound("cpuid");
    values.at(i) = row[i].get<std::uint32_t>();
  }
  kvm_cpuid_entry2 entry{};
  entry.function = values[0];
  entry.index = values[1];
  entry.flags = values[2];
  entry.eax = values[3];
  entry.ebx = values[4];
  entry.ecx = values[5];
  entry.edx = values[6];
  return entry;
}

std::vector<DeviceVersion> devices_from(const json& list) {
  if (!list.is_array() || list.size() > kMaxDevices) unsound("devices");
  std::vector<DeviceVersion> devices;
  for (const json& row : list) {
    if (!row.is_object()) unsound("devices");
    DeviceVersion device;
    device.id = text(row, "id");
    device.version = static_cast<std::uint32_t>(number(row, "version", 1, UINT32_MAX));
    if (row.contains("host_part")) device.host_part = text(row, "host_part");
    if (!is_device_id(device.id)) unsound("devices");
    if (std::ranges::find(devices, device.id, &DeviceVersion::id) != devices.end()) {
      unsound("devices");
    }
    devices.push_back(std::move(device));
  }
  return devices;
}

HostNeeds host_needs(const json& object) {
  HostNeeds needs;
  needs.arch_capabilities = number(object, "arch_capabilities", 0, UINT64_MAX);
  needs.xsave_bytes =
      static_cast<std::uint32_t>(number(object, "xsave_bytes", sizeof(kvm_xsave), kMaxXsave));
  needs.event_flags = static_cast<std::uint32_t>(number(object, "event_flags", 0, UINT32_MAX));
  const json& msrs = member(object, "msrs");
  if (!msrs.is_array() || msrs.empty() || msrs.size() > kMaxMsrs) unsound("msrs");
  for (const json& msr : msrs) {
    if (!msr.is_number_unsigned() || msr.get<std::uint64_t>() > UINT32_MAX) unsound("msrs");
    needs.msrs.push_back(msr.get<std::uint32_t>());
  }
  return needs;
}

}  // namespace

std::string make_uuid() {
  std::array<unsigned char, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    throw std::system_error(errno, std::generic_category(), "getrandom");
  }
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0f) | 0x40);  // version 4
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3f) | 0x80);  // RFC 4122 variant
  std::string uuid;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) uuid += '-';
    uuid += fmt::format("{:02x}", bytes.at(i));
  }
  return uuid;
}

std::string sound_name(std::string_view text) { return printable(start_of(text, kMaxName)); }

std::string to_json(const MachineConfig& config) {
  json cpuid = json::array();
  for (const kvm_cpuid_entry2& entry : config.cpuid) {
    cpuid.push_back(
        {entry.function, entry.index, entry.flags, entry.eax, entry.ebx, entry.ecx, entry.edx});
  }
  json devices = json::array();
  for (const DeviceVersion& device : config.devices) {
    json row = {{"id", device.id}, {"version", device.version}};
    if (!device.host_part.empty()) row["host_part"] = device.host_part;
    devices.push_back(std::move(row));
  }
  const json needs = {{"arch_capabilities", config.needs.arch_capabilities},
                      {"xsave_bytes", config.needs.xsave_bytes},
                      {"event_flags", config.needs.event_flags},
                      {"msrs", config.needs.msrs}};
  const json object = {
      {"id", config.id},     {"name", config.name},          {"memory", config.memory_bytes},
      {"cpus", config.cpus}, {"tsc_khz", config.tsc_khz},    {"cpuid", std::move(cpuid)},
      {"needs", needs},      {"devices", std::move(devices)}};
  return json_text(object);
}

MachineConfig machine_config_from_json(std::string_view document) {
  const json object = parse_json(document);
  if (!object.is_object()) throw std::invalid_argument("it is no JSON object");
  MachineConfig config;
  config.id = text(object, "id");
  if (!is_printable(config.id)) unsound("id");
  // A name is for people alone: no VM is turned away for it.
  config.name = printable(text(object, "name"));
  config.memory_bytes = number(object, "memory", kMinMemory, kMaxMemory);
  if (config.memory_bytes % 1_MiB != 0) unsound("memory");
  config.cpus = static_cast<std::uint32_t>(number(object, "cpus", 1, kMaxCpus));
  config.tsc_khz = static_cast<std::uint32_t>(number(object, "tsc_khz", 1, 100'000'000));
  const json& cpuid = member(object, "cpuid");
  if (!cpuid.is_array() || cpuid.empty() || cpuid.size() > kMaxCpuidEntries) unsound("cpuid");
  for (const json& row : cpuid) config.cpuid.push_back(cpuid_entry(row));
  const json& needs = member(object, "needs");
  if (!needs.is_object()) unsound("needs");
  config.needs = host_needs(needs);
  config.devices = devices_from(member(object, "devices"));
  return config;
}

}  // namespace vmm

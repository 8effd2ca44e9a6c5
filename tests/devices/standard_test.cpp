#include "devices/standard.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace devices {
namespace {

/// As docs/protocol.md has them.
const std::vector<vmm::DeviceVersion> kDocumented = {
    {"serial0", 1},    {"exit-port", 1},  {"i8042", 1},  {"cmos-clock", 1},
    {"pci-config", 1}, {"panic-port", 1}, {"acpi-pm", 1}};

std::string refusal_of(const std::vector<vmm::DeviceVersion>& wanted, const HostParts& parts = {}) {
  try {
    static_cast<void>(pci_devices_for(wanted, parts));
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}

TEST(StandardDevices, AreThoseOfTheProtocol) { EXPECT_EQ(refusal_of(kDocumented), "accepted"); }

TEST(StandardDevices, AreAllThatAGuestCanGoOnWith) {
  for (std::size_t i = 0; i < kDocumented.size(); ++i) {
    auto wanted = kDocumented;
    wanted[i].version = 2;
    EXPECT_NE(refusal_of(wanted).find(kDocumented[i].id), std::string::npos) << wanted[i].id;
    wanted.erase(wanted.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_NE(refusal_of(wanted).find(kDocumented[i].id), std::string::npos) << kDocumented[i].id;
  }
  auto more = kDocumented;
  more.push_back({"disk0", 1});
  EXPECT_NE(refusal_of(more).find("disk0"), std::string::npos) << refusal_of(more);
}

TEST(StandardDevices, IncludeANetworkThatTheHostHas) {
  auto wanted = kDocumented;
  wanted.push_back({"lan", 1, "net mac=02:00:00:00:00:01 offloads=0x0"});
  EXPECT_NE(refusal_of(wanted).find("--net id=lan,"), std::string::npos) << refusal_of(wanted);
  HostParts parts;
  parts.networks = {{.id = "net0", .kind = NetworkChoice::Kind::passt, .place = "/nowhere"},
                    {.id = "lan", .kind = NetworkChoice::Kind::passt, .place = "/nowhere"}};
  EXPECT_EQ(refusal_of(wanted, parts), "accepted");
  wanted.back().host_part = "net mac=02:00:00:00:00:01 offloads=0x1";
  const auto refusal = refusal_of(wanted, parts);
  EXPECT_NE(refusal.find("lan: "), std::string::npos) << refusal;
  EXPECT_NE(refusal.find("csum"), std::string::npos) << refusal;
  wanted.back().host_part = "net mac=nobody";
  EXPECT_NE(refusal_of(wanted, parts), "accepted");
}

// Later the guest would have stopped already.
TEST(StandardDevices, IncludeNoInterfaceThatCannotBeUsed) {
  auto wanted = kDocumented;
  wanted.push_back({"lan", 1, "net mac=02:00:00:00:00:01 offloads=0x0"});
  HostParts parts;
  parts.networks = {{.id = "lan", .kind = NetworkChoice::Kind::tap, .place = "lo"}};
  EXPECT_THROW(static_cast<void>(pci_devices_for(wanted, parts)), std::system_error);
}

}  // namespace
}  // namespace devices

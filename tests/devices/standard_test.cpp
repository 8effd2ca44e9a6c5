#include "devices/standard.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace devices {
namespace {

/// As docs/protocol.md has them.
const std::vector<vmm::DeviceVersion> kDocumented = {
    {"serial0", 1},    {"exit-port", 1},  {"i8042", 1},  {"cmos-clock", 1},
    {"pci-config", 1}, {"panic-port", 1}, {"acpi-pm", 1}};

std::string refusal_of(const std::vector<vmm::DeviceVersion>& wanted) {
  try {
    static_cast<void>(pci_devices_for(wanted));
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

}  // namespace
}  // namespace devices

#include "vmm/machine/device_list.hpp"

#include <gtest/gtest.h>

namespace vmm {
namespace {

const std::vector<DeviceVersion> kHere = {{"serial0", 2}, {"exit-port", 1}};

bool names(const std::optional<std::string>& unfit, const std::string& device) {
  return unfit && unfit->find(device) != std::string::npos;
}

TEST(DeviceList, FitsInAnyOrder) {
  EXPECT_EQ(first_unfit_device(kHere, kHere), std::nullopt);
  EXPECT_EQ(first_unfit_device({{"exit-port", 1}, {"serial0", 2}}, kHere), std::nullopt);
  EXPECT_EQ(first_unfit_device({}, {}), std::nullopt);
}

TEST(DeviceList, NamesADeviceThatThisHostLacks) {
  EXPECT_TRUE(names(first_unfit_device({{"serial0", 2}, {"exit-port", 1}, {"disk0", 1}}, kHere),
                    "no device disk0"));
}

TEST(DeviceList, NamesADeviceOfAnotherVersion) {
  for (const std::uint32_t version : {1U, 3U}) {
    EXPECT_TRUE(
        names(first_unfit_device({{"serial0", version}, {"exit-port", 1}}, kHere), "serial0"))
        << version;
  }
}

TEST(DeviceList, NamesADeviceThatTheGuestDoesNotKnow) {
  EXPECT_TRUE(names(first_unfit_device({{"serial0", 2}}, kHere), "exit-port"));
  EXPECT_TRUE(names(first_unfit_device({}, kHere), "serial0"));
}

}  // namespace
}  // namespace vmm

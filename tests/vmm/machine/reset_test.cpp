#include "vmm/machine/reset.hpp"

#include <gtest/gtest.h>

namespace vmm {
namespace {

kvm_ioapic_state all_masked() {
  kvm_ioapic_state ioapic{};
  for (auto& entry : ioapic.redirtbl) entry.fields.mask = 1;
  return ioapic;
}

TEST(Reset, IsOrderlyWithEveryInterruptMasked) {
  auto ioapic = all_masked();
  ioapic.redirtbl[4].fields.vector = 0x30;
  EXPECT_EQ(end_of_reset(ioapic).kind, GuestEnd::Kind::power_off);
}

TEST(Reset, IsOrderlyWithTheLegacyControllerAlone) {
  auto ioapic = all_masked();
  ioapic.redirtbl[0].fields.mask = 0;
  ioapic.redirtbl[0].fields.delivery_mode = 7;
  EXPECT_EQ(end_of_reset(ioapic).kind, GuestEnd::Kind::power_off);
}

TEST(Reset, IsACrashWithAnInterruptOn) {
  auto ioapic = all_masked();
  ioapic.redirtbl[9].fields.mask = 0;
  const GuestEnd end = end_of_reset(ioapic);
  EXPECT_EQ(end.kind, GuestEnd::Kind::crashed);
  EXPECT_NE(end.message.find("interrupts"), std::string::npos);
}

}  // namespace
}  // namespace vmm

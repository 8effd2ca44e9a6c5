#include "vmm/machine/reset.hpp"

#include <gtest/gtest.h>

namespace vmm {
namespace {

kvm_ioapic_state all_masked() {
  kvm_ioapic_state ioapic{};
  for (auto& entry : ioapic.redirtbl) entry.fields.mask = 1;
  return ioapic;
}

/// As KVM makes it: nothing is masked, and no vector set.
constexpr kvm_pic_state kUnusedPic{};

kvm_pic_state pic(std::uint8_t first_vector, std::uint8_t masked) {
  kvm_pic_state state{};
  state.irq_base = first_vector;
  state.imr = masked;
  return state;
}

TEST(Reset, IsOrderlyWithEveryInterruptMasked) {
  auto ioapic = all_masked();
  ioapic.redirtbl[4].fields.vector = 0x30;
  EXPECT_EQ(end_of_reset(ioapic, kUnusedPic).kind, GuestEnd::Kind::power_off);
}

TEST(Reset, IsOrderlyWithTheLegacyControllerAlone) {
  auto ioapic = all_masked();
  ioapic.redirtbl[0].fields.mask = 0;
  ioapic.redirtbl[0].fields.delivery_mode = 7;
  EXPECT_EQ(end_of_reset(ioapic, kUnusedPic).kind, GuestEnd::Kind::power_off);
}

TEST(Reset, IsACrashWithAnInterruptOn) {
  auto ioapic = all_masked();
  ioapic.redirtbl[9].fields.mask = 0;
  const GuestEnd end = end_of_reset(ioapic, kUnusedPic);
  EXPECT_EQ(end.kind, GuestEnd::Kind::crashed);
  EXPECT_NE(end.message.find("interrupts"), std::string::npos);
}

// Without ACPI Linux has no IOAPIC.
TEST(Reset, IsACrashWithThePicOnAsLinuxUsesIt) {
  EXPECT_EQ(end_of_reset(all_masked(), pic(0x30, 0xfa)).kind, GuestEnd::Kind::crashed);
  EXPECT_EQ(end_of_reset(all_masked(), pic(0x30, 0xff)).kind, GuestEnd::Kind::power_off);
}

TEST(Reset, IsOrderlyOfOthersThatLeaveThePicOn) {
  EXPECT_EQ(end_of_reset(all_masked(), pic(0x20, 0xfa)).kind, GuestEnd::Kind::power_off);
}

TEST(Reset, KnowsALinuxThatHasShutDown) {
  auto open = all_masked();
  open.redirtbl[9].fields.mask = 0;
  EXPECT_TRUE(linux_has_shut_down(all_masked(), pic(0x30, 0xff)));
  EXPECT_FALSE(linux_has_shut_down(open, pic(0x30, 0xff)));
  EXPECT_FALSE(linux_has_shut_down(all_masked(), pic(0x30, 0xfb)));
  EXPECT_FALSE(linux_has_shut_down(all_masked(), pic(0x20, 0xff)));
  EXPECT_FALSE(linux_has_shut_down(all_masked(), kUnusedPic));
}

kvm_sregs with_table(std::uint16_t limit, bool long_mode = false) {
  kvm_sregs sregs{};
  sregs.cr0 = 1;
  sregs.efer = long_mode ? 0x500 : 0;
  sregs.idt.limit = limit;
  return sregs;
}

TEST(TripleFault, IsAResetWithoutOneWholeEntryInTheInterruptTable) {
  const kvm_regs regs{};
  EXPECT_EQ(kind_of_triple_fault(regs, with_table(0)), TripleFault::reset);
  EXPECT_EQ(kind_of_triple_fault(regs, with_table(6)), TripleFault::reset);
  EXPECT_EQ(kind_of_triple_fault(regs, with_table(7)), TripleFault::crash);
  EXPECT_EQ(kind_of_triple_fault(regs, with_table(14, true)), TripleFault::reset);
  EXPECT_EQ(kind_of_triple_fault(regs, with_table(15, true)), TripleFault::crash);
  EXPECT_EQ(kind_of_triple_fault(regs, with_table(0xffff)), TripleFault::crash);
}

TEST(TripleFault, IsUnknownOfAVcpuThatKvmHasReset) {
  kvm_regs regs{};
  regs.rip = 0xfff0;
  kvm_sregs sregs{};
  sregs.cs.base = 0xffff0000;
  sregs.idt.limit = 0xffff;
  EXPECT_EQ(kind_of_triple_fault(regs, sregs), TripleFault::unknown);
}

}  // namespace
}  // namespace vmm

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/vmm/kvm/tiny_kernel.hpp"

namespace vmm {
namespace {

using namespace std::string_view_literals;

// mov dx, 0x608; mov al, 1; out dx, al; hlt
constexpr auto kAcpiReset = "\x66\xba\x08\x06\xb0\x01\xee\xf4\xeb\xfd"sv;
// mov al, 0xfe; out 0x64, al; hlt
constexpr auto kI8042Reset = "\xb0\xfe\xe6\x64\xf4\xeb\xfd"sv;
// mov dx, 0xcf9; mov al, 2; out dx, al; mov al, 6; out dx, al; hlt
constexpr auto kResetControl = "\x66\xba\xf9\x0c\xb0\x02\xee\xb0\x06\xee\xf4\xeb\xfd"sv;
// lidt [0], where there are zeros; ud2
constexpr auto kTripleFault = "\x0f\x01\x1d\x00\x00\x00\x00\x0f\x0b"sv;
// PIC: 0x11 to 0x20; 0x30, 4 and 1 to 0x21 (from vector 0x30 on); then its mask to 0x21
constexpr auto kPic = "\xb0\x11\xe6\x20\xb0\x30\xe6\x21\xb0\x04\xe6\x21\xb0\x01\xe6\x21"sv;
constexpr auto kPicOn = "\xb0\xfe\xe6\x21"sv;
constexpr auto kPicOff = "\xb0\xff\xe6\x21"sv;
// IOAPIC: low half of entry 9 = vector 0x30, not masked
constexpr auto kInterruptOn =
    "\xc7\x05\x00\x00\xc0\xfe\x22\x00\x00\x00\xc7\x05\x10\x00\xc0\xfe\x30\x00\x00\x00"sv;
// mov dx, 0x604; mov ax, 0x3400 (SLP_EN, type 5); out dx, ax; hlt
constexpr auto kPowerOff = "\x66\xba\x04\x06\x66\xb8\x00\x34\x66\xef\xf4\xeb\xfd"sv;

/// How a guest ends through the devices that every machine has.
class Reset : public TinyKernelTest {
 protected:
  GuestEnd end_of(std::string_view first, std::string_view then = {}) {
    const auto machine = boot(std::string(first).append(then));
    machine->resume();
    const auto end = wait_end(*machine);
    EXPECT_TRUE(end);
    return end.value_or(GuestEnd{GuestEnd::Kind::exit_code, -1, "it did not end"});
  }
};

TEST_F(Reset, ByAcpiIsAnOrderlyEnd) {
  EXPECT_EQ(end_of(kAcpiReset).kind, GuestEnd::Kind::power_off);
}

TEST_F(Reset, ByTheI8042IsAnOrderlyEnd) {
  EXPECT_EQ(end_of(kI8042Reset).kind, GuestEnd::Kind::power_off);
}

TEST_F(Reset, ByTheChipSetIsAnOrderlyEnd) {
  EXPECT_EQ(end_of(kResetControl).kind, GuestEnd::Kind::power_off);
}

TEST_F(Reset, ByATripleFaultWithoutInterruptTableIsAnOrderlyEnd) {
  const GuestEnd end = end_of(kTripleFault);
  // There KVM does not tell it from a crash.
  const bool amd = end.message.find("AMD") != std::string::npos;
  EXPECT_EQ(end.kind, amd ? GuestEnd::Kind::crashed : GuestEnd::Kind::power_off) << end.message;
}

TEST_F(Reset, ByATripleFaultOfALinuxThatHasMaskedItsPicIsAnOrderlyEnd) {
  const std::string pic_off = std::string(kPic).append(kPicOff);
  EXPECT_EQ(end_of(pic_off, kTripleFault).kind, GuestEnd::Kind::power_off);
}

// As Linux does with reboot=bios: to f000:fff0, in real mode.
TEST_F(Reset, ByAJumpToTheResetVectorIsAnOrderlyEnd) {
  const auto machine = boot("\xf4"sv);
  kvm_sregs sregs = machine->vcpu(0).sregs();
  sregs.cr0 = 0x10;
  sregs.cs.base = 0xf0000;
  sregs.cs.selector = 0xf000;
  sregs.cs.limit = 0xffff;
  sregs.cs.db = sregs.cs.g = 0;
  machine->vcpu(0).set_sregs(sregs);
  kvm_regs regs{};
  regs.rip = 0xfff0;
  regs.rflags = 2;
  machine->vcpu(0).set_regs(regs);
  machine->resume();
  const auto end = wait_end(*machine);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->kind, GuestEnd::Kind::power_off) << end->message;
}

TEST_F(Reset, OfALinuxThatUsesThePicIsToldByIt) {
  const auto with = [](std::string_view mask) { return std::string(kPic).append(mask); };
  EXPECT_EQ(end_of(with(kPicOn), kI8042Reset).kind, GuestEnd::Kind::crashed);
  EXPECT_EQ(end_of(with(kPicOff), kI8042Reset).kind, GuestEnd::Kind::power_off);
}

TEST_F(Reset, WithAnInterruptOnIsACrash) {
  for (const auto reset : {kAcpiReset, kI8042Reset, kResetControl}) {
    const GuestEnd end = end_of(kInterruptOn, reset);
    EXPECT_EQ(end.kind, GuestEnd::Kind::crashed);
    EXPECT_NE(end.message.find("interrupts still on"), std::string::npos) << end.message;
  }
}

TEST_F(Reset, IsNotWhatAPowerOffIs) {
  EXPECT_EQ(end_of(kInterruptOn, kPowerOff).kind, GuestEnd::Kind::power_off);
}

}  // namespace
}  // namespace vmm

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/vmm/kvm/tiny_kernel.hpp"

namespace vmm {
namespace {

class Crash : public TinyKernelTest {};

TEST_F(Crash, OfAGuestThatTripleFaultsSaysWhere) {
  using std::string_view_literals::operator""sv;
  const auto machine = boot("\x0f\x0b"sv);  // ud2; of the interrupt table, all entries are zero
  machine->resume();
  const auto end = wait_end(*machine);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->kind, GuestEnd::Kind::crashed);
  // KVM on an AMD processor does not tell.
  if (end->message.find("AMD") == std::string::npos) {
    EXPECT_NE(end->message.find("vCPU 0: triple fault at rip 0x1000"), std::string::npos)
        << end->message;
  }
  machine->pause();
  machine->resume();
  EXPECT_FALSE(machine->running());
}

// A halted vCPU waits in KVM, for an interrupt that never comes: it must still be there to pause.
TEST_F(Crash, IsNotWhatAHaltedGuestDoes) {
  const auto machine = boot("\xfa\xf4\xeb\xfd");  // cli; hlt; jmp to the hlt
  for (int i = 0; i < 20; ++i) {
    machine->resume();
    machine->pause();
  }
  EXPECT_FALSE(machine->ended()) << machine->ended()->message;
  EXPECT_GE(machine->vcpu(0).regs().rip, kEntry);
  EXPECT_LT(machine->vcpu(0).regs().rip, kEntry + 4);
}

}  // namespace
}  // namespace vmm

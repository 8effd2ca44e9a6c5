#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "tests/vmm/kvm/tiny_kernel.hpp"

namespace vmm {
namespace {

using namespace std::string_view_literals;

/// What a guest finds in a machine as it is made.
class StandardMachine : public TinyKernelTest {
 protected:
  /// The guest's exit code, or -1.
  int exit_code_of(std::string_view code, std::uint32_t cpus = 1) {
    const auto machine = boot(code, cpus);
    machine->resume();
    const auto end = wait_end(*machine);
    EXPECT_TRUE(end);
    if (!end || end->kind != GuestEnd::Kind::exit_code) return -1;
    return end->code;
  }
};

TEST_F(StandardMachine, HasAClockThatIsNeverAmidAnUpdateForLong) {
  // mov al, 10; out 0x70, al; again: in al, 0x71; test al, 0x80; jnz again
  constexpr auto kWait = "\xb0\x0a\xe6\x70\xe4\x71\xa8\x80\x75\xfa"sv;
  // mov al, 0x8d (NMIs masked); out 0x70, al; in al, 0x71; shr al, 7; out 0xf4, al
  constexpr auto kValid = "\xb0\x8d\xe6\x70\xe4\x71\xc0\xe8\x07\xe6\xf4\xf4\xeb\xfd"sv;
  EXPECT_EQ(exit_code_of(std::string(kWait).append(kValid)), 1);
}

// As memtest86+ does, without having written another register of its APIC before.
TEST_F(StandardMachine, StartsAnyVcpuByAStartUpIpi) {
  // mov dword [0x20000], (mov al, 5; out 0xf4, al)
  constexpr auto kCode = "\xc7\x05\x00\x00\x02\x00\xb0\x05\xe6\xf4"sv;
  // mov dword [0xfee00300], INIT, then start-up at 0x20000; cli; hlt; jmp to the hlt
  constexpr auto kStart =
      "\xc7\x05\x00\x03\xe0\xfe\x00\x45\x00\x00\xc7\x05\x00\x03\xe0\xfe\x20\x46\x00\x00"
      "\xfa\xf4\xeb\xfd"sv;
  for (std::uint32_t cpus = 2; cpus <= 3; ++cpus) {
    for (std::uint32_t cpu = 1; cpu < cpus; ++cpu) {
      // mov dword [0xfee00310], cpu << 24
      std::string to("\xc7\x05\x10\x03\xe0\xfe\x00\x00\x00"sv);
      to += static_cast<char>(cpu);
      EXPECT_EQ(exit_code_of(std::string(kCode).append(to).append(kStart), cpus), 5)
          << "vCPU " << cpu << " of " << cpus;
    }
  }
}

}  // namespace
}  // namespace vmm

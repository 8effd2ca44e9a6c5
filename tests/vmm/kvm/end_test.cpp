#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "tests/vmm/kvm/tiny_kernel.hpp"
#include "vmm/boot/entry.hpp"

namespace vmm {
namespace {

using namespace std::string_view_literals;

/// A way in which a guest ends its machine: code in 32-bit protected mode.
struct EndingWay {
  std::string_view name;
  std::string_view code;
};

std::ostream& operator<<(std::ostream& out, const EndingWay& way) { return out << way.name; }

constexpr EndingWay kEndingWays[] = {
    {"ExitPort", "\xe6\xf4\xf4\xeb\xfd"sv},                                  // out 0xf4, al
    {"PowerOff", "\x66\xba\x04\x06\x66\xb8\x00\x34\x66\xef\xf4\xeb\xfd"sv},  // 0x3400 to 0x604
    {"AcpiReset", "\x66\xba\x08\x06\xb0\x01\xee\xf4\xeb\xfd"sv},             // 1 to 0x608
    {"I8042Reset", "\xb0\xfe\xe6\x64\xf4\xeb\xfd"sv},                        // 0xfe to 0x64
    {"ResetControl", "\x66\xba\xf9\x0c\xb0\x06\xee\xf4\xeb\xfd"sv},          // 6 to 0xcf9
    {"PanicPort", "\x66\xba\x05\x05\xb0\x01\xee\xf4\xeb\xfd"sv},             // 1 to 0x505
    {"TripleFault", "\x0f\x0b"sv},                                           // ud2
    {"RestartByTripleFault", "\x0f\x01\x1d\x00\x00\x00\x00\x0f\x0b"sv},      // lidt [0]; ud2
    {"InternalError", "\xb8\x00\x00\x00\xd0\xff\xe0"sv},  // jmp 0xd0000000, which is no RAM
};

class EndOfAMachine : public TinyKernelTest, public ::testing::WithParamInterface<EndingWay> {
 protected:
  /// A paused machine of kMaxCpus vCPUs that all stand still, but for `ending`, which ends it.
  std::unique_ptr<Machine> ended_by(std::uint32_t ending) {
    constexpr std::uint32_t kStill = 0xff0;  // into the page of the code
    std::string code(GetParam().code);
    code.resize(kStill, '\xf4');
    auto machine = boot(code + "\xfa\xf4\xeb\xfd", kMaxCpus);  // cli; hlt; jmp to the hlt
    for (std::uint32_t i = 0; i < kMaxCpus; ++i) {
      const auto at = kEntry + (i == ending ? 0 : kStill);
      set_entry(machine->vcpu(i), {BootEntry::Protocol::pvh, at, kBootInfo});
      machine->vcpu(i).kvm().set_mp_state({KVM_MP_STATE_RUNNABLE});
    }
    return machine;
  }

 private:
  static constexpr std::uint64_t kBootInfo = 0x6000;
};

// Who hears of the end destroys the machine at once, while the vCPU that ended it is still in
// there.
TEST_P(EndOfAMachine, MayComeFromAnyVcpuAndBeItsDestruction) {
  for (std::uint32_t ending = 0; ending < kMaxCpus; ++ending) {
    auto machine = ended_by(ending);
    std::promise<void> told;
    machine->on_end([&told] {
      told.set_value();
      // Time to destroy the machine, of a handler that is slow to return.
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    });
    machine->resume();
    ASSERT_EQ(told.get_future().wait_for(kDeadline), std::future_status::ready) << ending;
    machine.reset();
  }
}

INSTANTIATE_TEST_SUITE_P(Ways, EndOfAMachine, ::testing::ValuesIn(kEndingWays),
                         [](const auto& way) { return std::string(way.param.name); });

}  // namespace
}  // namespace vmm

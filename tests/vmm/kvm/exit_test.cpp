#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "tests/vmm/kvm/tiny_kernel.hpp"
#include "vmm/machine/device.hpp"

namespace vmm {
namespace {

using namespace std::string_view_literals;

constexpr std::uint16_t kPort = 0x500;
constexpr GuestAddress kRegister{0xd0000000};

/// Asks its machine to pause amid the access.
class PausingDevice final : public Device {
 public:
  explicit PausingDevice(Machine& machine) : machine_(machine) {}

  [[nodiscard]] std::string_view id() const override { return "pausing"; }
  [[nodiscard]] std::uint32_t version() const override { return 1; }
  void read(std::uint64_t /*offset*/, std::span<std::byte> data) override {
    std::ranges::fill(data, std::byte{0x5a});
    note();
  }
  void write(std::uint64_t /*offset*/, std::span<const std::byte> /*data*/) override { note(); }
  [[nodiscard]] std::vector<std::byte> save() override { return {}; }
  void load(std::uint32_t /*version*/, std::span<const std::byte> /*bytes*/) override {}

  [[nodiscard]] bool wait_accessed() {
    return accessed_.get_future().wait_for(kDeadline) == std::future_status::ready;
  }

 private:
  void note() {
    machine_.vcpu(0).request_pause();
    accessed_.set_value();  // throws when the instruction is done twice
  }

  Machine& machine_;
  std::promise<void> accessed_;
};

/// A port or MMIO exit, of which KVM finishes the instruction at the next KVM_RUN.
class Exit : public TinyKernelTest {
 protected:
  /// Runs `code` until it accesses the device; its registers then.
  kvm_regs regs_at_pause(std::string_view code) {
    const auto machine = boot(code);
    const auto device = std::make_shared<PausingDevice>(*machine);
    machine->attach_ports(device, kPort, 1);
    machine->attach_mmio(device, kRegister, 4);
    machine->resume();
    EXPECT_TRUE(device->wait_accessed());
    machine->pause();
    EXPECT_FALSE(machine->ended()) << machine->ended()->message;
    return machine->vcpu(0).regs();
  }
};

TEST_F(Exit, OfAPortReadIsCompleteWhenPaused) {
  const auto regs = regs_at_pause("\x66\xba\x00\x05\xec\xf4\xeb\xfd"sv);  // dx; in al, dx; hlt
  EXPECT_EQ(regs.rax & 0xff, 0x5aU);
  EXPECT_EQ(regs.rip, kEntry + 5);
}

TEST_F(Exit, OfAPortWriteIsCompleteWhenPaused) {
  const auto regs = regs_at_pause("\x66\xba\x00\x05\xee\xf4\xeb\xfd"sv);  // dx; out dx, al; hlt
  EXPECT_EQ(regs.rip, kEntry + 5);
}

TEST_F(Exit, OfAMemoryReadIsCompleteWhenPaused) {
  const auto regs = regs_at_pause("\xa0\x00\x00\x00\xd0\xf4\xeb\xfd"sv);  // mov al, [...]; hlt
  EXPECT_EQ(regs.rax & 0xff, 0x5aU);
  EXPECT_EQ(regs.rip, kEntry + 5);
}

TEST_F(Exit, OfAMemoryWriteIsCompleteWhenPaused) {
  const auto regs = regs_at_pause("\xa2\x00\x00\x00\xd0\xf4\xeb\xfd"sv);  // mov [...], al; hlt
  EXPECT_EQ(regs.rip, kEntry + 5);
}

}  // namespace
}  // namespace vmm

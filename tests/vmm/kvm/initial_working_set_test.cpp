#include "vmm/machine/initial_working_set.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/vmm/kvm/tiny_kernel.hpp"

namespace vmm {
namespace {

using namespace std::string_literals;

class InitialWorkingSet : public TinyKernelTest {
 protected:
  void SetUp() override {
    TinyKernelTest::SetUp();
    if (!IsSkipped()) machine_ = boot("\xeb\xfe"s);  // jmp to itself
  }

  bool has(GuestAddress address, std::size_t most = 64) {
    const auto pages = initial_working_set(*machine_, most);
    return std::ranges::count(pages, address.value / kPageSize) == 1;
  }
  void write(std::uint64_t address, std::uint64_t value) {
    machine_->memory().write(GuestAddress{address}, std::as_bytes(std::span(&value, 1)));
  }

  std::unique_ptr<Machine> machine_;
};

TEST_F(InitialWorkingSet, AreThoseOfInstructionAndStackWithoutPaging) {
  kvm_regs regs = machine_->vcpu(0).regs();
  regs.rsp = 0x505008;
  machine_->vcpu(0).set_regs(regs);
  EXPECT_TRUE(has(GuestAddress{regs.rip}));
  EXPECT_TRUE(has(GuestAddress{0x505000}));
  EXPECT_TRUE(has(GuestAddress{0x504000}));   // its neighbour
  EXPECT_FALSE(has(GuestAddress{0x509000}));  // not of its group
}

TEST_F(InitialWorkingSet, AreFoundThroughThePageTables) {
  // 0xffff800000000000 is 2 MiB of RAM at 0x800000, a large page.
  write(0x300000 + 256 * 8, 0x310003);
  write(0x310000, 0x320003);
  write(0x320000, 0x800083);
  kvm_sregs sregs = machine_->vcpu(0).sregs();
  sregs.cr3 = 0x300000;
  sregs.cr4 |= 0x20;
  sregs.cr0 |= 0x80000001;
  sregs.efer = 0x500;
  machine_->vcpu(0).set_sregs(sregs);
  kvm_regs regs = machine_->vcpu(0).regs();
  regs.rip = 0xffff'8000'0001'5123;
  regs.rsp = 0xffff'9000'0000'0000;  // nothing is mapped there
  machine_->vcpu(0).set_regs(regs);
  for (const std::uint64_t page : {0x300000U, 0x310000U, 0x320000U, 0x815000U}) {
    EXPECT_TRUE(has(GuestAddress{page})) << std::hex << page;
  }
}

TEST_F(InitialWorkingSet, AreThoseOfTheCodeAroundTheInstruction) {
  kvm_regs regs = machine_->vcpu(0).regs();
  regs.rip = 0x605000;
  machine_->vcpu(0).set_regs(regs);
  EXPECT_TRUE(has(GuestAddress{0x600000}));
  EXPECT_TRUE(has(GuestAddress{0x60f000}));
  EXPECT_FALSE(has(GuestAddress{0x610000}));
}

TEST_F(InitialWorkingSet, AreThoseThatRegistersAndTheStackPointTo) {
  kvm_regs regs = machine_->vcpu(0).regs();
  regs.rsp = 0x505c00;
  regs.rbx = 0x701234;
  machine_->vcpu(0).set_regs(regs);
  write(0x505c00, 0x711234);
  write(0x505ff8, 0x721234);  // the last that is looked at
  write(0x506000, 0x731234);
  for (const std::uint64_t page : {0x701000U, 0x711000U, 0x721000U}) {
    EXPECT_TRUE(has(GuestAddress{page})) << std::hex << page;
  }
  EXPECT_FALSE(has(GuestAddress{0x731000}));
}

/// A device that names pages.
class NamingDevice final : public Device {
 public:
  [[nodiscard]] std::string_view id() const override { return "naming"; }
  [[nodiscard]] std::uint32_t version() const override { return 1; }
  void read(std::uint64_t /*offset*/, std::span<std::byte> /*data*/) override {}
  void write(std::uint64_t /*offset*/, std::span<const std::byte> /*data*/) override {}
  [[nodiscard]] std::vector<PageIndex> working_set() override {
    return {0x600, 0x601, 0x600, 0x602, 0x603, 0x604, 0x605, 0x606, 0x607, 0x608, 0x609, 0x60a};
  }
  [[nodiscard]] std::vector<std::byte> save() override { return {}; }
  void load(std::uint32_t /*version*/, std::span<const std::byte> /*bytes*/) override {}
};

TEST_F(InitialWorkingSet, AreThoseThatTheDevicesNameUpToHalfOfAll) {
  machine_->attach_ports(std::make_shared<NamingDevice>(), 0x700, 1);
  EXPECT_TRUE(has(GuestAddress{0x600000}));
  EXPECT_TRUE(has(GuestAddress{0x60a000}));
  const auto pages = initial_working_set(*machine_, 64);
  const auto certain = std::ranges::find(pages, 0x600U) - pages.begin();
  EXPECT_GE(certain, 4);
  // However many of those there are, the devices have their half.
  const auto most = static_cast<std::size_t>(certain + 3);
  for (PageIndex page = 0x600; page < 0x60b; ++page) {
    EXPECT_EQ(has(GuestAddress{page * kPageSize}, most),
              page < 0x600 + std::min<PageIndex>(3, most / 2));
  }
}

TEST_F(InitialWorkingSet, AreBoundedAndNeverOutsideOfRam) {
  kvm_sregs sregs = machine_->vcpu(0).sregs();
  sregs.gdt.base = std::uint64_t{1} << 40;
  machine_->vcpu(0).set_sregs(sregs);
  EXPECT_EQ(initial_working_set(*machine_, 3).size(), 3U);
  for (const PageIndex page : initial_working_set(*machine_, 64)) {
    EXPECT_LT(page, machine_->memory().page_count());
  }
}

}  // namespace
}  // namespace vmm

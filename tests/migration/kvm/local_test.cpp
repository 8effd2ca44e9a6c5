#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "devices/standard.hpp"
#include "tests/migration/kvm/handover_fixture.hpp"
#include "vmm/boot/boot.hpp"

namespace migration {
namespace {

constexpr std::uint64_t kRam = std::uint64_t{32} << 20;

/// A guest in memory that can be handed over.
class LocalHandover : public HandoverTest {
 protected:
  [[nodiscard]] std::unique_ptr<vmm::Machine> run_shared() {
    vmm::MachineConfig config;
    config.id = vmm::make_uuid();
    config.memory_bytes = kRam;
    config.cpus = 2;
    auto machine = make_in(config, vmm::GuestMemory::shared(kRam));
    const std::string work = "tick=2 timer=100 regs fill=8 dirty=500 check";
    vmm::load_kernel(*machine, vmm::BootFiles({FERRY_GUEST_IMAGE, {}, work}), devices::platform());
    machine->resume();
    EXPECT_TRUE(output_.wait_for_tick_lines(1));
    return machine;
  }

  Address receive_shared(const Address& listen) {
    return receive(listen, [this](const vmm::MachineConfig& config, std::uint64_t used,
                                  const MakeRam& make_ram) {
      used_ = used;
      return make_in(config, make_ram(config));
    });
  }

  void expect_arrives() {
    const auto machine = wait_arrived();
    ASSERT_TRUE(machine);
    EXPECT_TRUE(output_.wait_for_tick_lines(2));
    machine->pause();
    EXPECT_FALSE(machine->ended()) << output_.text();
    EXPECT_TRUE(output_.ticks_in_order());
  }

  std::uint64_t used_ = 0;  ///< bytes of RAM that the destination was to have room for

 private:
  [[nodiscard]] std::unique_ptr<vmm::Machine> make_in(const vmm::MachineConfig& config,
                                                      vmm::GuestMemory ram) {
    auto machine = std::make_unique<vmm::Machine>(vmm::Kvm(), config, std::move(ram));
    output_.attach(*machine);
    return machine;
  }
};

TEST_F(LocalHandover, SendsNoPage) {
  const Address to = receive_shared(unix_socket());
  migrate(run_shared(), {.to = to, .verify = true});
  const auto result = wait_ended();
  ASSERT_EQ(result.report.outcome, Outcome::completed) << result.report.error.value_or("");
  EXPECT_EQ(result.report.verified, true);
  EXPECT_EQ(result.report.pages.handed_over, result.report.pages.total);
  EXPECT_EQ(result.report.pages.raw, 0U);
  EXPECT_LT(result.report.wire_bytes, 200'000U);
  EXPECT_EQ(used_, 0U);
  expect_arrives();
}

TEST_F(LocalHandover, IsNoneOverTcp) {
  const Address to = receive_shared(tcp());
  migrate(run_shared(), {.to = to, .verify = true});
  const auto result = wait_ended();
  ASSERT_EQ(result.report.outcome, Outcome::completed) << result.report.error.value_or("");
  EXPECT_EQ(result.report.pages.handed_over, 0U);
  EXPECT_GT(used_, 0U);
  expect_arrives();
}

}  // namespace
}  // namespace migration

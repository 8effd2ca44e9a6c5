#include "vmm/machine/each_vcpu.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <latch>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/vmm/kvm/guest_fixture.hpp"

namespace vmm {
namespace {

class EachVcpu : public GuestTest {
 protected:
  void SetUp() override {
    GuestTest::SetUp();
    if (IsSkipped()) return;
    vm_.emplace(kvm_.emplace());
    vm_->create_irqchip();
    for (std::uint32_t i = 0; i < 16; ++i) {
      vcpus_.push_back(std::make_unique<Vcpu>(
          *kvm_, *vm_, i,
          Vcpu::Host{ports_, mmio_, [](const GuestEnd& end) { ADD_FAILURE() << end.message; },
                     [] { ADD_FAILURE() << "a reset"; }, [] { return false; }}));
    }
  }

  std::optional<Kvm> kvm_;
  std::optional<KvmVm> vm_;
  Bus ports_;
  Bus mmio_;
  std::vector<std::unique_ptr<Vcpu>> vcpus_;
};

TEST_F(EachVcpu, IsWorkedOnOnce) {
  for (int time = 0; time < 200; ++time) {
    std::vector<std::atomic<int>> times(vcpus_.size());
    for_each_vcpu(vcpus_, [&](std::size_t i) { ++times[i]; });
    for (const auto& of_one : times) ASSERT_EQ(of_one, 1);
  }
}

TEST_F(EachVcpu, IsWorkedOnBesideAnother) {
  if (std::thread::hardware_concurrency() < 2) GTEST_SKIP() << "needs two processors";
  std::latch both(2);
  for_each_vcpu(vcpus_, [&](std::size_t i) {
    if (i < 2) both.arrive_and_wait();
  });
}

TEST_F(EachVcpu, TellsTheFirstFailureOnceAllAreDone) {
  std::atomic<int> done = 0;
  const auto work = [&](std::size_t i) {
    ++done;
    if (i == 5 || i == 11) throw std::runtime_error(std::to_string(i));
  };
  try {
    for_each_vcpu(vcpus_, work);
    ADD_FAILURE() << "no failure";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "5");
  }
  EXPECT_EQ(done, 16);
}

TEST_F(EachVcpu, DoesNoErrandThatWasTakenBack) {
  vcpus_[0]->retire();
  vcpus_[0]->join();
  std::atomic<bool> done = false;
  const std::function<void()> errand = [&] { done = true; };
  vcpus_[0]->begin_errand(errand);
  vcpus_[0]->end_errand();
  EXPECT_FALSE(done);
}

}  // namespace
}  // namespace vmm

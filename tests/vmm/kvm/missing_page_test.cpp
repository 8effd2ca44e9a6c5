#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "tests/vmm/kvm/tiny_kernel.hpp"
#include "tests/vmm/memory/userfault_fixture.hpp"

namespace vmm {
namespace {

using namespace std::string_literals;

constexpr PageRange kMissing{0x800000 / kPageSize, 1};
constexpr std::uint64_t kPageTables = 0x200000;
constexpr std::uint8_t kContent = 42;  ///< of each byte

/// How the guest gets to the missing page. Whatever it does, it then ends with that exit
/// code, which no guest can that took the page for zero.
struct Way {
  const char* name;
  int ring;
  bool long_mode;
  std::string code;
  bool fetch = false;  ///< the code itself is in that page
};

// The code means the same in 32-bit and in long mode.
const std::string kExit = "\xe6\xf4\xeb\xfe"s;                      // out 0xf4, al; jmp to itself
const std::string kRead = "\x8a\x04\x25\x00\x00\x80\x00"s + kExit;  // mov al, [0x800000]
const std::string kFetch = "\xb0\x2a"s + kExit;                     // mov al, 42
// mov eax, 1; xadd [0x800000], al
const std::string kWrite = "\xb8\x01\x00\x00\x00\x0f\xc0\x04\x25\x00\x00\x80\x00"s + kExit;
// mov esi, 0x800000; mov edx, 0xf4; outsb; jmp to itself
const std::string kOut = "\xbe\x00\x00\x80\x00\xba\xf4\x00\x00\x00\x6e\xeb\xfe"s;

std::ostream& operator<<(std::ostream& out, const Way& way) {
  return out << way.name << " in ring " << way.ring;
}

std::vector<Way> ways() {
  std::vector<Way> all;
  for (const int ring : {0, 3}) {
    for (const bool long_mode : {false, true}) {
      all.push_back({"Read", ring, long_mode, kRead});
      all.push_back({"Write", ring, long_mode, kWrite});
      all.push_back({"Fetch", ring, long_mode, kFetch, true});
      all.push_back({"Out", ring, long_mode, kOut});
    }
  }
  return all;
}

class MissingPage : public TinyKernelTest, public ::testing::WithParamInterface<Way> {
 protected:
  void SetUp() override {
    TinyKernelTest::SetUp();
    if (IsSkipped()) return;
    try {
      userfault_ = std::make_shared<const Userfault>();
    } catch (const std::system_error& error) {
      GTEST_SKIP() << "needs root, or that its advice is followed: " << error.what();
    }
    machine_ = boot(GetParam().fetch ? kExit : GetParam().code);
    enter();
    userfault_->register_missing(missing());
    machine_->set_userfault(userfault_);
  }

  std::span<std::byte> missing() { return machine_->memory().pages(kMissing); }

  /// The first 16 MiB one to one, for ring 3 too.
  std::vector<std::uint64_t> page_tables() {
    std::vector<std::uint64_t> tables(std::size_t{3} * 512);
    tables[0] = (kPageTables + 0x1000) | 7;
    tables[512] = (kPageTables + 0x2000) | 7;
    for (std::size_t i = 0; i < 8; ++i) tables[1024 + i] = i << 21 | 0xe7;
    return tables;
  }

  void enter() {
    Vcpu& vcpu = machine_->vcpu(0);
    kvm_sregs sregs = vcpu.sregs();
    kvm_regs regs = vcpu.regs();
    if (GetParam().ring == 3) {
      sregs.cs.selector = 0x1b;
      sregs.ss.selector = 0x23;
      sregs.cs.dpl = sregs.ss.dpl = 3;
      sregs.ds = sregs.es = sregs.ss;
      regs.rflags = 0x3002;  // ports are for ring 3 too
    }
    if (GetParam().long_mode) {
      const auto tables = page_tables();
      machine_->memory().write(GuestAddress{kPageTables}, std::as_bytes(std::span(tables)));
      sregs.cr3 = kPageTables;
      sregs.cr4 |= 0x20;        // PAE
      sregs.cr0 |= 0x80000000;  // PG
      sregs.efer = 0x500;       // LME, LMA
      sregs.cs.db = 0;
      sregs.cs.l = 1;
    }
    if (GetParam().fetch) regs.rip = 0x800000;
    vcpu.set_sregs(sregs);
    vcpu.set_regs(regs);
  }

  /// Resumes the guest, and returns when it waits.
  [[nodiscard]] ::testing::AssertionResult run_into_the_page() {
    machine_->resume();
    if (next_fault(*userfault_) == missing().data()) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "it does not wait for the page: " << describe();
  }
  std::string describe() {
    const auto end = machine_->ended();
    return end ? end->message : "still runs"s;
  }

  void install() {
    auto page = pages_of(kContent);
    if (GetParam().fetch) {
      std::memcpy(page.data(), GetParam().code.data(), GetParam().code.size());
    }
    EXPECT_EQ(userfault_->copy(missing().data(), page).bytes, kPageSize);
  }
  void expect_the_right_end() {
    const auto end = wait_end(*machine_);
    ASSERT_TRUE(end);
    EXPECT_EQ(end->kind, GuestEnd::Kind::exit_code) << end->message;
    EXPECT_EQ(end->code, kContent);
  }

  std::shared_ptr<const Userfault> userfault_;
  std::unique_ptr<Machine> machine_;
};

TEST_P(MissingPage, IsWaitedForAndTheGuestGoesOn) {
  ASSERT_TRUE(run_into_the_page());
  install();
  expect_the_right_end();
  if (GetParam().code == kWrite) {
    EXPECT_EQ(missing()[0], std::byte{kContent + 1});
  }
}

TEST_P(MissingPage, HoldsUpNoPauseAndTheGuestGoesOnLater) {
  ASSERT_TRUE(run_into_the_page());
  for (int i = 0; i < 3; ++i) {
    machine_->pause();
    EXPECT_FALSE(machine_->running());
    if (!machine_->vcpu(0).stopped()) {
      EXPECT_THROW(static_cast<void>(machine_->save()), std::logic_error);
    }
    machine_->resume();
  }
  machine_->pause();
  install();
  machine_->vcpu(0).wait_paused();
  machine_->resume();
  expect_the_right_end();
}

// Nothing is heard of what the guest makes of a page that is not there.
TEST_P(MissingPage, HoldsUpNoEndOfTheMachine) {
  ASSERT_TRUE(run_into_the_page());
  bool ended = false;
  machine_->on_end([&] { ended = true; });
  machine_.reset();
  EXPECT_FALSE(ended);
}

TEST_P(MissingPage, StaysMissingWhenWhoBringsItIsGone) {
  ASSERT_TRUE(run_into_the_page());
  userfault_.reset();
  machine_->pause();
  EXPECT_FALSE(machine_->ended()) << describe();
}

INSTANTIATE_TEST_SUITE_P(EachWay, MissingPage, ::testing::ValuesIn(ways()), [](const auto& way) {
  return way.param.name + "InRing"s + std::to_string(way.param.ring) +
         (way.param.long_mode ? "LongMode" : "");
});

}  // namespace
}  // namespace vmm

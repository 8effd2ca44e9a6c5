#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tests/vmm/kvm/guest_fixture.hpp"
#include "vmm/kvm/kvm.hpp"

namespace vmm {
namespace {

std::string refusal_of(const MachineConfig& config) {
  try {
    const Machine machine(Kvm(), config);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}

class Config : public GuestTest {
 protected:
  /// As a machine of this host gives it to another host.
  [[nodiscard]] MachineConfig config() { return make_guest("")->config(); }

  static void expect_refused(const MachineConfig& config, std::string_view words) {
    const std::string why = refusal_of(config);
    EXPECT_NE(why.find(words), std::string::npos) << why;
  }
};

kvm_cpuid_entry2& leaf_of(MachineConfig& config, std::uint32_t function) {
  const auto found = std::ranges::find(config.cpuid, function, &kvm_cpuid_entry2::function);
  if (found == config.cpuid.end()) throw std::runtime_error("this host's CPUID lacks a leaf");
  return *found;
}

bool shows_arch_capabilities(MachineConfig& config) {
  return (leaf_of(config, 7).edx >> 29 & 1) != 0;
}

TEST_F(Config, OfThisHostIsAccepted) {
  const MachineConfig made = config();
  EXPECT_FALSE(made.cpuid.empty());
  EXPECT_GT(made.tsc_khz, 0U);
  EXPECT_GE(made.needs.xsave_bytes, 4096U);
  EXPECT_GT(made.needs.msrs.size(), 20U);
  EXPECT_EQ(refusal_of(made), "accepted");
  EXPECT_EQ(refusal_of(machine_config_from_json(to_json(made))), "accepted");
}

// No host of Ferry's gives VMX or SVM to a guest, whatever its CPU has.
TEST_F(Config, WithACpuFeatureThatTheHostLacksIsRefusedByItsName) {
  MachineConfig wanted = config();
  for (kvm_cpuid_entry2& entry : wanted.cpuid) {
    if (entry.function == 1) entry.ecx |= 1U << 5;
  }
  EXPECT_NE(refusal_of(wanted).find("vmx (CPUID leaf 0x1.0 ECX bit 5)"), std::string::npos)
      << refusal_of(wanted);
}

TEST_F(Config, WithACpuFeatureInALeafThatTheHostLacksIsRefused) {
  MachineConfig wanted = config();
  std::erase_if(wanted.cpuid, [](const auto& entry) { return entry.function == 0x80000001; });
  kvm_cpuid_entry2 entry{};
  entry.function = 0x80000001;
  entry.ecx = 1U << 2;
  wanted.cpuid.push_back(entry);
  EXPECT_NE(refusal_of(wanted).find("svm (CPUID leaf 0x80000001.0 ECX bit 2)"), std::string::npos)
      << refusal_of(wanted);
}

TEST_F(Config, WithAPromiseThatTheCpuDoesNotMakeIsRefusedByItsBit) {
  MachineConfig wanted = config();
  wanted.needs.arch_capabilities |= std::uint64_t{1} << 61;  // nobody has it yet
  if (shows_arch_capabilities(wanted)) {
    expect_refused(wanted, "IA32_ARCH_CAPABILITIES bit 61");
  } else {
    EXPECT_EQ(refusal_of(wanted), "accepted");
  }
}

TEST_F(Config, WithoutAWarningOfTheCpuIsRefusedByItsBit) {
  constexpr std::uint64_t kRsba = 1U << 2;
  MachineConfig wanted = config();
  const bool warns = (wanted.needs.arch_capabilities & kRsba) != 0;
  wanted.needs.arch_capabilities &= ~kRsba;
  if (shows_arch_capabilities(wanted) && warns) {
    expect_refused(wanted, "rsba (IA32_ARCH_CAPABILITIES bit 2)");
  } else {
    EXPECT_EQ(refusal_of(wanted), "accepted");
  }
}

// A host that promises more is none the worse, and the guest's next host needs no more than the
// guest relies on.
TEST_F(Config, KeepsWhatTheGuestReliesOn) {
  constexpr std::uint64_t kWarnings = 1U << 2 | 1U << 19;
  MachineConfig wanted = config();
  wanted.needs.arch_capabilities &= kWarnings;
  ASSERT_EQ(refusal_of(wanted), "accepted");
  const Machine machine(Kvm(), wanted);
  EXPECT_EQ(machine.config().needs.arch_capabilities, wanted.needs.arch_capabilities);
}

TEST_F(Config, WithAnXsaveComponentThatLiesElsewhereIsRefusedByItsName) {
  MachineConfig wanted = config();
  for (kvm_cpuid_entry2& entry : wanted.cpuid) {
    if (entry.function == 0xd && entry.index == 2) entry.ebx += 64;
  }
  if ((leaf_of(wanted, 0xd).eax & 4) != 0) {
    expect_refused(wanted, "avx (XSAVE component 2)");
  } else {
    EXPECT_EQ(refusal_of(wanted), "accepted");
  }
}

TEST_F(Config, WithWiderPhysicalAddressesIsRefused) {
  MachineConfig wanted = config();
  kvm_cpuid_entry2& leaf = leaf_of(wanted, 0x80000008);
  leaf.eax += 1;
  expect_refused(wanted, "MAXPHYADDR");
  leaf.eax -= 3;
  EXPECT_EQ(refusal_of(wanted), "accepted");
}

TEST_F(Config, WithAnotherSizeOfStateIsRefused) {
  MachineConfig wanted = config();
  wanted.needs.xsave_bytes += 64;
  expect_refused(wanted, "XSAVE area");
  wanted = config();
  wanted.needs.event_flags |= 1U << 31;
  expect_refused(wanted, "flag 31 of KVM_GET_VCPU_EVENTS");
}

TEST_F(Config, WithAnMsrThatCannotBeSetIsRefusedByItsNumber) {
  MachineConfig wanted = config();
  wanted.needs.msrs.push_back(0x40000000);  // Hyper-V's, which no guest has
  expect_refused(wanted, "MSR 0x40000000");
}

// As another release of KVM may list it. The guest's next host is to get it too.
TEST_F(Config, WithAnMsrThatKvmDoesNotListIsAcceptedWhereItCanBeSet) {
  constexpr std::uint32_t kEfer = 0xc0000080;
  MachineConfig wanted = config();
  ASSERT_EQ(std::ranges::count(wanted.needs.msrs, kEfer), 0);
  wanted.needs.msrs.push_back(kEfer);
  const Machine machine(Kvm(), wanted);
  EXPECT_EQ(std::ranges::count(machine.config().needs.msrs, kEfer), 1);
}

TEST_F(Config, OutOfBoundsIsRefused) {
  for (const std::uint32_t cpus : {0U, kMaxCpus + 1}) {
    MachineConfig wanted = config();
    wanted.cpus = cpus;
    EXPECT_NE(refusal_of(wanted).find("vCPUs"), std::string::npos) << refusal_of(wanted);
  }
  for (const std::uint64_t bytes : {std::uint64_t{0}, 1_MiB, 32_MiB + 4096}) {
    MachineConfig wanted = config();
    wanted.memory_bytes = bytes;
    EXPECT_NE(refusal_of(wanted), "accepted") << bytes;
  }
}

TEST_F(Config, WithAnotherTscFrequencyIsRefusedWhereItCannotBeScaled) {
  if (Kvm().check_extension(KVM_CAP_TSC_CONTROL) != 0) {
    GTEST_SKIP() << "this host can scale a guest's TSC";
  }
  MachineConfig wanted = config();
  wanted.tsc_khz += wanted.tsc_khz / 1000;
  EXPECT_NE(refusal_of(wanted).find("TSC"), std::string::npos) << refusal_of(wanted);
  wanted = config();
  wanted.tsc_khz += wanted.tsc_khz / 10'000;  // what two hosts of one model differ by
  EXPECT_EQ(refusal_of(wanted), "accepted");
}

TEST(KvmDevice, IsUnavailableWhereThereIsNone) {
  for (const char* path : {"/nonexistent/kvm", "/dev/null"}) {
    try {
      const Kvm kvm(path);
      ADD_FAILURE() << path;
    } catch (const KvmUnavailable& error) {
      EXPECT_FALSE(error.permission());
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
    }
  }
}

// A guest from an older kernel: it can go back there.
TEST_F(Config, SavesNoMoreThanTheGuestCameWith) {
  MachineConfig wanted = config();
  const std::uint32_t unknown = wanted.needs.msrs.back();
  wanted.needs.msrs.pop_back();
  wanted.needs.event_flags &= ~static_cast<std::uint32_t>(KVM_VCPUEVENT_VALID_PAYLOAD);
  Machine machine(Kvm(), wanted);
  EXPECT_EQ(std::ranges::count(machine.config().needs.msrs, unknown), 0);
  EXPECT_EQ(machine.config().needs.msrs.size(), wanted.needs.msrs.size());
  const MachineState state = machine.save();
  const StateSection* const msrs = state.find("vcpu0/msrs");
  ASSERT_NE(msrs, nullptr);
  EXPECT_EQ(msrs->data.size(), wanted.needs.msrs.size() * sizeof(kvm_msr_entry));
  kvm_vcpu_events events{};
  std::memcpy(&events, state.find("vcpu0/events")->data.data(), sizeof(events));
  EXPECT_EQ(events.flags & ~wanted.needs.event_flags, 0U);
}

}  // namespace
}  // namespace vmm

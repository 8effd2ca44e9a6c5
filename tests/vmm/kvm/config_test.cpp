#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

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
};

TEST_F(Config, OfThisHostIsAccepted) {
  const MachineConfig made = config();
  EXPECT_FALSE(made.cpuid.empty());
  EXPECT_GT(made.tsc_khz, 0U);
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

}  // namespace
}  // namespace vmm

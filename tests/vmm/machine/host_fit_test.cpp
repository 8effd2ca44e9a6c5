#include "vmm/machine/host_fit.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace vmm {
namespace {

using Cpuid = std::vector<kvm_cpuid_entry2>;

constexpr std::uint32_t kXsave = 0xd;
constexpr std::uint32_t kArchCapabilitiesShown = 1U << 29;
constexpr std::uint64_t kRsba = 1U << 2;
constexpr std::uint64_t kRrsba = 1U << 19;

kvm_cpuid_entry2 row(std::uint32_t function, std::uint32_t index, std::uint32_t eax,
                     std::uint32_t ebx = 0, std::uint32_t ecx = 0, std::uint32_t edx = 0) {
  kvm_cpuid_entry2 entry{};
  entry.function = function;
  entry.index = index;
  entry.flags = function == 7 || function == kXsave ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
  entry.eax = eax;
  entry.ebx = ebx;
  entry.ecx = ecx;
  entry.edx = edx;
  return entry;
}

/// A CPU with AVX and protection keys, whose registers lie in an XSAVE area where there is AVX-512.
Cpuid example_cpuid() {
  return {row(7, 0, 0, 0, 0, kArchCapabilitiesShown),
          row(kXsave, 0, 0x207),
          row(kXsave, 1, 0, 0, 1U << 11),  // the shadow stack's state, by IA32_XSS
          row(kXsave, 2, 256, 576),
          row(kXsave, 9, 8, 2432),
          row(kXsave, 11, 16, 0),
          row(0x80000008, 0, 0x302e)};
}

kvm_cpuid_entry2& leaf_of(Cpuid& cpuid, std::uint32_t function, std::uint32_t index = 0) {
  for (kvm_cpuid_entry2& entry : cpuid) {
    if (entry.function == function && entry.index == index) return entry;
  }
  ADD_FAILURE() << "no leaf " << function << "." << index;
  return cpuid.front();
}

MachineConfig example_guest() {
  MachineConfig config;
  config.cpuid = example_cpuid();
  config.needs = {.arch_capabilities = 0x61,  // rdcl_no, mds_no, pschange_mc_no
                  .xsave_bytes = 4096,
                  .event_flags = 0x1f,
                  .msrs = {0x10, 0x277, 0x6e0}};
  return config;
}

std::string cpuid_refusal(const Cpuid& guest, const Cpuid& host) {
  return cpuid_misfit(guest, host).value_or("fits");
}

std::string refusal(const MachineConfig& guest, const HostNeeds& host) {
  return state_misfit(guest, host).value_or("fits");
}

bool has(const std::string& text, std::string_view words) {
  return text.find(words) != std::string::npos;
}

TEST(HostFit, OfAnEqualHost) {
  EXPECT_EQ(cpuid_refusal(example_cpuid(), example_cpuid()), "fits");
  EXPECT_EQ(refusal(example_guest(), example_guest().needs), "fits");
}

TEST(HostFit, NamesTheFeatureThatIsMissing) {
  Cpuid guest = example_cpuid();
  leaf_of(guest, 7).ebx |= 1U << 5;
  const std::string why = cpuid_refusal(guest, example_cpuid());
  EXPECT_TRUE(has(why, "lacks avx2 (CPUID leaf 0x7.0 EBX bit 5): choose a host")) << why;
}

TEST(HostFit, NamesTheXsaveComponentThatLiesElsewhere) {
  struct Case {
    std::uint32_t component;
    std::uint32_t size;
    std::uint32_t offset;
    std::string_view words;
  };
  for (const Case& host : {Case{9, 8, 832, "pkru (XSAVE component 9) with 8 bytes at offset 2432"},
                           Case{9, 16, 2432, "pkru (XSAVE component 9)"},
                           Case{2, 256, 1024, "avx (XSAVE component 2)"},
                           Case{11, 24, 0, "cet_u (XSAVE component 11)"}}) {
    Cpuid cpuid = example_cpuid();
    leaf_of(cpuid, kXsave, host.component).eax = host.size;
    leaf_of(cpuid, kXsave, host.component).ebx = host.offset;
    const std::string why = cpuid_refusal(example_cpuid(), cpuid);
    EXPECT_TRUE(has(why, host.words)) << why;
    EXPECT_TRUE(has(why, "choose a host")) << why;
  }
  Cpuid without = example_cpuid();
  std::erase_if(without, [](const auto& entry) { return entry.index == 9; });
  EXPECT_TRUE(has(cpuid_refusal(example_cpuid(), without), "pkru"));
}

TEST(HostFit, NamesAnXsaveComponentThatHasNoName) {
  Cpuid guest = example_cpuid();
  leaf_of(guest, kXsave).edx = 1U << 30;  // 62
  Cpuid host = guest;
  host.push_back(row(kXsave, 62, 64, 4096));
  const std::string why = cpuid_refusal(guest, host);
  EXPECT_TRUE(has(why, "has XSAVE component 62 with 0 bytes")) << why;
}

// A host may have more, and have it anywhere.
TEST(HostFit, MindsNoXsaveComponentThatTheGuestCannotEnable) {
  Cpuid guest = example_cpuid();
  leaf_of(guest, kXsave).eax = 0x7;
  Cpuid host = example_cpuid();
  leaf_of(host, kXsave, 9).ebx = 832;
  EXPECT_EQ(cpuid_refusal(guest, host), "fits");
}

TEST(HostFit, NeedsNoFewerPhysicalAddressBits) {
  Cpuid narrow = example_cpuid();
  leaf_of(narrow, 0x80000008).eax = 0x3027;
  EXPECT_EQ(cpuid_refusal(narrow, example_cpuid()), "fits");
  const std::string why = cpuid_refusal(example_cpuid(), narrow);
  EXPECT_TRUE(has(why, "46 bits (MAXPHYADDR")) << why;
  EXPECT_TRUE(has(why, "this host's of 39: choose")) << why;
  Cpuid silent = example_cpuid();
  std::erase_if(silent, [](const auto& entry) { return entry.function == 0x80000008; });
  EXPECT_TRUE(has(cpuid_refusal(example_cpuid(), silent), "this host's of 36"));
}

// Each bit of IA32_ARCH_CAPABILITIES, in each direction.
TEST(HostFit, NeedsWhatTheCpuPromisesAndNoWarningMore) {
  for (unsigned bit = 0; bit < 64; ++bit) {
    const std::uint64_t mask = std::uint64_t{1} << bit;
    const bool warning = (mask & (kRsba | kRrsba)) != 0;
    const bool of_hypervisors = bit == 3;  // no guest minds
    MachineConfig guest = example_guest();
    HostNeeds host = guest.needs;
    guest.needs.arch_capabilities |= mask;
    host.arch_capabilities &= ~mask;
    const std::string place = "IA32_ARCH_CAPABILITIES bit " + std::to_string(bit);
    EXPECT_EQ(has(refusal(guest, host), place), !warning && !of_hypervisors)
        << refusal(guest, host);
    std::swap(guest.needs.arch_capabilities, host.arch_capabilities);
    EXPECT_EQ(has(refusal(guest, host), place), warning) << refusal(guest, host);
  }
}

TEST(HostFit, NamesTheBitOfArchCapabilities) {
  struct Case {
    unsigned bit;
    std::string_view words;
  };
  for (const auto& [bit, words] : {Case{0, "relies on rdcl_no (IA32"}, Case{5, "relies on mds_no"},
                                   Case{26, "relies on gds_no"}, Case{28, "relies on rfds_clear"},
                                   Case{62, "relies on its_no"}, Case{40, "relies on IA32_ARCH"}}) {
    MachineConfig guest = example_guest();
    HostNeeds host = guest.needs;
    guest.needs.arch_capabilities |= std::uint64_t{1} << bit;
    host.arch_capabilities &= ~(std::uint64_t{1} << bit);
    EXPECT_TRUE(has(refusal(guest, host), words)) << refusal(guest, host);
  }
  for (const auto& [bit, words] : {Case{2, "warns of rsba ("}, Case{19, "warns of rrsba ("}}) {
    HostNeeds host = example_guest().needs;
    host.arch_capabilities |= std::uint64_t{1} << bit;
    EXPECT_TRUE(has(refusal(example_guest(), host), words)) << refusal(example_guest(), host);
  }
}

TEST(HostFit, MindsNoArchCapabilitiesThatTheGuestCannotRead) {
  MachineConfig guest = example_guest();
  leaf_of(guest.cpuid, 7).edx = 0;
  HostNeeds host = guest.needs;
  host.arch_capabilities = kRsba;
  EXPECT_EQ(refusal(guest, host), "fits");
}

TEST(HostFit, NeedsAnXsaveAreaOfTheSameSize) {
  for (const std::uint32_t bytes : {8192U, 2816U}) {
    HostNeeds host = example_guest().needs;
    host.xsave_bytes = bytes;
    const std::string why = refusal(example_guest(), host);
    EXPECT_TRUE(has(why, "4096 bytes and this host's " + std::to_string(bytes))) << why;
  }
}

TEST(HostFit, NeedsWhatSavedEventsTell) {
  MachineConfig guest = example_guest();
  guest.needs.event_flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
  const std::string why = refusal(guest, example_guest().needs);
  EXPECT_TRUE(has(why, "triple_fault (flag 5 of KVM_GET_VCPU_EVENTS)")) << why;
  EXPECT_EQ(refusal(example_guest(), guest.needs), "fits");
  guest.needs.event_flags |= 1U << 31;
  EXPECT_TRUE(has(refusal(guest, HostNeeds(example_guest().needs)), "flag"));
}

TEST(HostFit, NamesTheMsrThatCannotBeSet) {
  MachineConfig guest = example_guest();
  guest.needs.msrs.push_back(0xc001011f);
  const std::string why = refusal(guest, example_guest().needs);
  EXPECT_TRUE(has(why, "MSR 0xc001011f, which this host's KVM cannot set: choose a host")) << why;
  EXPECT_EQ(refusal(example_guest(), guest.needs), "fits");
}

}  // namespace
}  // namespace vmm

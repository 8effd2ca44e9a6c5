#include <gtest/gtest.h>

#include "vmm/machine/cpuid.hpp"

namespace vmm {
namespace {

using Cpuid = std::vector<kvm_cpuid_entry2>;

kvm_cpuid_entry2 cpuid_leaf(std::uint32_t function, std::uint32_t index = 0) {
  kvm_cpuid_entry2 entry{};
  entry.function = function;
  entry.index = index;
  return entry;
}

const kvm_cpuid_entry2& find(const Cpuid& cpuid, std::uint32_t function, std::uint32_t index = 0) {
  for (const auto& entry : cpuid) {
    if (entry.function == function && entry.index == index) return entry;
  }
  ADD_FAILURE() << "no leaf 0x" << std::hex << function << "." << index;
  static const kvm_cpuid_entry2 none{};
  return none;
}

/// As a host of eight cores of two threads has it.
Cpuid intel() {
  Cpuid cpuid = {cpuid_leaf(0),    cpuid_leaf(1),      cpuid_leaf(4, 0),   cpuid_leaf(4, 3),
                 cpuid_leaf(4, 4), cpuid_leaf(0xb, 0), cpuid_leaf(0xb, 1), cpuid_leaf(0x1f, 0)};
  cpuid[0].ebx = 0x756e6547;  // "Genu"
  cpuid[1].ebx = 0x07108a00;
  cpuid[2].eax = 0x1c004121;  // level 1
  cpuid[3].eax = 0x1c03c163;  // level 3
  cpuid[5] = cpuid_leaf(0xb, 0);
  cpuid[5].eax = 1;
  cpuid[5].ebx = 2;
  return cpuid;
}

Cpuid amd() {
  Cpuid cpuid = {cpuid_leaf(0),
                 cpuid_leaf(1),
                 cpuid_leaf(0x80000001),
                 cpuid_leaf(0x80000008),
                 cpuid_leaf(0x8000001d),
                 cpuid_leaf(0x8000001e),
                 cpuid_leaf(0x8000001d, 3),
                 cpuid_leaf(0x80000026)};
  cpuid[0].ebx = 0x68747541;  // "Auth"
  cpuid[3].ecx = 0x0001700f;
  cpuid[4].eax = 0x00004121;
  cpuid[5].ebx = 0x0100;  // two threads a core
  cpuid[6].eax = 0x0001c163;
  return cpuid;
}

TEST(CpuidTopology, GivesEachVcpuItsApicId) {
  const auto third = cpuid_for_vcpu(intel(), 2, 4);
  EXPECT_EQ(find(third, 1).ebx, 0x02048a00U);
  EXPECT_NE(find(third, 1).edx & 1U << 28, 0U);  // HTT: more than one
  EXPECT_EQ(find(third, 0xb, 0).edx, 2U);
  EXPECT_EQ(find(third, 0xb, 1).edx, 2U);
}

TEST(CpuidTopology, SaysNothingOfOthersToASingleVcpu) {
  const auto only = cpuid_for_vcpu(intel(), 0, 1);
  EXPECT_EQ(find(only, 1).ebx, 0x00018a00U);
  EXPECT_EQ(find(only, 1).edx & 1U << 28, 0U);
  EXPECT_EQ(find(only, 4, 3).eax, 0x00000163U);
  EXPECT_EQ(find(only, 0xb, 1).eax, 0U);
  EXPECT_EQ(find(only, 0xb, 1).ebx, 1U);
}

TEST(CpuidTopology, IsOneSocketWithACoreForEachVcpu) {
  const auto cpuid = cpuid_for_vcpu(intel(), 0, 3);
  const auto& thread = find(cpuid, 0xb, 0);
  EXPECT_EQ(thread.eax, 0U);
  EXPECT_EQ(thread.ebx, 1U);
  EXPECT_EQ(thread.ecx, 0x100U);
  const auto& core = find(cpuid, 0xb, 1);
  EXPECT_EQ(core.eax, 2U);  // bits of an APIC id that name the core
  EXPECT_EQ(core.ebx, 3U);
  EXPECT_EQ(core.ecx, 0x201U);
  EXPECT_NE(core.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX, 0U);
}

TEST(CpuidTopology, SharesTheLastCacheOnly) {
  const auto cpuid = cpuid_for_vcpu(intel(), 0, 4);
  EXPECT_EQ(find(cpuid, 4, 0).eax, 3U << 26 | 0x121U);
  EXPECT_EQ(find(cpuid, 4, 3).eax, 3U << 26 | 3U << 14 | 0x163U);
  EXPECT_EQ(find(cpuid, 4, 4).eax, 0U);  // no more caches
}

TEST(CpuidTopology, LeavesOutLevelsThatTheGuestDoesNotHave) {
  for (const Cpuid& host : {intel(), amd()}) {
    for (const auto& entry : cpuid_for_vcpu(host, 0, 2)) {
      EXPECT_NE(entry.function, 0x1fU);
      EXPECT_NE(entry.function, 0x80000026U);
    }
  }
}

TEST(CpuidTopology, CountsCoresAsAmdDoes) {
  const auto second = cpuid_for_vcpu(amd(), 1, 3);
  EXPECT_NE(find(second, 0x80000001).ecx & 1U << 1, 0U);
  EXPECT_EQ(find(second, 0x80000008).ecx, 0x00012002U);
  EXPECT_EQ(find(second, 0x8000001e).eax, 1U);
  EXPECT_EQ(find(second, 0x8000001e).ebx, 1U);
  EXPECT_EQ(find(second, 0x8000001d, 0).eax, 0x121U);
  EXPECT_EQ(find(second, 0x8000001d, 3).eax, 2U << 14 | 0x163U);
  EXPECT_EQ(find(cpuid_for_vcpu(amd(), 0, 1), 0x80000001).ecx & 1U << 1, 0U);
}

}  // namespace
}  // namespace vmm

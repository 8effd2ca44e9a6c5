#include "vmm/machine/cpuid.hpp"

#include <gtest/gtest.h>

namespace vmm {
namespace {

kvm_cpuid_entry2 leaf(std::uint32_t function, std::uint32_t index = 0) {
  kvm_cpuid_entry2 entry{};
  entry.function = function;
  entry.index = index;
  entry.flags = function == 7 || function == 0xd ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
  return entry;
}

std::vector<kvm_cpuid_entry2> example() {
  std::vector<kvm_cpuid_entry2> cpuid = {leaf(1), leaf(7, 0), leaf(7, 1), leaf(0xb)};
  cpuid[0].ecx = 1U << 20 | 1U << 26;  // sse4_2, xsave
  cpuid[1].ebx = 1U << 5;              // avx2
  return cpuid;
}

TEST(Cpuid, HasNothingOfNestedVirtualization) {
  std::vector<kvm_cpuid_entry2> host = {leaf(1), leaf(0x80000001), leaf(0x8000000a),
                                        leaf(0x8000001e)};
  host[0].ecx = 1U << 5 | 1U << 20;  // VMX, and SSE 4.2
  host[1].ecx = 1U << 2 | 1U << 5;   // SVM, and ABM
  host[2].edx = 0x1;                 // nested paging
  const auto guest = without_what_stays(host, false);
  ASSERT_EQ(guest.size(), 3U);
  EXPECT_EQ(guest[0].ecx, 1U << 20 | 1U << 31);  // and that there is a hypervisor
  EXPECT_EQ(guest[1].ecx, 1U << 5);
  EXPECT_EQ(guest[2].function, 0x8000001eU);
}

TEST(Cpuid, FitsAnEqualAndARicherHost) {
  EXPECT_EQ(first_missing_feature(example(), example()), std::nullopt);
  auto richer = example();
  richer[1].ebx |= 1U << 16;
  EXPECT_EQ(first_missing_feature(example(), richer), std::nullopt);
}

TEST(Cpuid, NamesTheBitThatIsMissing) {
  auto wanted = example();
  wanted[1].ebx |= 1U << 16;
  EXPECT_EQ(first_missing_feature(wanted, example()), "avx512f (CPUID leaf 0x7.0 EBX bit 16)");
  wanted = example();
  wanted[2].eax |= 1U << 31;  // nobody has named it yet
  EXPECT_EQ(first_missing_feature(wanted, example()), "CPUID leaf 0x7.1 EAX bit 31");
}

TEST(Cpuid, NamesAVendorThatIsAnother) {
  auto wanted = example();
  wanted.push_back(leaf(0));
  wanted.back().ebx = 0x756e6547;  // "Genu", "ineI", "ntel"
  wanted.back().edx = 0x49656e69;
  wanted.back().ecx = 0x6c65746e;
  auto host = example();
  host.push_back(leaf(0));
  host.back().ebx = 0x68747541;  // "Auth", "enti", "cAMD"
  host.back().edx = 0x69746e65;
  host.back().ecx = 0x444d4163;
  EXPECT_EQ(first_missing_feature(wanted, wanted), std::nullopt);
  EXPECT_EQ(first_missing_feature(wanted, host),
            "what a CPU of GenuineIntel has (it is one of AuthenticAMD)");
}

TEST(Cpuid, ComparesTheSupervisorStatesOfXsave) {
  auto wanted = example();
  wanted.push_back(leaf(0xd, 1));
  wanted.back().ecx = 1U << 11;
  EXPECT_EQ(first_missing_feature(wanted, example()), "xss_cet_u (CPUID leaf 0xd.1 ECX bit 11)");
}

TEST(Cpuid, MissesAllOfALeafThatTheHostLacks) {
  auto host = example();
  std::erase_if(host, [](const kvm_cpuid_entry2& entry) { return entry.function == 7; });
  EXPECT_EQ(first_missing_feature(example(), host), "avx2 (CPUID leaf 0x7.0 EBX bit 5)");
}

TEST(Cpuid, DoesNotCountBitsThatMirrorTheGuestsOwnState) {
  auto wanted = example();
  wanted[0].ecx |= 1U << 27;  // OSXSAVE
  wanted[1].ecx |= 1U << 4;   // OSPKE
  EXPECT_EQ(first_missing_feature(wanted, example()), std::nullopt);
}

}  // namespace
}  // namespace vmm

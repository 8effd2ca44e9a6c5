#include <algorithm>
#include <bit>

#include "vmm/machine/cpuid.hpp"

namespace vmm {

namespace {

constexpr std::uint32_t kAuth = 0x68747541;  // "AuthenticAMD"
constexpr std::uint32_t kHygo = 0x6f677948;  // "HygonGenuine"

std::uint32_t with_bits(std::uint32_t word, unsigned low, unsigned count, std::uint32_t value) {
  const std::uint32_t mask = ((1U << count) - 1) << low;
  return (word & ~mask) | (value << low & mask);
}

std::uint32_t with_bit(std::uint32_t word, unsigned bit, bool on) {
  return with_bits(word, bit, 1, on ? 1 : 0);
}

bool is_amd(const std::vector<kvm_cpuid_entry2>& cpuid) {
  return std::ranges::any_of(cpuid, [](const kvm_cpuid_entry2& entry) {
    return entry.function == 0 && (entry.ebx == kAuth || entry.ebx == kHygo);
  });
}

/// How many vCPUs use one cache, less one: its own core alone up to level 2, all above.
std::uint32_t with_sharing(std::uint32_t eax, std::uint32_t all) {
  const std::uint32_t type = eax & 0x1f;
  const std::uint32_t level = eax >> 5 & 0x7;
  return type == 0 ? eax : with_bits(eax, 14, 12, level >= 3 ? all : 0);
}

/// Leaf 0xb, level by level: a thread a core, then `cpus` in the socket.
void replace_levels(std::vector<kvm_cpuid_entry2>& cpuid, std::uint32_t index, std::uint32_t cpus,
                    std::uint32_t id_bits) {
  constexpr std::uint32_t kThreadLevel = 1U << 8;
  constexpr std::uint32_t kCoreLevel = 2U << 8;
  const auto erased = std::erase_if(cpuid, [](const kvm_cpuid_entry2& entry) {
    // Those that describe more levels (dies, complexes) than a guest has here go altogether.
    return entry.function == 0xb || entry.function == 0x1f || entry.function == 0x80000026;
  });
  if (erased == 0) return;
  kvm_cpuid_entry2 level{};
  level.function = 0xb;
  level.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
  level.ebx = 1;
  level.ecx = kThreadLevel;
  level.edx = index;
  cpuid.push_back(level);
  level.index = 1;
  level.eax = id_bits;
  level.ebx = cpus;
  level.ecx = kCoreLevel | 1;
  cpuid.push_back(level);
}

}  // namespace

std::vector<kvm_cpuid_entry2> cpuid_for_vcpu(std::vector<kvm_cpuid_entry2> cpuid,
                                             std::uint32_t index, std::uint32_t cpus) {
  const bool amd = is_amd(cpuid);
  const auto id_bits = static_cast<std::uint32_t>(std::bit_width(cpus - 1));
  const std::uint32_t last_id = (1U << id_bits) - 1;
  for (kvm_cpuid_entry2& entry : cpuid) {
    switch (entry.function) {
      case 0x1:
        entry.ebx = with_bits(entry.ebx, 16, 16, index << 8 | (last_id + 1));
        entry.edx = with_bit(entry.edx, 28, cpus > 1);  // HTT
        break;
      case 0x4:
        entry.eax = with_sharing(entry.eax, last_id);
        if ((entry.eax & 0x1f) != 0) entry.eax = with_bits(entry.eax, 26, 6, last_id);
        break;
      case 0x80000001:
        if (amd) entry.ecx = with_bit(entry.ecx, 1, cpus > 1);  // CmpLegacy: cores, not threads
        break;
      case 0x80000008:
        if (amd) entry.ecx = with_bits(with_bits(entry.ecx, 0, 8, cpus - 1), 12, 4, id_bits);
        break;
      case 0x8000001d: entry.eax = with_sharing(entry.eax, cpus - 1); break;
      case 0x8000001e:
        entry.eax = index;
        entry.ebx = index;  // core id; one thread
        entry.ecx = 0;      // node 0 of one
        break;
      default: break;
    }
  }
  replace_levels(cpuid, index, cpus, id_bits);
  return cpuid;
}

}  // namespace vmm

#include "vmm/machine/host_fit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "vmm/machine/cpuid.hpp"

namespace vmm {

namespace {

using Cpuid = std::vector<kvm_cpuid_entry2>;

constexpr std::uint32_t kXsaveLeaf = 0xd;
constexpr unsigned kFirstExtended = 2;  ///< x87 and SSE have their fixed places before it
constexpr std::string_view kXsaveComponents =
    "x87 sse avx bndregs bndcsr opmask zmm_hi256 hi16_zmm pt pkru pasid cet_u cet_s hdc uintr lbr "
    "hwp xtilecfg xtiledata apx";

/// IA32_ARCH_CAPABILITIES, by Linux's names.
constexpr std::string_view kArchCapabilityNames =
    "rdcl_no ibrs_all rsba skip_l1dfl_vmentry ssb_no mds_no pschange_mc_no tsx_ctrl taa_no "
    "mcu_control misc_package_ctls energy_filtering_ctl doitm sbdr_ssdp_no fbsdp_no psdp_no "
    "mcu_enumeration fb_clear fb_clear_ctrl rrsba bhi_no xapic_disable mcu_extended_service "
    "overclocking_status pbrsb_no gds_ctrl gds_no rfds_no rfds_clear";
constexpr unsigned kItsNo = 62;  ///< which hypervisors alone set
/// These say that returns may be predicted by other means than the return stack, for which a guest
/// has to guard itself. All others promise something: not to be vulnerable, or to have a feature.
constexpr std::uint64_t kWarnings = std::uint64_t{1} << 2 | std::uint64_t{1} << 19;
/// Says that a hypervisor need not flush the L1 cache before it enters a guest: of no use to a
/// guest, which is none, and KVM shows it by how the host is set up.
constexpr std::uint64_t kOfHypervisors = std::uint64_t{1} << 3;

constexpr std::string_view kEventNames = "nmi_pending sipi_vector shadow smm payload triple_fault";

std::string named(std::string_view name, const std::string& place) {
  return name.empty() ? place : fmt::format("{} ({})", name, place);
}

/// Components that the guest may enable, in XCR0 or in IA32_XSS.
std::uint64_t xsave_components(const Cpuid& cpuid) {
  const auto wide = [](std::uint32_t low, std::uint32_t high) {
    return low | static_cast<std::uint64_t>(high) << 32;
  };
  std::uint64_t components = 0;
  const kvm_cpuid_entry2* const user = find_leaf(cpuid, kXsaveLeaf, 0);
  if (user != nullptr) components |= wide(user->eax, user->edx);
  const kvm_cpuid_entry2* const supervisor = find_leaf(cpuid, kXsaveLeaf, 1);
  if (supervisor != nullptr) components |= wide(supervisor->ecx, supervisor->edx);
  return components;
}

/// The guest has seen the layout, and has areas in its memory that are made by it. KVM too takes
/// the saved area by the host's.
std::optional<std::string> xsave_misfit(const Cpuid& guest, const Cpuid& host) {
  const std::uint64_t components = xsave_components(guest);
  for (unsigned i = kFirstExtended; i < 64; ++i) {
    if ((components >> i & 1) == 0) continue;
    const kvm_cpuid_entry2* const their_leaf = find_leaf(guest, kXsaveLeaf, i);
    const kvm_cpuid_entry2* const our_leaf = find_leaf(host, kXsaveLeaf, i);
    const kvm_cpuid_entry2 none{};
    const kvm_cpuid_entry2& theirs = their_leaf == nullptr ? none : *their_leaf;
    const kvm_cpuid_entry2& ours = our_leaf == nullptr ? none : *our_leaf;
    if (theirs.eax == ours.eax && theirs.ebx == ours.ebx) continue;
    return fmt::format(
        "the guest has {} with {} bytes at offset {}, and this host's CPU has {} at {}: choose a "
        "host whose CPU is of the source's family",
        named(bit_name(kXsaveComponents, i), fmt::format("XSAVE component {}", i)), theirs.eax,
        theirs.ebx, ours.eax, ours.ebx);
  }
  return std::nullopt;
}

unsigned physical_bits(const Cpuid& cpuid) {
  constexpr unsigned kWithoutLeaf = 36;
  const kvm_cpuid_entry2* const leaf = find_leaf(cpuid, 0x80000008);
  return leaf == nullptr ? kWithoutLeaf : leaf->eax & 0xff;
}

/// Where the guest has fewer bits than the host, it finds all its memory, and loses no more than
/// page faults for reserved bits between the two widths, which the host's CPU takes for address
/// bits. What relies on these is a hypervisor, and none of these runs in a guest. Where it has
/// more, it sets bits that fault here.
std::optional<std::string> width_misfit(const Cpuid& guest, const Cpuid& host) {
  const unsigned theirs = physical_bits(guest);
  const unsigned ours = physical_bits(host);
  if (theirs <= ours) return std::nullopt;
  return fmt::format(
      "the guest's CPU has physical addresses of {} bits (MAXPHYADDR, CPUID leaf 0x80000008 EAX "
      "7:0) "
      "and this host's of {}: choose a host whose CPU has at least as many",
      theirs, ours);
}

std::optional<std::string> arch_capabilities_misfit(std::uint64_t guest, std::uint64_t host) {
  for (unsigned bit = 0; bit < 64; ++bit) {
    const std::uint64_t mask = std::uint64_t{1} << bit;
    if ((guest & mask) == (host & mask) || (mask & kOfHypervisors) != 0) continue;
    const std::string name = named(bit == kItsNo ? "its_no" : bit_name(kArchCapabilityNames, bit),
                                   fmt::format("IA32_ARCH_CAPABILITIES bit {}", bit));
    if ((mask & kWarnings) == 0 && (guest & mask) != 0) {
      return fmt::format(
          "the guest relies on {}, which this host's CPU does not promise: choose a "
          "host with the source's CPU model, microcode and mitigations",
          name);
    }
    if ((mask & kWarnings) != 0 && (host & mask) != 0) {
      return fmt::format(
          "this host's CPU warns of {}, and the guest does not guard itself against "
          "that: choose a host whose CPU has no such warning, or start the guest anew",
          name);
    }
  }
  return std::nullopt;
}

/// Of a CPU that has no such MSR, or does not show it, the guest knows by its model.
bool shows_arch_capabilities(const Cpuid& cpuid) {
  const kvm_cpuid_entry2* const leaf = find_leaf(cpuid, 7, 0);
  return leaf != nullptr && (leaf->edx >> 29 & 1) != 0;
}

}  // namespace

std::optional<std::string> cpuid_misfit(const Cpuid& guest, const Cpuid& host) {
  if (const auto missing = first_missing_feature(guest, host)) {
    return fmt::format("this host's CPU lacks {}: choose a host whose CPU has it", *missing);
  }
  if (auto misfit = xsave_misfit(guest, host)) return misfit;
  return width_misfit(guest, host);
}

std::optional<std::string> state_misfit(const MachineConfig& guest, const HostNeeds& host) {
  const HostNeeds& needs = guest.needs;
  if (shows_arch_capabilities(guest.cpuid)) {
    auto misfit = arch_capabilities_misfit(needs.arch_capabilities, host.arch_capabilities);
    if (misfit) return misfit;
  }
  if (needs.xsave_bytes != host.xsave_bytes) {
    return fmt::format(
        "the guest's XSAVE area has {} bytes and this host's {}: choose a host with "
        "the source's CPU model and kernel",
        needs.xsave_bytes, host.xsave_bytes);
  }
  const std::uint32_t events = needs.event_flags & ~host.event_flags;
  for (unsigned bit = 0; bit < 32; ++bit) {
    if ((events >> bit & 1) == 0) continue;
    return fmt::format(
        "the guest's state has {}, which this host's KVM does not take: choose a host "
        "with the source's kernel or a newer one",
        named(bit_name(kEventNames, bit), fmt::format("flag {} of KVM_GET_VCPU_EVENTS", bit)));
  }
  for (const std::uint32_t msr : needs.msrs) {
    if (std::ranges::find(host.msrs, msr) != host.msrs.end()) continue;
    return fmt::format(
        "the guest's state has MSR 0x{:x}, which this host's KVM cannot set: choose a "
        "host with the source's CPU model, and its kernel or a newer one",
        msr);
  }
  return std::nullopt;
}

}  // namespace vmm

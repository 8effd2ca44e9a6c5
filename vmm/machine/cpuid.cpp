#include "vmm/machine/cpuid.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace vmm {

namespace {

enum Register { eax, ebx, ecx, edx };
constexpr std::array<std::string_view, 4> kRegisterNames = {"EAX", "EBX", "ECX", "EDX"};

std::uint32_t value_of(const kvm_cpuid_entry2& entry, Register reg) {
  switch (reg) {
    case eax: return entry.eax;
    case ebx: return entry.ebx;
    case ecx: return entry.ecx;
    case edx: break;
  }
  return entry.edx;
}

/// A register of which each bit is a feature. Names are those of /proc/cpuinfo, from bit 0 on,
/// separated by blanks; "-" has none.
struct FeatureWord {
  std::uint32_t function;
  std::uint32_t index;
  Register reg;
  std::string_view names;
};

constexpr std::array kFeatureWords = {
    FeatureWord{0x1, 0, ecx,
                "sse3 pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr "
                "pdcm - pcid dca sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave "
                "osxsave avx f16c rdrand hypervisor"},
    FeatureWord{0x1, 0, edx,
                "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn "
                "clflush - dts acpi mmx fxsr sse sse2 ss ht tm ia64 pbe"},
    FeatureWord{0x7, 0, ebx,
                "fsgsbase - sgx bmi1 hle avx2 fdp_excptn_only smep bmi2 erms invpcid rtm cqm "
                "zero_fcs_fds mpx rdt_a avx512f avx512dq rdseed adx smap avx512ifma - clflushopt "
                "clwb intel_pt avx512pf avx512er avx512cd sha_ni avx512bw avx512vl"},
    FeatureWord{0x7, 0, ecx,
                "prefetchwt1 avx512vbmi umip pku ospke waitpkg avx512_vbmi2 shstk gfni vaes "
                "vpclmulqdq avx512_vnni avx512_bitalg tme avx512_vpopcntdq - la57 - - - - - rdpid "
                "keylocker bus_lock_detect cldemote - movdiri movdir64b enqcmd sgx_lc pks"},
    FeatureWord{0x7, 0, edx,
                "- - avx512_4vnniw avx512_4fmaps fsrm uintr - - avx512_vp2intersect srbds_ctrl "
                "md_clear rtm_always_abort - tsx_force_abort serialize hybrid tsxldtrk - pconfig "
                "arch_lbr ibt - amx_bf16 avx512_fp16 amx_tile amx_int8 spec_ctrl stibp flush_l1d "
                "arch_capabilities core_capabilities ssbd"},
    FeatureWord{
        0x7, 1, eax,
        "sha512 sm3 sm4 rao_int avx_vnni avx512_bf16 - cmpccxadd - - fzrm fsrs fsrc - - - - "
        "- - wrmsrns - amx_fp16 hreset avx_ifma - - lam"},
    FeatureWord{0x7, 1, ebx, "intel_ppin"},
    FeatureWord{0x7, 1, ecx, ""},
    FeatureWord{0x7, 1, edx,
                "- - - - avx_vnni_int8 avx_ne_convert - - amx_complex - avx_vnni_int16 - - utmr "
                "prefetchi user_msr - uiret_uif cet_sss avx10"},
    FeatureWord{0x7, 2, edx, "psfd ipred_ctrl rrsba_ctrl ddpd_u bhi_ctrl mcdt_no"},
    FeatureWord{0xd, 0, eax,
                "xcr0_x87 xcr0_sse xcr0_avx xcr0_bndregs xcr0_bndcsr xcr0_opmask xcr0_zmm_hi256 "
                "xcr0_hi16_zmm - xcr0_pkru - - - - - - - xcr0_xtilecfg xcr0_xtiledata"},
    FeatureWord{0xd, 0, edx, ""},
    FeatureWord{0xd, 1, eax, "xsaveopt xsavec xgetbv1 xsaves xfd"},
    FeatureWord{0xd, 1, ecx,
                "- - - - - - - - xss_pt - xss_pasid xss_cet_u xss_cet_s xss_hdc xss_uintr xss_lbr "
                "xss_hwp"},
    FeatureWord{0xd, 1, edx, ""},
    FeatureWord{
        0x80000001, 0, ecx,
        "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw "
        "ibs xop skinit wdt - lwp fma4 tce - nodeid_msr - tbm topoext perfctr_core "
        "perfctr_nb - bpext ptsc perfctr_llc mwaitx"},
    FeatureWord{0x80000001, 0, edx,
                "- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb "
                "rdtscp - lm 3dnowext 3dnow"},
    FeatureWord{0x80000007, 0, edx, "- - - - - - - - constant_tsc"},
    FeatureWord{0x80000008, 0, ebx,
                "clzero irperf xsaveerptr - rdpru - mba - mcommit wbnoinvd - - amd_ibpb - amd_ibrs "
                "amd_stibp - amd_stibp_always_on - - - - - amd_ppin amd_ssbd virt_ssbd amd_ssb_no "
                "cppc amd_psfd btc_no ibpb_ret"},
    FeatureWord{
        0x80000021, 0, eax,
        "no_nested_data_bp - lfence_rdtsc - - - null_sel_clr_base - autoibrs no_smm_ctl_msr "
        "fsrs fsrc - prefetch_ctl_msr - - - cpuid_user_dis - - - - - - - - - sbpb "
        "ibpb_brtype srso_no srso_user_kernel_no"},
    FeatureWord{0x40000001, 0, eax,
                "kvmclock kvm_nopiodelay kvm_mmu_op kvmclock2 kvm_asyncpf kvm_steal_time "
                "kvm_pv_eoi kvm_pv_unhalt - kvm_pv_tlb_flush kvm_asyncpf_vmexit kvm_pv_send_ipi "
                "kvm_poll_control kvm_pv_sched_yield kvm_asyncpf_int kvm_msi_ext_dest_id "
                "kvm_hc_map_gpa_range kvm_migration_control - - - - - - kvmclock_stable"},
};

/// Bits that follow the guest's own state or the host's, and promise nothing.
constexpr bool is_dynamic(const FeatureWord& word, unsigned bit) {
  return (word.function == 1 && word.reg == ecx && bit == 27) ||  // OSXSAVE mirrors CR4
         (word.function == 7 && word.reg == ecx && bit == 4);     // OSPKE mirrors CR4
}

std::string name_of(const FeatureWord& word, unsigned bit) {
  const std::string_view name = bit_name(word.names, bit);
  const std::string place = fmt::format("CPUID leaf 0x{:x}.{} {} bit {}", word.function, word.index,
                                        kRegisterNames.at(word.reg), bit);
  return name.empty() ? place : fmt::format("{} ({})", name, place);
}

/// "GenuineIntel", "AuthenticAMD"; empty without leaf 0.
std::string vendor(const std::vector<kvm_cpuid_entry2>& cpuid) {
  std::string text;
  for (const kvm_cpuid_entry2& entry : cpuid) {
    if (entry.function != 0) continue;
    for (const std::uint32_t word : {entry.ebx, entry.edx, entry.ecx}) {
      for (int i = 0; i < 4; ++i) {
        const auto letter = static_cast<char>(word >> 8 * i & 0xff);
        text += letter >= ' ' && letter <= '~' ? letter : '?';
      }
    }
  }
  return text;
}

std::uint32_t lookup(const std::vector<kvm_cpuid_entry2>& cpuid, const FeatureWord& word) {
  const kvm_cpuid_entry2* const leaf = find_leaf(cpuid, word.function, word.index);
  return leaf == nullptr ? 0 : value_of(*leaf, word.reg);
}

}  // namespace

const kvm_cpuid_entry2* find_leaf(const std::vector<kvm_cpuid_entry2>& cpuid,
                                  std::uint32_t function, std::uint32_t index) {
  const auto found = std::ranges::find_if(cpuid, [&](const kvm_cpuid_entry2& entry) {
    const bool indexed = (entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) != 0;
    return entry.function == function && (!indexed || entry.index == index);
  });
  return found == cpuid.end() ? nullptr : &*found;
}

std::string_view bit_name(std::string_view names, unsigned bit) {
  for (unsigned i = 0; i < bit && !names.empty(); ++i) {
    const auto blank = names.find(' ');
    names = blank == std::string_view::npos ? std::string_view{} : names.substr(blank + 1);
  }
  const std::string_view name = names.substr(0, names.find(' '));
  return name == "-" ? std::string_view{} : name;
}

std::vector<kvm_cpuid_entry2> host_cpuid(const Kvm& kvm) {
  return without_what_stays(kvm.supported_cpuid(),
                            kvm.check_extension(KVM_CAP_TSC_DEADLINE_TIMER) != 0);
}

std::vector<kvm_cpuid_entry2> without_what_stays(std::vector<kvm_cpuid_entry2> cpuid,
                                                 bool deadline_timer) {
  constexpr std::uint32_t kSvmFeatures = 0x8000000a;
  std::erase_if(cpuid,
                [](const kvm_cpuid_entry2& entry) { return entry.function == kSvmFeatures; });
  for (kvm_cpuid_entry2& entry : cpuid) {
    switch (entry.function) {
      case 0x1:
        entry.ecx &= ~(1U << 5);  // VMX: nested state does not travel
        entry.ecx |= 1U << 31;    // hypervisor
        if (deadline_timer)
          entry.ecx |= 1U << 24;  // the in-kernel LAPIC has it; KVM leaves it to us
        break;
      case 0x80000001: entry.ecx &= ~(1U << 2); break;  // SVM, likewise
      case 0x80000007: entry.edx &= ~(1U << 8); break;  // a TSC of one rate: until it migrates
      default: break;
    }
  }
  return cpuid;
}

std::optional<std::string> first_missing_feature(const std::vector<kvm_cpuid_entry2>& wanted,
                                                 const std::vector<kvm_cpuid_entry2>& host) {
  // Model-specific registers, and what the processors do where no bit tells, differ.
  if (const std::string mine = vendor(host), guests = vendor(wanted); mine != guests) {
    return fmt::format("what a CPU of {} has (it is one of {})", guests, mine);
  }
  for (const FeatureWord& word : kFeatureWords) {
    const std::uint32_t missing = lookup(wanted, word) & ~lookup(host, word);
    for (unsigned bit = 0; bit < 32; ++bit) {
      if ((missing >> bit & 1) != 0 && !is_dynamic(word, bit)) return name_of(word, bit);
    }
  }
  return std::nullopt;
}

}  // namespace vmm

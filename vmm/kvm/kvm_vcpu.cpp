#include "vmm/kvm/kvm_vcpu.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cassert>
#include <cstring>

#include "vmm/os/ioctl.hpp"

namespace vmm {

namespace {

template <typename State>
State get(int fd, unsigned long request, const char* name) {
  State state{};
  checked_ioctl(fd, request, &state, name);
  return state;
}

/// A header and entries behind it, as KVM_SET_CPUID2 and KVM_*_MSRS take them.
template <typename Header, typename Entry>
std::vector<std::uint64_t> with_entries(std::span<const Entry> entries) {
  std::vector<std::uint64_t> words((sizeof(Header) + entries.size_bytes() + 7) / 8);
  auto* const behind_header = reinterpret_cast<std::byte*>(words.data()) + sizeof(Header);
  std::ranges::copy(std::as_bytes(entries), behind_header);
  return words;
}

kvm_device_attr tsc_offset_at(std::uint64_t* value) {
  kvm_device_attr attribute{};
  attribute.group = KVM_VCPU_TSC_CTRL;
  attribute.attr = KVM_VCPU_TSC_OFFSET;
  attribute.addr = reinterpret_cast<std::uintptr_t>(value);
  return attribute;
}

}  // namespace

KvmVcpu::KvmVcpu(const Kvm& kvm, const KvmVm& vm, std::uint32_t id)
    : fd_(vm.create_vcpu(id)),
      mmap_size_(kvm.vcpu_mmap_size()),
      xsave_size_(std::max(static_cast<std::size_t>(vm.check_extension(KVM_CAP_XSAVE2)),
                           sizeof(kvm_xsave))) {
  void* shared = ::mmap(nullptr, mmap_size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (shared == MAP_FAILED) {
    throw std::system_error(errno, std::generic_category(), "mapping a vCPU's kvm_run");
  }
  run_ = static_cast<kvm_run*>(shared);
  const kvm_device_attr attribute = tsc_offset_at(nullptr);
  has_tsc_offset_ = ::ioctl(fd_.get(), KVM_HAS_DEVICE_ATTR, &attribute) == 0;
}

KvmVcpu::~KvmVcpu() { ::munmap(run_, mmap_size_); }

int KvmVcpu::run() {
  if (::ioctl(fd_.get(), KVM_RUN, 0) == 0) return 0;
  if (errno == EINTR || errno == EAGAIN || errno == EFAULT) return errno;
  throw std::system_error(errno, std::generic_category(), "KVM_RUN");
}

kvm_regs KvmVcpu::regs() const { return get<kvm_regs>(fd_.get(), KVM_GET_REGS, "KVM_GET_REGS"); }
void KvmVcpu::set_regs(const kvm_regs& regs) const {
  checked_ioctl(fd_.get(), KVM_SET_REGS, &regs, "KVM_SET_REGS");
}

kvm_sregs KvmVcpu::sregs() const {
  return get<kvm_sregs>(fd_.get(), KVM_GET_SREGS, "KVM_GET_SREGS");
}
void KvmVcpu::set_sregs(const kvm_sregs& sregs) const {
  checked_ioctl(fd_.get(), KVM_SET_SREGS, &sregs, "KVM_SET_SREGS");
}

kvm_sregs2 KvmVcpu::sregs2() const {
  return get<kvm_sregs2>(fd_.get(), KVM_GET_SREGS2, "KVM_GET_SREGS2");
}
void KvmVcpu::set_sregs2(const kvm_sregs2& sregs) const {
  checked_ioctl(fd_.get(), KVM_SET_SREGS2, &sregs, "KVM_SET_SREGS2");
}

std::vector<std::byte> KvmVcpu::xsave() const {
  std::vector<std::byte> area(xsave_size_);
  if (xsave_size_ > sizeof(kvm_xsave)) {
    checked_ioctl(fd_.get(), KVM_GET_XSAVE2, area.data(), "KVM_GET_XSAVE2");
  } else {
    checked_ioctl(fd_.get(), KVM_GET_XSAVE, area.data(), "KVM_GET_XSAVE");
  }
  return area;
}
void KvmVcpu::set_xsave(std::span<const std::byte> area) const {
  assert(area.size() == xsave_size_);
  checked_ioctl(fd_.get(), KVM_SET_XSAVE, area.data(), "KVM_SET_XSAVE");
}

kvm_xcrs KvmVcpu::xcrs() const { return get<kvm_xcrs>(fd_.get(), KVM_GET_XCRS, "KVM_GET_XCRS"); }
void KvmVcpu::set_xcrs(const kvm_xcrs& xcrs) const {
  checked_ioctl(fd_.get(), KVM_SET_XCRS, &xcrs, "KVM_SET_XCRS");
}

kvm_debugregs KvmVcpu::debugregs() const {
  return get<kvm_debugregs>(fd_.get(), KVM_GET_DEBUGREGS, "KVM_GET_DEBUGREGS");
}
void KvmVcpu::set_debugregs(const kvm_debugregs& debugregs) const {
  checked_ioctl(fd_.get(), KVM_SET_DEBUGREGS, &debugregs, "KVM_SET_DEBUGREGS");
}

kvm_lapic_state KvmVcpu::lapic() const {
  return get<kvm_lapic_state>(fd_.get(), KVM_GET_LAPIC, "KVM_GET_LAPIC");
}
void KvmVcpu::set_lapic(const kvm_lapic_state& lapic) const {
  checked_ioctl(fd_.get(), KVM_SET_LAPIC, &lapic, "KVM_SET_LAPIC");
}

kvm_vcpu_events KvmVcpu::events() const {
  return get<kvm_vcpu_events>(fd_.get(), KVM_GET_VCPU_EVENTS, "KVM_GET_VCPU_EVENTS");
}
void KvmVcpu::set_events(const kvm_vcpu_events& events) const {
  checked_ioctl(fd_.get(), KVM_SET_VCPU_EVENTS, &events, "KVM_SET_VCPU_EVENTS");
}

kvm_mp_state KvmVcpu::mp_state() const {
  return get<kvm_mp_state>(fd_.get(), KVM_GET_MP_STATE, "KVM_GET_MP_STATE");
}
void KvmVcpu::set_mp_state(const kvm_mp_state& state) const {
  checked_ioctl(fd_.get(), KVM_SET_MP_STATE, &state, "KVM_SET_MP_STATE");
}

void KvmVcpu::set_cpuid(std::span<const kvm_cpuid_entry2> entries) const {
  auto words = with_entries<kvm_cpuid2>(entries);
  auto* const header = reinterpret_cast<kvm_cpuid2*>(words.data());
  header->nent = static_cast<std::uint32_t>(entries.size());
  checked_ioctl(fd_.get(), KVM_SET_CPUID2, header, "KVM_SET_CPUID2");
}

std::size_t KvmVcpu::get_msrs(std::span<kvm_msr_entry> msrs) const {
  auto words = with_entries<kvm_msrs>(std::span<const kvm_msr_entry>(msrs));
  auto* const header = reinterpret_cast<kvm_msrs*>(words.data());
  header->nmsrs = static_cast<std::uint32_t>(msrs.size());
  const int read = checked_ioctl(fd_.get(), KVM_GET_MSRS, header, "KVM_GET_MSRS");
  std::memcpy(msrs.data(), reinterpret_cast<const std::byte*>(words.data()) + sizeof(kvm_msrs),
              msrs.size_bytes());
  return static_cast<std::size_t>(read);
}

std::size_t KvmVcpu::set_msrs(std::span<const kvm_msr_entry> msrs) const {
  auto words = with_entries<kvm_msrs>(msrs);
  auto* const header = reinterpret_cast<kvm_msrs*>(words.data());
  header->nmsrs = static_cast<std::uint32_t>(msrs.size());
  return static_cast<std::size_t>(checked_ioctl(fd_.get(), KVM_SET_MSRS, header, "KVM_SET_MSRS"));
}

std::uint32_t KvmVcpu::tsc_khz() const {
  return static_cast<std::uint32_t>(
      checked_ioctl(fd_.get(), KVM_GET_TSC_KHZ, 0, "KVM_GET_TSC_KHZ"));
}
void KvmVcpu::set_tsc_khz(std::uint32_t khz) const {
  checked_ioctl(fd_.get(), KVM_SET_TSC_KHZ, static_cast<unsigned long>(khz), "KVM_SET_TSC_KHZ");
}

std::optional<std::uint64_t> KvmVcpu::tsc_offset() const {
  if (!has_tsc_offset_) return std::nullopt;
  std::uint64_t offset = 0;
  kvm_device_attr attribute = tsc_offset_at(&offset);
  checked_ioctl(fd_.get(), KVM_GET_DEVICE_ATTR, &attribute, "KVM_GET_DEVICE_ATTR");
  return offset;
}
void KvmVcpu::set_tsc_offset(std::uint64_t offset) const {
  const kvm_device_attr attribute = tsc_offset_at(&offset);
  checked_ioctl(fd_.get(), KVM_SET_DEVICE_ATTR, &attribute, "KVM_SET_DEVICE_ATTR");
}

void KvmVcpu::note_stopped() const {
  if (::ioctl(fd_.get(), KVM_KVMCLOCK_CTRL, 0) < 0 && errno != EINVAL) {
    throw std::system_error(errno, std::generic_category(), "KVM_KVMCLOCK_CTRL");
  }
}

}  // namespace vmm

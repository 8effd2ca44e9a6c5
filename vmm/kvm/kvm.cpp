#include "vmm/kvm/kvm.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <cstring>

#include "vmm/os/ioctl.hpp"

namespace vmm {

namespace {

UniqueFd open_kvm(const char* path) {
  UniqueFd fd(::open(path, O_RDWR | O_CLOEXEC));
  if (fd.get() >= 0) return fd;
  if (errno == EACCES || errno == EPERM) {
    throw KvmUnavailable(
        fmt::format("no permission to open {}: join the group that owns it ('sudo usermod -aG kvm "
                    "$USER', then log in again), or run as root",
                    path),
        true);
  }
  throw KvmUnavailable(
      fmt::format(
          "cannot open {}: {}. Load the module ('sudo modprobe kvm_intel' or 'kvm_amd') and "
          "enable virtualization in the firmware; in a virtual machine, enable nesting",
          path, std::strerror(errno)),
      false);
}

/// KVM's lists say E2BIG while the room is too small. `Header` ends in an array of `Entry`.
template <typename Header, typename Entry>
class ListBuffer {
 public:
  explicit ListBuffer(std::uint32_t room)
      : words_((sizeof(Header) + room * sizeof(Entry) + 7) / 8) {}
  Header* header() { return reinterpret_cast<Header*>(words_.data()); }
  const Entry* entries() {
    return reinterpret_cast<const Entry*>(reinterpret_cast<const std::byte*>(words_.data()) +
                                          sizeof(Header));
  }

 private:
  std::vector<std::uint64_t> words_;
};

}  // namespace

Kvm::Kvm(const char* path) : fd_(open_kvm(path)) {
  int version = 0;
  try {
    version = checked_ioctl(fd_.get(), KVM_GET_API_VERSION, 0, "KVM_GET_API_VERSION");
  } catch (const std::system_error&) {
    throw KvmUnavailable(fmt::format("{} is not KVM", path), false);
  }
  if (version != KVM_API_VERSION) {
    throw KvmUnavailable(
        fmt::format("{} speaks version {} of the KVM API, not {}", path, version, KVM_API_VERSION),
        false);
  }
}

int Kvm::check_extension(int capability) const {
  return checked_ioctl(fd_.get(), KVM_CHECK_EXTENSION, capability, "KVM_CHECK_EXTENSION");
}

UniqueFd Kvm::create_vm() const {
  return UniqueFd(checked_ioctl(fd_.get(), KVM_CREATE_VM, 0, "KVM_CREATE_VM"));
}

std::size_t Kvm::vcpu_mmap_size() const {
  return static_cast<std::size_t>(
      checked_ioctl(fd_.get(), KVM_GET_VCPU_MMAP_SIZE, 0, "KVM_GET_VCPU_MMAP_SIZE"));
}

std::vector<kvm_cpuid_entry2> Kvm::supported_cpuid() const {
  for (std::uint32_t room = 128;; room *= 2) {
    ListBuffer<kvm_cpuid2, kvm_cpuid_entry2> list(room);
    list.header()->nent = room;
    if (::ioctl(fd_.get(), KVM_GET_SUPPORTED_CPUID, list.header()) == 0) {
      return {list.entries(), list.entries() + list.header()->nent};
    }
    if (errno != E2BIG || room > 4096) {
      throw std::system_error(errno, std::generic_category(), "KVM_GET_SUPPORTED_CPUID");
    }
  }
}

std::vector<std::uint32_t> Kvm::msr_indices() const {
  for (std::uint32_t room = 256;; room *= 2) {
    ListBuffer<kvm_msr_list, std::uint32_t> list(room);
    list.header()->nmsrs = room;
    if (::ioctl(fd_.get(), KVM_GET_MSR_INDEX_LIST, list.header()) == 0) {
      return {list.entries(), list.entries() + list.header()->nmsrs};
    }
    if (errno != E2BIG || room > 4096) {
      throw std::system_error(errno, std::generic_category(), "KVM_GET_MSR_INDEX_LIST");
    }
  }
}

}  // namespace vmm

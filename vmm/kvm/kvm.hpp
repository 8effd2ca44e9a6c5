#pragma once

#include "vmm/kvm/kvm_api.hpp"

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "vmm/os/unique_fd.hpp"

namespace vmm {

/// /dev/kvm is missing, or this user may not use it. The message says what to do.
class KvmUnavailable : public std::runtime_error {
 public:
  KvmUnavailable(const std::string& message, bool permission)
      : std::runtime_error(message), permission_(permission) {}
  /// It is there, but permission is denied.
  [[nodiscard]] bool permission() const { return permission_; }

 private:
  bool permission_;
};

/// The system level of the KVM API: /dev/kvm.
class Kvm {
 public:
  /// Throws KvmUnavailable.
  explicit Kvm(const char* path = "/dev/kvm");

  [[nodiscard]] int check_extension(int capability) const;
  [[nodiscard]] UniqueFd create_vm() const;
  [[nodiscard]] std::size_t vcpu_mmap_size() const;
  [[nodiscard]] std::vector<kvm_cpuid_entry2> supported_cpuid() const;
  /// MSRs that are part of a guest's state (KVM_GET_MSR_INDEX_LIST).
  [[nodiscard]] std::vector<std::uint32_t> msr_indices() const;

 private:
  UniqueFd fd_;
};

}  // namespace vmm

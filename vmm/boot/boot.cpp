#include "vmm/boot/boot.hpp"

#include <elf.h>

#include <array>
#include <cstring>

#include "vmm/boot/acpi_tables.hpp"
#include "vmm/boot/bzimage.hpp"
#include "vmm/boot/image_kind.hpp"
#include "vmm/boot/placement.hpp"
#include "vmm/boot/pvh.hpp"

namespace vmm {

namespace {

bool looks_like_elf(std::span<const std::byte> file) {
  return file.size() >= SELFMAG && std::memcmp(file.data(), ELFMAG, SELFMAG) == 0;
}

/// Where a guest jumps that restarts by its firmware (Linux, with reboot=bios), in real mode. There
/// is none, so this resets the machine the way that ACPI's tables tell.
void place_reset_vector(GuestMemory& memory, const AcpiPlatform& platform) {
  constexpr std::uint64_t kResetVectorAt = 0xffff0;
  const auto low = static_cast<std::uint8_t>(platform.reset_port & 0xff);
  const auto high = static_cast<std::uint8_t>(platform.reset_port >> 8);
  // mov dx, port; mov al, value; out dx, al; hlt; jmp to the hlt
  put(memory, kResetVectorAt,
      std::array<std::uint8_t, 9>{0xba, low, high, 0xb0, platform.reset_value, 0xee, 0xf4, 0xeb,
                                  0xfd});
}

/// Memory types on, as firmware leaves them: where they are off, Linux gives the PAT up too. That
/// is all that it costs on a KVM that does not take this.
void enable_write_back(Vcpu& vcpu) {
  constexpr std::uint32_t kMtrrDefaultType = 0x2ff;
  constexpr std::uint64_t kEnabledWriteBack = 1U << 11 | 6;
  const kvm_msr_entry msr{kMtrrDefaultType, 0, kEnabledWriteBack};
  vcpu.kvm().set_msrs(std::span(&msr, 1));
}

/// So that a start-up IPI finds the vCPU. KVM works out which vCPU has which APIC id when an APIC
/// register is written, and while a vCPU is made, which is not yet on its list then: so the last
/// one is unknown, and what is sent to it is lost, until the guest writes such a register.
/// Linux does so first, memtest86+ does not.
void make_apic_known(Vcpu& vcpu) { vcpu.kvm().set_lapic(vcpu.kvm().lapic()); }

}  // namespace

BootFiles::BootFiles(const BootSource& source)
    : kernel(source.kernel, "kernel"), initramfs(source.initramfs), cmdline(source.cmdline) {}

BootEntry place_kernel(GuestMemory& memory, const BootFiles& files, const AcpiPlatform& platform,
                       std::uint32_t cpus) {
  const auto kernel = files.kernel.bytes();
  place_reset_vector(memory, platform);
  const BootInput input{files.kernel, files.initramfs, files.cmdline,
                        place_acpi_tables(memory, platform, cpus)};
  if (looks_like_elf(kernel)) return place_pvh(memory, input);
  if (looks_like_bzimage(kernel)) return place_bzimage(memory, input);
  return files.kernel.about([&]() -> BootEntry { bad_image(describe_image(kernel)); });
}

void load_kernel(Machine& machine, const BootFiles& files, const AcpiPlatform& platform) {
  const std::uint32_t cpus = machine.config().cpus;
  const BootEntry entry = place_kernel(machine.memory(), files, platform, cpus);
  for (std::uint32_t i = 0; i < cpus; ++i) {
    enable_write_back(machine.vcpu(i));
    make_apic_known(machine.vcpu(i));
  }
  set_entry(machine.vcpu(0), entry);
}

}  // namespace vmm

#pragma once

#include <elf.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "devices/standard.hpp"
#include "tests/vmm/kvm/guest_fixture.hpp"
#include "vmm/boot/boot.hpp"

namespace vmm {

inline constexpr std::uint32_t kEntry = 0x100000;

template <typename Struct>
void append_bytes(std::string& file, const Struct& value) {
  file.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

/// A PVH kernel of nothing but `code`, which begins in 32-bit protected mode.
inline std::string kernel_of(std::string_view code) {
  struct Note {
    Elf64_Nhdr header{4, 4, 18};  // XEN_ELFNOTE_PHYS32_ENTRY
    std::array<char, 4> name{'X', 'e', 'n', 0};
    std::uint32_t entry = kEntry;
  };
  constexpr std::uint64_t kBody = sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr);
  Elf64_Ehdr header{};
  std::string_view(ELFMAG "\x02\x01\x01").copy(reinterpret_cast<char*>(header.e_ident), 7);
  header.e_type = ET_EXEC;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_entry = kEntry;
  header.e_phoff = sizeof(Elf64_Ehdr);
  header.e_ehsize = sizeof(Elf64_Ehdr);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 2;
  Elf64_Phdr note{};
  note.p_type = PT_NOTE;
  note.p_offset = kBody;
  note.p_filesz = note.p_memsz = sizeof(Note);
  note.p_align = 4;
  Elf64_Phdr load{};
  load.p_type = PT_LOAD;
  load.p_flags = PF_R | PF_X;
  load.p_offset = kBody + sizeof(Note);
  load.p_vaddr = load.p_paddr = kEntry;
  load.p_filesz = code.size();
  load.p_memsz = kPageSize;
  std::string file;
  append_bytes(file, header);
  append_bytes(file, note);
  append_bytes(file, load);
  append_bytes(file, Note{});
  file += code;
  return file;
}

/// Tests whose guest is a few instructions.
class TinyKernelTest : public GuestTest {
 protected:
  /// A paused machine that will run `code` on its first vCPU.
  [[nodiscard]] std::unique_ptr<Machine> boot(std::string_view code, std::uint32_t cpus = 1) {
    const auto path = std::filesystem::path(::testing::TempDir()) / ("ferry-" + make_uuid());
    std::ofstream(path, std::ios::binary) << kernel_of(code);
    MachineConfig config;
    config.memory_bytes = kMinMemory;
    config.cpus = cpus;
    auto machine = make_empty(config);
    load_kernel(*machine, BootFiles({path, {}, ""}), devices::platform());
    std::filesystem::remove(path);
    return machine;
  }
};

}  // namespace vmm

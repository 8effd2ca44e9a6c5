#include <elf.h>
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

#include "tests/vmm/kvm/guest_fixture.hpp"
#include "vmm/boot/pvh.hpp"

namespace vmm {
namespace {

constexpr std::uint32_t kEntry = 0x100000;

template <typename Struct>
void append(std::string& file, const Struct& value) {
  file.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

/// A PVH kernel of nothing but `code`, which begins in 32-bit protected mode.
std::string kernel_of(std::string_view code) {
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
  append(file, header);
  append(file, note);
  append(file, load);
  append(file, Note{});
  file += code;
  return file;
}

class Crash : public GuestTest {
 protected:
  std::unique_ptr<Machine> boot(std::string_view code) {
    const auto path = std::filesystem::path(::testing::TempDir()) / ("ferry-" + make_uuid());
    std::ofstream(path, std::ios::binary) << kernel_of(code);
    MachineConfig config;
    config.memory_bytes = kMinMemory;
    auto machine = make_empty(config);
    load_pvh(*machine, path, std::nullopt, "");
    std::filesystem::remove(path);
    return machine;
  }
};

TEST_F(Crash, OfAGuestThatTripleFaultsSaysWhere) {
  using std::string_view_literals::operator""sv;
  const auto machine = boot("\x0f\x01\x1d\x00\x00\x00\x00\x0f\x0b"sv);  // lidt [0]; ud2
  machine->resume();
  const auto end = wait_end(*machine);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->kind, GuestEnd::Kind::crashed);
  EXPECT_NE(end->message.find("vCPU 0: triple fault at rip 0x"), std::string::npos) << end->message;
  machine->pause();
  machine->resume();
  EXPECT_FALSE(machine->running());
}

// A halted vCPU waits in KVM, for an interrupt that never comes: it must still be there to pause.
TEST_F(Crash, IsNotWhatAHaltedGuestDoes) {
  const auto machine = boot("\xfa\xf4\xeb\xfd");  // cli; hlt; jmp to the hlt
  for (int i = 0; i < 20; ++i) {
    machine->resume();
    machine->pause();
  }
  EXPECT_FALSE(machine->ended()) << machine->ended()->message;
  EXPECT_GE(machine->vcpu(0).regs().rip, kEntry);
  EXPECT_LT(machine->vcpu(0).regs().rip, kEntry + 4);
}

}  // namespace
}  // namespace vmm

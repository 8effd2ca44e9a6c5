#include "vmm/boot/elf_image.hpp"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>

#include "vmm/boot/boot_error.hpp"

namespace vmm {

namespace {

constexpr std::uint32_t kPhys32Entry = 18;  // XEN_ELFNOTE_PHYS32_ENTRY
constexpr std::string_view kXen{"Xen\0", 4};

[[noreturn]] void bad(const std::string& why) { throw BootError(BootError::Kind::bad_image, why); }

std::span<const std::byte> slice(std::span<const std::byte> file, std::uint64_t offset,
                                 std::uint64_t size, const char* what) {
  if (offset > file.size() || size > file.size() - offset) {
    bad(fmt::format("the file is truncated: its {} would end at byte {}, and it has {}", what,
                    offset + size, file.size()));
  }
  return file.subspan(offset, size);
}

template <typename Struct>
Struct read(std::span<const std::byte> file, std::uint64_t offset, const char* what) {
  Struct value;
  std::memcpy(&value, slice(file, offset, sizeof(value), what).data(), sizeof(value));
  return value;
}

constexpr std::uint64_t align4(std::uint64_t size) { return (size + 3) & ~std::uint64_t{3}; }

/// The entry in a note segment, if it has one.
std::optional<std::uint32_t> find_entry(std::span<const std::byte> notes) {
  while (notes.size() >= sizeof(Elf64_Nhdr)) {
    const auto header = read<Elf64_Nhdr>(notes, 0, "notes");
    const std::uint64_t name_at = sizeof(header);
    const std::uint64_t data_at = name_at + align4(header.n_namesz);
    const std::uint64_t end = data_at + align4(header.n_descsz);
    if (data_at + header.n_descsz > notes.size()) return std::nullopt;
    const auto* name = reinterpret_cast<const char*>(notes.data()) + name_at;
    if (header.n_type == kPhys32Entry && std::string_view(name, header.n_namesz) == kXen) {
      if (header.n_descsz == 4) return read<std::uint32_t>(notes, data_at, "notes");
      if (header.n_descsz == 8) {
        const auto entry = read<std::uint64_t>(notes, data_at, "notes");
        if (entry > UINT32_MAX) bad("its PVH entry is above 4 GiB");
        return static_cast<std::uint32_t>(entry);
      }
      bad("its PVH note is malformed");
    }
    if (end > notes.size()) return std::nullopt;
    notes = notes.subspan(end);
  }
  return std::nullopt;
}

Elf64_Ehdr read_header(std::span<const std::byte> file) {
  if (file.size() < SELFMAG || std::memcmp(file.data(), ELFMAG, SELFMAG) != 0) {
    bad("not an ELF file");
  }
  const auto header = read<Elf64_Ehdr>(file, 0, "ELF header");
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
      header.e_machine != EM_X86_64) {
    bad("not a 64-bit x86 ELF file");
  }
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0) {
    bad("an ELF file without program headers");
  }
  return header;
}

void check_overlap(std::vector<ElfSegment> segments) {
  std::ranges::sort(segments, {}, &ElfSegment::address);
  for (std::size_t i = 1; i < segments.size(); ++i) {
    const ElfSegment& below = segments[i - 1];
    if (segments[i].address.value - below.address.value < below.size) {
      bad(fmt::format("its segments at 0x{:x} and 0x{:x} overlap", below.address.value,
                      segments[i].address.value));
    }
  }
}

}  // namespace

ElfImage parse_elf(std::span<const std::byte> file) {
  const Elf64_Ehdr header = read_header(file);
  ElfImage image;
  std::optional<std::uint32_t> entry;
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    const std::uint64_t offset = std::uint64_t{i} * sizeof(Elf64_Phdr);
    if (header.e_phoff > file.size()) bad("the file is truncated: it ends before its program headers");
    const auto segment = read<Elf64_Phdr>(file, header.e_phoff + offset, "program headers");
    if (segment.p_type == PT_NOTE && !entry) {
      entry = find_entry(slice(file, segment.p_offset, segment.p_filesz, "notes"));
    }
    if (segment.p_type != PT_LOAD || segment.p_memsz == 0) continue;
    if (segment.p_filesz > segment.p_memsz ||
        segment.p_paddr > UINT64_MAX - segment.p_memsz) {
      bad(fmt::format("its segment at 0x{:x} has an unsound size", segment.p_paddr));
    }
    image.segments.push_back(
        {GuestAddress{segment.p_paddr}, segment.p_memsz,
         slice(file, segment.p_offset, segment.p_filesz, "segments")});
  }
  if (image.segments.empty()) bad("an ELF file with nothing to load");
  if (!entry) {
    bad("not a PVH kernel (no XEN_ELFNOTE_PHYS32_ENTRY note): for Linux use a vmlinux built with "
        "CONFIG_PVH=y");
  }
  check_overlap(image.segments);
  const bool inside = std::ranges::any_of(image.segments, [&](const ElfSegment& segment) {
    return *entry >= segment.address.value && *entry - segment.address.value < segment.size;
  });
  if (!inside) bad(fmt::format("its PVH entry 0x{:x} lies in none of its segments", *entry));
  image.pvh_entry = *entry;
  return image;
}

}  // namespace vmm

#include "vmm/boot/elf_image.hpp"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>

#include "vmm/boot/boot_error.hpp"
#include "vmm/boot/image_kind.hpp"

namespace vmm {

namespace {

constexpr std::uint32_t kGuestOs = 6;       // XEN_ELFNOTE_GUEST_OS
constexpr std::uint32_t kPhys32Entry = 18;  // XEN_ELFNOTE_PHYS32_ENTRY
constexpr std::string_view kXen{"Xen\0", 4};
constexpr std::string_view kGuestLinux{"linux\0", 6};
constexpr std::string_view kLinux{"Linux\0", 6};

struct Elf64 {
  using Header = Elf64_Ehdr;
  using ProgramHeader = Elf64_Phdr;
};
struct Elf32 {
  using Header = Elf32_Ehdr;
  using ProgramHeader = Elf32_Phdr;
};

std::span<const std::byte> slice(std::span<const std::byte> file, std::uint64_t offset,
                                 std::uint64_t size, const char* what) {
  if (offset > file.size() || size > file.size() - offset) {
    bad_image(
        fmt::format("the file is truncated: it ends at byte {}, within its {}", file.size(), what));
  }
  return file.subspan(offset, size);
}

template <typename Struct>
Struct read(std::span<const std::byte> file, std::uint64_t offset, const char* what) {
  Struct value{};
  std::memcpy(&value, slice(file, offset, sizeof(value), what).data(), sizeof(value));
  return value;
}

/// What the notes of a file tell.
struct Notes {
  std::optional<std::uint32_t> pvh_entry;
  bool linux = false;
  std::string wrong;  ///< what is wrong with them, if anything is
};

/// One note: who owns it, its type, and what it says.
struct Note {
  std::string_view owner;
  std::uint32_t type;
  std::span<const std::byte> descriptor;
};

std::uint32_t read_entry(std::span<const std::byte> descriptor) {
  switch (descriptor.size()) {
    case sizeof(std::uint32_t): return read<std::uint32_t>(descriptor, 0, "PVH note");
    case sizeof(std::uint64_t): {
      const auto entry = read<std::uint64_t>(descriptor, 0, "PVH note");
      if (entry > UINT32_MAX) bad_image(fmt::format("its PVH entry 0x{:x} is above 4 GiB", entry));
      return static_cast<std::uint32_t>(entry);
    }
    default:
      bad_image(
          fmt::format("its PVH note has {} bytes, and should have 4 or 8", descriptor.size()));
  }
}

std::string_view words_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void take(const Note& note, Notes& into) {
  if (note.owner == kXen && note.type == kPhys32Entry && !into.pvh_entry) {
    into.pvh_entry = read_entry(note.descriptor);
  }
  into.linux |= note.owner == kLinux;
  into.linux |=
      note.owner == kXen && note.type == kGuestOs && words_of(note.descriptor) == kGuestLinux;
}

/// Notes follow each other, each with name and descriptor padded to `alignment`. What is wrong with
/// them; empty when nothing is.
std::string take_notes(std::span<const std::byte> notes, std::uint64_t alignment, Notes& into) {
  const std::uint64_t mask = alignment - 1;
  const auto aligned = [mask](std::uint64_t size) { return (size + mask) & ~mask; };
  while (notes.size() >= sizeof(Elf64_Nhdr)) {  // the same in files of 32 bits
    const auto header = read<Elf64_Nhdr>(notes, 0, "notes");
    const std::uint64_t descriptor_at = aligned(sizeof(header) + header.n_namesz);
    const std::uint64_t end = descriptor_at + header.n_descsz;
    if (end > notes.size()) {
      return fmt::format(
          "its ELF notes are wrong: one says that it has a name of {} bytes and a content of {}, "
          "where {} bytes are left",
          header.n_namesz, header.n_descsz, notes.size() - sizeof(header));
    }
    take({words_of(notes.subspan(sizeof(header), header.n_namesz)), header.n_type,
          notes.subspan(descriptor_at, header.n_descsz)},
         into);
    // The padding of the last one may be missing.
    notes = notes.subspan(std::min<std::uint64_t>(aligned(end), notes.size()));
  }
  return {};
}

/// In a segment that is aligned to 8 bytes the notes are too, or those of them that a linker took
/// from sections that were not, are not.
void take_note_segment(std::span<const std::byte> notes, std::uint64_t alignment, Notes& into) {
  const bool wide = alignment == 8;
  const std::string wrong = take_notes(notes, wide ? 8 : 4, into);
  if (wide && !into.pvh_entry) take_notes(notes, 4, into);
  if (!wrong.empty()) into.wrong = wrong;
}

template <typename ProgramHeader>
ElfSegment read_segment(std::span<const std::byte> file, const ProgramHeader& header) {
  const std::uint64_t address = header.p_paddr;
  const std::uint64_t size = header.p_memsz;
  if (header.p_filesz > size || size > UINT64_MAX - address) {
    bad_image(fmt::format("its segment at 0x{:x} has an impossible size", address));
  }
  // The place in the file of a segment without bytes there means nothing.
  if (header.p_filesz == 0) return {GuestAddress{address}, size, {}};
  return {GuestAddress{address}, size, slice(file, header.p_offset, header.p_filesz, "segments")};
}

void check_disjoint(const std::vector<ElfSegment>& sorted) {
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i - 1].end() <= sorted[i].address.value) continue;
    bad_image(fmt::format("its segments at 0x{:x} and 0x{:x} overlap", sorted[i - 1].address.value,
                          sorted[i].address.value));
  }
}

template <typename Elf>
ElfImage parse(std::span<const std::byte> file) {
  using ProgramHeader = typename Elf::ProgramHeader;
  const auto header = read<typename Elf::Header>(file, 0, "ELF header");
  if (header.e_phnum == 0) bad_image("an ELF file with nothing to load");
  if (header.e_phentsize != sizeof(ProgramHeader))
    bad_image("its program headers have a wrong size");
  const auto table =
      slice(file, header.e_phoff, std::uint64_t{header.e_phnum} * sizeof(ProgramHeader),
            "program headers");
  ElfImage image;
  Notes notes;
  for (std::size_t at = 0; at < table.size(); at += sizeof(ProgramHeader)) {
    const auto part = read<ProgramHeader>(table, at, "program headers");
    if (part.p_type == PT_LOAD && part.p_memsz > 0) {
      image.segments.push_back(read_segment(file, part));
    } else if (part.p_type == PT_NOTE) {
      take_note_segment(slice(file, part.p_offset, part.p_filesz, "notes"), part.p_align, notes);
    }
  }
  if (image.segments.empty()) bad_image("an ELF file with nothing to load");
  const std::optional<std::uint32_t> entry = notes.pvh_entry;
  if (!entry && !notes.wrong.empty()) bad_image(notes.wrong);
  if (!entry) {
    bad_image(
        "not a PVH kernel (it has no XEN_ELFNOTE_PHYS32_ENTRY note): take the bzImage instead, or "
        "the vmlinux of a Linux built with CONFIG_PVH=y");
  }
  std::ranges::sort(image.segments, {}, &ElfSegment::address);
  check_disjoint(image.segments);
  image.pvh_entry = *entry;
  image.linux = notes.linux;
  const bool inside = std::ranges::any_of(image.segments, [&](const ElfSegment& segment) {
    return *entry >= segment.address.value && *entry < segment.end();
  });
  if (!inside) bad_image(fmt::format("its PVH entry 0x{:x} lies in none of its segments", *entry));
  return image;
}

}  // namespace

ElfImage parse_elf(std::span<const std::byte> file) {
  if (file.size() < EI_NIDENT || std::memcmp(file.data(), ELFMAG, SELFMAG) != 0) {
    bad_image("not an ELF file");
  }
  const auto ident = [&](std::size_t at) { return std::to_integer<unsigned>(file[at]); };
  const unsigned elf_class = ident(EI_CLASS);
  const auto machine =
      read<std::uint16_t>(file, offsetof(Elf64_Ehdr, e_machine), "ELF header");  // as in Elf32_Ehdr
  if (ident(EI_DATA) == ELFDATA2LSB) {
    if (elf_class == ELFCLASS64 && machine == EM_X86_64) return parse<Elf64>(file);
    if (elf_class == ELFCLASS32 && machine == EM_386) return parse<Elf32>(file);
  }
  bad_image(fmt::format("an ELF file for another machine ({}, class {}): Ferry runs x86 kernels",
                        elf_machine_name(machine), elf_class));
}

}  // namespace vmm

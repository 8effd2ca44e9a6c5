#pragma once

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace vmm {

using Bytes = std::vector<std::byte>;

inline void append(Bytes& to, const void* from, std::size_t size) {
  const auto* bytes = static_cast<const std::byte*>(from);
  to.insert(to.end(), bytes, bytes + size);
}

/// A 64-bit ELF kernel of a few hundred bytes, made part by part, right or wrong. Layout: header,
/// program headers, then what the segments have in the file.
class ElfBuilder {
 public:
  static constexpr std::uint32_t kEntry = 0x100000;

  ElfBuilder() {
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_machine = EM_X86_64;
    header.e_phoff = sizeof(header);
    header.e_phentsize = sizeof(Elf64_Phdr);
  }

  /// `size` bytes at `address`, of which the file has `text`.
  ElfBuilder& load(std::uint64_t address, std::uint64_t size, const std::string& text) {
    Bytes bytes;
    append(bytes, text.data(), text.size());
    return part(PT_LOAD, address, size, bytes);
  }
  ElfBuilder& pvh_note(std::uint32_t entry = kEntry) {
    return note("Xen", 18,
                Bytes(reinterpret_cast<const std::byte*>(&entry),
                      reinterpret_cast<const std::byte*>(&entry) + sizeof(entry)));
  }
  ElfBuilder& note(const std::string& name, std::uint32_t type, const Bytes& descriptor) {
    const Elf64_Nhdr head{static_cast<Elf64_Word>(name.size() + 1),
                          static_cast<Elf64_Word>(descriptor.size()), type};
    Bytes bytes;
    append(bytes, &head, sizeof(head));
    append(bytes, name.c_str(), name.size() + 1);
    bytes.resize((bytes.size() + 3) / 4 * 4);
    append(bytes, descriptor.data(), descriptor.size());
    return part(PT_NOTE, 0, bytes.size(), bytes);
  }
  ElfBuilder& part(std::uint32_t type, std::uint64_t address, std::uint64_t size,
                   const Bytes& bytes) {
    Elf64_Phdr head{};
    head.p_type = type;
    head.p_paddr = address;
    head.p_filesz = bytes.size();
    head.p_memsz = size;
    parts.push_back({head, bytes});
    return *this;
  }

  [[nodiscard]] Bytes build() const {
    Elf64_Ehdr first = header;
    if (first.e_phnum == 0) first.e_phnum = static_cast<Elf64_Half>(parts.size());
    Bytes file;
    append(file, &first, sizeof(first));
    std::uint64_t offset = sizeof(first) + parts.size() * sizeof(Elf64_Phdr);
    for (const Part& each : parts) {
      Elf64_Phdr head = each.header;
      if (head.p_offset == 0) head.p_offset = offset;
      append(file, &head, sizeof(head));
      offset += each.bytes.size();
    }
    for (const Part& each : parts) append(file, each.bytes.data(), each.bytes.size());
    return file;
  }

  /// For what the functions above do not spoil.
  struct Part {
    Elf64_Phdr header;
    Bytes bytes;
  };
  Elf64_Ehdr header{};
  std::vector<Part> parts;
};

/// A kernel that is right: code at 1 MiB, data at 2 MiB with zeros behind it.
inline ElfBuilder good_kernel() {
  return ElfBuilder().pvh_note().load(0x100000, 0x1000, "code").load(0x200000, 0x3000, "data");
}

}  // namespace vmm

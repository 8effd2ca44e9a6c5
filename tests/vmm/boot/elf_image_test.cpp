#include "vmm/boot/elf_image.hpp"

#include <gtest/gtest.h>

#include <string>

#include "tests/vmm/boot/elf_builder.hpp"
#include "vmm/boot/boot_error.hpp"

namespace vmm {
namespace {

/// Why the file is no kernel; empty when it is one.
std::string elf_refusal(const Bytes& file) {
  try {
    static_cast<void>(parse_elf(file));
  } catch (const BootError& error) {
    EXPECT_EQ(error.kind(), BootError::Kind::bad_image);
    return error.what();
  }
  return "";
}

#define EXPECT_REFUSED(file, part) \
  EXPECT_NE(elf_refusal(file).find(part), std::string::npos) << elf_refusal(file)

TEST(ElfImage, HasEntryAndSegmentsInOrder) {
  const Bytes file =
      ElfBuilder().load(0x200000, 0x3000, "data").pvh_note().load(0x100000, 0x1000, "code").build();
  const ElfImage image = parse_elf(file);
  EXPECT_EQ(image.pvh_entry, 0x100000U);
  ASSERT_EQ(image.segments.size(), 2U);
  EXPECT_EQ(image.segments[0].address.value, 0x100000U);
  EXPECT_EQ(image.segments[0].size, 0x1000U);
  EXPECT_EQ(std::memcmp(image.segments[0].file.data(), "code", 4), 0);
  EXPECT_EQ(image.segments[1].end(), 0x203000U);
}

TEST(ElfImage, MayBeCutOffOnlyBehindWhatItNeeds) {
  const Bytes file = good_kernel().build();
  for (std::size_t size = 0; size < file.size(); ++size) {
    EXPECT_NE(elf_refusal({file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size)}), "")
        << size << " of " << file.size() << " bytes";
  }
  EXPECT_EQ(elf_refusal(file), "");
}

TEST(ElfImage, IsRefusedWhenItIsSomethingElse) {
  Bytes text(4096, std::byte{'x'});
  EXPECT_REFUSED(text, "not an ELF file");
  EXPECT_REFUSED({}, "not an ELF file");
  ElfBuilder arm = good_kernel();
  arm.header.e_machine = EM_AARCH64;
  EXPECT_REFUSED(arm.build(), "another machine (arm64");
  ElfBuilder big_endian = good_kernel();
  big_endian.header.e_ident[EI_DATA] = ELFDATA2MSB;
  EXPECT_REFUSED(big_endian.build(), "another machine");
  ElfBuilder mixed = good_kernel();
  mixed.header.e_ident[EI_CLASS] = ELFCLASS32;
  EXPECT_REFUSED(mixed.build(), "another machine");
}

TEST(ElfImage, NeedsThePvhNote) {
  EXPECT_REFUSED(ElfBuilder().load(0x100000, 0x1000, "code").build(), "PVH");
  const Bytes entry(4, std::byte{0x10});
  EXPECT_REFUSED(ElfBuilder().note("GNU", 18, entry).load(0x100000, 0x1000, "c").build(), "PVH");
  EXPECT_REFUSED(ElfBuilder().note("Xen", 17, entry).load(0x100000, 0x1000, "c").build(), "PVH");
}

TEST(ElfImage, FindsThePvhNoteBehindOthers) {
  const Bytes other(6, std::byte{1});  // padded to 8
  Bytes notes;
  for (const Bytes& each : {ElfBuilder().note("GNU", 3, other).parts[0].bytes, Bytes(2),
                            ElfBuilder().pvh_note().parts[0].bytes}) {
    append(notes, each.data(), each.size());
  }
  const Bytes file =
      ElfBuilder().part(PT_NOTE, 0, notes.size(), notes).load(0x100000, 0x1000, "c").build();
  EXPECT_EQ(parse_elf(file).pvh_entry, 0x100000U);
}

// In files of 64 bits some tools align notes to 8 bytes, and linkers mix these with others.
TEST(ElfImage, FindsThePvhNoteBehindOthersInASegmentThatIsAlignedTo8) {
  for (const std::size_t padding : {4U, 8U}) {
    Bytes notes;
    for (const Bytes& each : {ElfBuilder().note("GNU", 1, Bytes(4)).parts[0].bytes,
                              ElfBuilder().pvh_note().parts[0].bytes}) {
      append(notes, each.data(), each.size());
      notes.resize((notes.size() + padding - 1) / padding * padding);
    }
    ElfBuilder kernel =
        ElfBuilder().part(PT_NOTE, 0, notes.size(), notes).load(0x100000, 0x1000, "c");
    kernel.parts[0].header.p_align = 8;
    EXPECT_EQ(parse_elf(kernel.build()).pvh_entry, 0x100000U) << padding;
  }
}

TEST(ElfImage, DoesNotMindAWrongNoteWhereItHasThePvhNote) {
  EXPECT_EQ(elf_refusal(good_kernel().part(PT_NOTE, 0, 16, Bytes(16, std::byte{0x7f})).build()),
            "");
}

TEST(ElfImage, SaysWhetherItIsLinux) {
  const auto linux_or_not = [](ElfBuilder kernel) { return parse_elf(kernel.build()).linux; };
  const std::string name = "linux";
  Bytes system;
  append(system, name.c_str(), name.size() + 1);
  EXPECT_FALSE(linux_or_not(good_kernel().note("Xen", 7, system)));
  EXPECT_TRUE(linux_or_not(good_kernel().note("Xen", 6, system)));
  EXPECT_TRUE(linux_or_not(good_kernel().note("Linux", 0x100, Bytes(1))));
}

TEST(ElfImage, IsRefusedForANoteOfAWrongSize) {
  EXPECT_REFUSED(ElfBuilder().note("Xen", 18, Bytes(3)).load(0x100000, 0x1000, "c").build(),
                 "3 bytes");
  ElfBuilder endless = good_kernel();
  const std::uint32_t huge = 0xfffffffc;
  std::memcpy(endless.parts[0].bytes.data() + 4, &huge, sizeof(huge));  // size of the descriptor
  EXPECT_REFUSED(endless.build(), "ELF notes are wrong");
  std::memcpy(endless.parts[0].bytes.data(), &huge, sizeof(huge));  // size of the name
  EXPECT_REFUSED(endless.build(), "a name of 4294967292 bytes");
}

TEST(ElfImage, NeedsTheEntryInASegment) {
  EXPECT_REFUSED(ElfBuilder().pvh_note(0xff000).load(0x100000, 0x1000, "c").build(), "none of its");
  EXPECT_REFUSED(ElfBuilder().pvh_note(0x101000).load(0x100000, 0x1000, "c").build(), "0x101000");
}

TEST(ElfImage, IsRefusedForSegmentsThatOverlap) {
  EXPECT_REFUSED(good_kernel().load(0x100fff, 1, "x").build(), "overlap");
  EXPECT_EQ(elf_refusal(good_kernel().load(0x101000, 1, "x").build()), "");
}

TEST(ElfImage, IsRefusedForImpossibleSizes) {
  ElfBuilder more_file = good_kernel();
  more_file.parts[1].header.p_memsz = 3;  // the file has 4
  EXPECT_REFUSED(more_file.build(), "impossible size");
  ElfBuilder around = good_kernel();
  around.parts[2].header.p_paddr = UINT64_MAX - 0x1000;
  EXPECT_REFUSED(around.build(), "impossible size");
  ElfBuilder outside = good_kernel();
  outside.parts[2].header.p_offset = UINT64_MAX - 1;
  EXPECT_REFUSED(outside.build(), "truncated");
  ElfBuilder beyond = good_kernel();
  beyond.parts[2].header.p_filesz = beyond.parts[2].header.p_memsz = UINT64_C(1) << 60;
  EXPECT_REFUSED(beyond.build(), "truncated");
}

TEST(ElfImage, IsRefusedForAWrongProgramHeaderTable) {
  EXPECT_REFUSED(ElfBuilder().build(), "nothing to load");
  EXPECT_REFUSED(ElfBuilder().pvh_note().build(), "nothing to load");
  ElfBuilder wrong_size = good_kernel();
  wrong_size.header.e_phentsize = 1;
  EXPECT_REFUSED(wrong_size.build(), "wrong size");
  ElfBuilder far = good_kernel();
  far.header.e_phoff = UINT64_MAX - 8;
  EXPECT_REFUSED(far.build(), "truncated");
  ElfBuilder many = good_kernel();
  many.header.e_phnum = 0xffff;
  EXPECT_REFUSED(many.build(), "truncated");
}

TEST(ElfImage, TakesASegmentWithoutBytesInTheFile) {
  ElfBuilder bss = good_kernel().load(0x400000, 0x1000, "");
  bss.parts.back().header.p_offset = UINT64_MAX;  // means nothing then
  EXPECT_EQ(parse_elf(bss.build()).segments.back().file.size(), 0U);
}

}  // namespace
}  // namespace vmm

#include "vmm/boot/pvh.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "tests/vmm/boot/boot_fixture.hpp"

namespace vmm {
namespace {

class Pvh : public BootTest {};

struct MapEntry {
  std::uint64_t address, size;
  std::uint32_t type, reserved;
};

struct Start {
  std::uint32_t magic, version, flags, modules;
  std::uint64_t modules_at, cmdline_at, rsdp_at, map_at;
  std::uint32_t map_entries, reserved;
};

TEST_F(Pvh, PlacesSegmentsStartInfoAndCommandLine) {
  GuestMemory memory(32_MiB);
  const BootEntry entry = place(memory, good_kernel().build(), "quiet tick=1");
  EXPECT_EQ(entry.protocol, BootEntry::Protocol::pvh);
  EXPECT_EQ(entry.address, ElfBuilder::kEntry);
  EXPECT_EQ((read<std::array<char, 4>>(memory, 0x100000)), (std::array{'c', 'o', 'd', 'e'}));
  EXPECT_EQ((read<std::array<char, 4>>(memory, 0x200000)), (std::array{'d', 'a', 't', 'a'}));
  const auto start = read<Start>(memory, entry.info);
  EXPECT_EQ(start.magic, 0x336ec578U);
  EXPECT_EQ(start.version, 1U);
  EXPECT_EQ(start.modules, 0U);
  EXPECT_EQ(text(memory, start.cmdline_at), "quiet tick=1");
  EXPECT_EQ(text(memory, start.rsdp_at).substr(0, 8), "RSD PTR ");
}

TEST_F(Pvh, MapsRamBelowAndAboveTheHole) {
  const auto ram = [&](std::uint64_t size) {
    GuestMemory memory(size);
    const BootEntry entry = place(memory, good_kernel().build());
    const auto start = read<Start>(memory, entry.info);
    std::vector<std::pair<std::uint64_t, std::uint64_t>> found;
    for (std::uint32_t i = 0; i < start.map_entries; ++i) {
      const auto each = read<MapEntry>(memory, start.map_at + i * sizeof(MapEntry));
      if (each.type == 1) found.emplace_back(each.address, each.size);
    }
    return found;
  };
  using Map = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
  EXPECT_EQ(ram(16_MiB), (Map{{0, 0x9fc00}, {1_MiB, 15_MiB}}));
  EXPECT_EQ(ram(3_GiB), (Map{{0, 0x9fc00}, {1_MiB, 3_GiB - 1_MiB}}));
  EXPECT_EQ(ram(5_GiB), (Map{{0, 0x9fc00}, {1_MiB, 3_GiB - 1_MiB}, {4_GiB, 2_GiB}}));
}

TEST_F(Pvh, TouchesLittleOfALargeMemory) {
  GuestMemory memory(5_GiB);
  static_cast<void>(place(memory, good_kernel().build()));
  PageSet touched(memory.page_count());
  memory.add_populated({0, memory.page_count()}, touched);
  EXPECT_GT(touched.count(), 0U);
  EXPECT_LE(touched.count(), 4 * 512U);  // huge pages of 2 MiB, where the host has them
}

TEST_F(Pvh, GivesTheInitramfsAsAModuleAtTheEndOfLowRam) {
  const Bytes ramdisk = pattern(5000);
  GuestMemory memory(32_MiB);
  const BootEntry entry = place(memory, good_kernel().build(), "", ramdisk);
  const auto start = read<Start>(memory, entry.info);
  ASSERT_EQ(start.modules, 1U);
  const auto address = read<std::uint64_t>(memory, start.modules_at);
  const auto size = read<std::uint64_t>(memory, start.modules_at + 8);
  EXPECT_EQ(size, ramdisk.size());
  EXPECT_EQ(address % kPageSize, 0U);
  EXPECT_GE(address, 30_MiB);
  EXPECT_EQ(std::memcmp(memory.at(GuestAddress{address}, size).data(), ramdisk.data(), size), 0);
}

TEST_F(Pvh, RefusesAnInitramfsThatDoesNotFit) {
  const std::string why = refusal(good_kernel().build(), 32_MiB, Bytes(31_MiB));
  EXPECT_SAYS(why, "initramfs");
  EXPECT_SAYS(why, "--memory");
}

TEST_F(Pvh, RefusesSegmentsOutsideRam) {
  EXPECT_SAYS(refusal(good_kernel().load(32_MiB - 1, 2, "x").build()), "does not fit into 32 MiB");
  EXPECT_EQ(refusal(good_kernel().load(32_MiB - 1, 1, "x").build()), "");
  EXPECT_SAYS(refusal(good_kernel().load(3_GiB, 1, "x").build(), 5_GiB), "not in RAM");
  EXPECT_SAYS(refusal(good_kernel().load(3_GiB - 1, 2, "x").build(), 5_GiB), "not in RAM");
  EXPECT_EQ(refusal(good_kernel().load(4_GiB, 1, "x").build(), 5_GiB), "");
  EXPECT_SAYS(refusal(good_kernel().load(0xa0000, 1, "x").build()), "0xa0000");
}

TEST_F(Pvh, RefusesASegmentWhereTheStartInfoGoes) {
  EXPECT_SAYS(refusal(good_kernel().load(0x6fff, 2, "x").build()), "start info");
}

TEST_F(Pvh, GivesSeveralFilesAsOneModule) {
  const Bytes first = pattern(5001);
  const Bytes second = pattern(30);
  GuestMemory memory(32_MiB);
  const BootSource source{
      file("kernel", good_kernel().build()), {file("first", first), file("second", second)}, ""};
  const auto start = read<Start>(memory, place_kernel(memory, BootFiles(source), {}, 1).info);
  ASSERT_EQ(start.modules, 1U);
  EXPECT_EQ(read<std::uint64_t>(memory, start.modules_at + 8), 5004U + 30);
  const auto at = read<std::uint64_t>(memory, start.modules_at);
  const std::byte* module = memory.at(GuestAddress{at}, 5034).data();
  EXPECT_EQ(std::memcmp(module, first.data(), first.size()), 0);
  EXPECT_EQ(std::memcmp(module + 5001, "\0\0\0", 3), 0);
  EXPECT_EQ(std::memcmp(module + 5004, second.data(), second.size()), 0);
}

TEST_F(Pvh, RefusesACommandLineThatLinuxWouldCut) {
  const Bytes linux = good_kernel().note("Linux", 0x100, Bytes(1)).build();
  EXPECT_EQ(refusal(linux, 32_MiB, {}, std::string(2047, 'x')), "");
  EXPECT_SAYS(refusal(linux, 32_MiB, {}, std::string(2048, 'x')), "2048 bytes, and may have 2047");
}

TEST_F(Pvh, RefusesACommandLineThatIsTooLong) {
  EXPECT_EQ(refusal(good_kernel().build(), 32_MiB, {}, std::string(8191, 'x')), "");
  EXPECT_SAYS(refusal(good_kernel().build(), 32_MiB, {}, std::string(8192, 'x')),
              "8192 bytes, and may have 8191");
}

}  // namespace
}  // namespace vmm

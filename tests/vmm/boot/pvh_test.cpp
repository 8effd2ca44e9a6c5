#include "vmm/boot/pvh.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/vmm/boot/elf_builder.hpp"

namespace vmm {
namespace {

class Pvh : public testing::Test {
 protected:
  std::filesystem::path file(const std::string& name, const Bytes& bytes) {
    std::filesystem::path path =
        std::filesystem::path(testing::TempDir()) /
        (std::string(testing::UnitTest::GetInstance()->current_test_info()->name()) + "." + name);
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    made_.push_back(path);
    return path;
  }
  void TearDown() override {
    for (const auto& path : made_) std::filesystem::remove(path);
  }

  template <typename Value>
  static Value read(GuestMemory& memory, std::uint64_t address) {
    Value value{};
    std::memcpy(&value, memory.at(GuestAddress{address}, sizeof(value)).data(), sizeof(value));
    return value;
  }

  /// Why the kernel cannot be placed; empty when it can.
  std::string refusal(const Bytes& kernel, std::uint64_t memory_size = 32_MiB,
                      const std::optional<std::filesystem::path>& initramfs = std::nullopt,
                      const std::string& cmdline = "") {
    GuestMemory memory(memory_size);
    try {
      static_cast<void>(place_pvh(memory, file("kernel", kernel), initramfs, cmdline));
    } catch (const BootError& error) {
      EXPECT_EQ(error.kind(), BootError::Kind::bad_image) << error.what();
      return error.what();
    }
    return "";
  }

 private:
  std::vector<std::filesystem::path> made_;
};

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
  const PvhEntry entry =
      place_pvh(memory, file("kernel", good_kernel().build()), std::nullopt, "quiet tick=1");
  EXPECT_EQ(entry.entry, ElfBuilder::kEntry);
  EXPECT_EQ((read<std::array<char, 4>>(memory, 0x100000)), (std::array{'c', 'o', 'd', 'e'}));
  EXPECT_EQ((read<std::array<char, 4>>(memory, 0x200000)), (std::array{'d', 'a', 't', 'a'}));
  const auto start = read<Start>(memory, entry.start_info);
  EXPECT_EQ(start.magic, 0x336ec578U);
  EXPECT_EQ(start.version, 1U);
  EXPECT_EQ(start.modules, 0U);
  const auto text = memory.at(GuestAddress{start.cmdline_at}, 13);
  EXPECT_EQ(std::memcmp(text.data(), "quiet tick=1", 13), 0);  // with its final zero
}

TEST_F(Pvh, MapsRamBelowAndAboveTheHole) {
  const auto ram = [&](std::uint64_t size) {
    GuestMemory memory(size);
    const PvhEntry entry =
        place_pvh(memory, file("kernel", good_kernel().build()), std::nullopt, "");
    const auto start = read<Start>(memory, entry.start_info);
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
  static_cast<void>(place_pvh(memory, file("kernel", good_kernel().build()), std::nullopt, ""));
  DirtyBitmap touched(memory.page_count());
  memory.add_populated({0, memory.page_count()}, touched);
  EXPECT_GT(touched.count(), 0U);
  EXPECT_LE(touched.count(), 4 * 512U);  // huge pages of 2 MiB, where the host has them
}

TEST_F(Pvh, GivesTheInitramfsAsAModuleAtTheEndOfLowRam) {
  Bytes ramdisk(5000);
  for (std::size_t i = 0; i < ramdisk.size(); ++i) ramdisk[i] = static_cast<std::byte>(i % 251);
  GuestMemory memory(32_MiB);
  const PvhEntry entry =
      place_pvh(memory, file("kernel", good_kernel().build()), file("initramfs", ramdisk), "");
  const auto start = read<Start>(memory, entry.start_info);
  ASSERT_EQ(start.modules, 1U);
  const auto address = read<std::uint64_t>(memory, start.modules_at);
  const auto size = read<std::uint64_t>(memory, start.modules_at + 8);
  EXPECT_EQ(size, ramdisk.size());
  EXPECT_EQ(address % kPageSize, 0U);
  EXPECT_GE(address, 30_MiB);
  EXPECT_EQ(std::memcmp(memory.at(GuestAddress{address}, size).data(), ramdisk.data(), size), 0);
}

TEST_F(Pvh, RefusesAnInitramfsThatDoesNotFit) {
  const auto ramdisk = file("initramfs", Bytes(31_MiB));
  const std::string why = refusal(good_kernel().build(), 32_MiB, ramdisk);
  EXPECT_NE(why.find("initramfs"), std::string::npos) << why;
  EXPECT_NE(why.find("--memory"), std::string::npos) << why;
}

TEST_F(Pvh, RefusesSegmentsOutsideRam) {
  EXPECT_NE(
      refusal(good_kernel().load(32_MiB - 1, 2, "x").build()).find("does not fit into 32 MiB"),
      std::string::npos);
  EXPECT_EQ(refusal(good_kernel().load(32_MiB - 1, 1, "x").build()), "");
  EXPECT_NE(refusal(good_kernel().load(3_GiB, 1, "x").build(), 5_GiB).find("not in RAM"),
            std::string::npos);
  EXPECT_NE(refusal(good_kernel().load(3_GiB - 1, 2, "x").build(), 5_GiB).find("not in RAM"),
            std::string::npos);
  EXPECT_EQ(refusal(good_kernel().load(4_GiB, 1, "x").build(), 5_GiB), "");
  EXPECT_NE(refusal(good_kernel().load(0xa0000, 1, "x").build()).find("0xa0000"),
            std::string::npos);
}

TEST_F(Pvh, RefusesASegmentWhereTheStartInfoGoes) {
  EXPECT_NE(refusal(good_kernel().load(0x6fff, 2, "x").build()).find("start info"),
            std::string::npos);
}

TEST_F(Pvh, RefusesACommandLineThatIsTooLong) {
  EXPECT_EQ(refusal(good_kernel().build(), 32_MiB, std::nullopt, std::string(8191, 'x')), "");
  const std::string why =
      refusal(good_kernel().build(), 32_MiB, std::nullopt, std::string(8192, 'x'));
  EXPECT_NE(why.find("8192 bytes, and may have 8191"), std::string::npos) << why;
}

TEST_F(Pvh, NamesTheFileThatIsMissingOrNone) {
  GuestMemory memory(32_MiB);
  const auto place = [&](const std::filesystem::path& kernel,
                         const std::optional<std::filesystem::path>& initramfs) {
    try {
      static_cast<void>(place_pvh(memory, kernel, initramfs, ""));
    } catch (const BootError& error) {
      return std::pair(error.kind(), std::string(error.what()));
    }
    return std::pair(BootError::Kind{}, std::string());
  };
  const auto good = file("kernel", good_kernel().build());
  EXPECT_EQ(place("/no/kernel", {}).first, BootError::Kind::missing_file);
  EXPECT_NE(place("/no/kernel", {}).second.find("kernel '/no/kernel'"), std::string::npos);
  EXPECT_EQ(place(good, "/no/disk").first, BootError::Kind::missing_file);
  EXPECT_NE(place(good, "/no/disk").second.find("initramfs '/no/disk'"), std::string::npos);
  EXPECT_EQ(place(testing::TempDir(), {}).first, BootError::Kind::missing_file);
  EXPECT_EQ(place(file("empty", {}), {}).first, BootError::Kind::bad_image);
}

}  // namespace
}  // namespace vmm

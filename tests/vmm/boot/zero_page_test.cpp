#include <asm/bootparam.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/vmm/boot/boot_fixture.hpp"
#include "tests/vmm/boot/bzimage_builder.hpp"
#include "vmm/boot/bzimage.hpp"

namespace vmm {
namespace {

class ZeroPage : public BootTest {
 protected:
  boot_params boot(GuestMemory& memory, const BzImageBuilder& kernel, const std::string& cmdline,
                   const std::optional<Bytes>& initramfs = std::nullopt) {
    return read<boot_params>(memory, place(memory, kernel.build(), cmdline, initramfs).info);
  }
};

TEST_F(ZeroPage, HasTheKernelsHeaderAndWhatALoaderFillsIn) {
  GuestMemory memory(64_MiB);
  const auto params = boot(memory, BzImageBuilder(), "console=ttyS0");
  EXPECT_EQ(+params.hdr.header, 0x53726448U);
  EXPECT_EQ(+params.hdr.version, 0x020f);
  EXPECT_EQ(+params.hdr.type_of_loader, 0xff);
  EXPECT_EQ(+params.hdr.code32_start, 16_MiB);
  EXPECT_EQ(+params.sentinel, 0);
  EXPECT_EQ(text(memory, params.hdr.cmd_line_ptr), "console=ttyS0");
  EXPECT_EQ(text(memory, params.acpi_rsdp_addr).substr(0, 8), "RSD PTR ");
  EXPECT_EQ(+params.hdr.ramdisk_size, 0U);
}

TEST_F(ZeroPage, HasTheMemoryMap) {
  GuestMemory memory(5_GiB);
  const auto params = boot(memory, BzImageBuilder(), "");
  using Row = std::tuple<std::uint64_t, std::uint64_t, std::uint32_t>;
  std::vector<Row> rows;
  for (unsigned i = 0; i < params.e820_entries; ++i) {
    const auto& entry = params.e820_table[i];
    rows.emplace_back(+entry.addr, +entry.size, +entry.type);
  }
  EXPECT_EQ(
      rows,
      (std::vector<Row>{
          {0, 0x9fc00, 1}, {0x9fc00, 0x60400, 2}, {1_MiB, 3_GiB - 1_MiB, 1}, {4_GiB, 2_GiB, 1}}));
}

TEST_F(ZeroPage, ComesWithTheKernelAndPageTablesThatMapIt) {
  GuestMemory memory(64_MiB);
  BzImageBuilder kernel;
  kernel.code = pattern(0x1000);
  const BootEntry entry = place(memory, kernel.build());
  EXPECT_EQ(entry.address, 16_MiB + 0x200);
  EXPECT_EQ(std::memcmp(memory.at(GuestAddress{16_MiB}, 0x1000).data(), kernel.code.data(), 0x1000),
            0);
  const auto walk = [&](std::uint64_t address) {
    const auto table = [&](std::uint64_t at, unsigned shift) {
      return read<std::uint64_t>(memory, (at & ~0xfffULL) + (address >> shift & 0x1ff) * 8);
    };
    const auto leaf = table(table(table(kPageTablesAt, 39), 30), 21);
    EXPECT_EQ(leaf & 0x83, 0x83U);  // present, writable, 2 MiB
    return (leaf & ~0xfffULL) + (address & 0x1fffff);
  };
  for (const std::uint64_t address :
       {std::uint64_t{0x6000}, 16_MiB + 0x200, 3_GiB + 5, 4_GiB - 1}) {
    EXPECT_EQ(walk(address), address);
  }
}

TEST_F(ZeroPage, GivesTheInitramfsAtTheEndOfRamOrWhereTheKernelReaches) {
  const Bytes ramdisk = pattern(5000);
  GuestMemory memory(64_MiB);
  BzImageBuilder kernel;
  auto params = boot(memory, kernel, "", ramdisk);
  EXPECT_EQ(+params.hdr.ramdisk_image, 64_MiB - 8192);
  EXPECT_EQ(+params.hdr.ramdisk_size, 5000U);
  EXPECT_EQ(std::memcmp(memory.at(GuestAddress{params.hdr.ramdisk_image}, 5000).data(),
                        ramdisk.data(), 5000),
            0);
  kernel.header.initrd_addr_max = 48 * 1024 * 1024 - 1;
  params = boot(memory, kernel, "", ramdisk);
  EXPECT_EQ(+params.hdr.ramdisk_image, 48_MiB - 8192);
}

TEST_F(ZeroPage, RefusesAnInitramfsThatDoesNotFit) {
  BzImageBuilder kernel;
  EXPECT_EQ(refusal(kernel.build(), 32_MiB, Bytes(7_MiB)), "");
  EXPECT_SAYS(refusal(kernel.build(), 32_MiB, Bytes(7_MiB + 1)), "--memory");
  kernel.header.initrd_addr_max = 0x1a00000 - 1;
  EXPECT_SAYS(refusal(kernel.build(), 64_MiB, Bytes(1_MiB + 1)), "0x1a00000");
}

TEST_F(ZeroPage, RefusesTooLittleMemoryAndSaysHowMuchItNeeds) {
  EXPECT_SAYS(refusal(BzImageBuilder().build(), 24_MiB), "--memory of at least 25M");
  EXPECT_EQ(refusal(BzImageBuilder().build(), 25_MiB), "");
}

TEST_F(ZeroPage, RefusesAKernelAboveWhereThePageTablesReach) {
  BzImageBuilder high;
  high.header.pref_address = 4_GiB;
  EXPECT_SAYS(refusal(high.build(), 5_GiB), "above 3 GiB");
}

TEST_F(ZeroPage, RefusesACommandLineThatTheKernelWouldCut) {
  const Bytes kernel = BzImageBuilder().build();
  EXPECT_EQ(refusal(kernel, 32_MiB, {}, std::string(2047, 'x')), "");
  EXPECT_SAYS(refusal(kernel, 32_MiB, {}, std::string(2048, 'x')), "2048 bytes, and may have 2047");
}

}  // namespace
}  // namespace vmm

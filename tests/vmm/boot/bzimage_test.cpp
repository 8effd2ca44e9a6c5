#include "vmm/boot/bzimage.hpp"

#include <gtest/gtest.h>

#include <string>

#include "tests/vmm/boot/boot_fixture.hpp"
#include "tests/vmm/boot/bzimage_builder.hpp"
#include "vmm/boot/boot_error.hpp"

namespace vmm {
namespace {

/// Why the file is no kernel; empty when it is one.
std::string refusal(const Bytes& file) {
  try {
    static_cast<void>(parse_bzimage(file));
  } catch (const BootError& error) {
    EXPECT_EQ(error.kind(), BootError::Kind::bad_image);
    return error.what();
  }
  return "";
}

/// A bzImage with one thing changed.
template <typename Change>
Bytes with(Change change) {
  BzImageBuilder builder;
  change(builder.header);
  return builder.build();
}

TEST(BzImage, RunsFromItsPreferredAddress) {
  const Bytes file = BzImageBuilder().build();
  const BzImage image = parse_bzimage(file);
  EXPECT_EQ(image.address, 16_MiB);
  EXPECT_EQ(image.entry, 16_MiB + 0x200);
  EXPECT_EQ(image.end, 25_MiB);
  EXPECT_EQ(image.code.size(), 0x1000U);
  EXPECT_EQ(image.code.data(), file.data() + 1024);
}

TEST(BzImage, HasFourSetupSectorsWhereItSaysNone) {
  BzImageBuilder builder;
  builder.header.setup_sects = 0;
  Bytes file = builder.build();
  file.insert(file.begin() + 1024, 1536, std::byte{0});
  EXPECT_EQ(parse_bzimage(file).code.data(), file.data() + 2560);
}

TEST(BzImage, IsAlignedWhereItCanBeMoved) {
  const auto address = [](std::uint64_t preferred, std::uint8_t relocatable) {
    return parse_bzimage(with([&](setup_header& header) {
             header.pref_address = preferred;
             header.relocatable_kernel = relocatable;
           }))
        .address;
  };
  EXPECT_EQ(address(0x1000001, 1), 18_MiB);
  EXPECT_EQ(address(0, 1), 2_MiB);
  EXPECT_EQ(address(0x1000001, 0), 0x1000001U);
}

TEST(BzImage, TakesTheHeaderOnlyAsFarAsItGoes) {
  const Bytes file = with([](setup_header& header) {
    header.jump = 0x62eb;  // ends at 0x264, behind init_size, as that of protocol 2.12 does
    header.handover_offset = 0x12345678;  // code already
  });
  EXPECT_EQ(+parse_bzimage(file).header.handover_offset, 0U);
  EXPECT_EQ(+parse_bzimage(file).header.init_size, 0x900000U);
}

// The header counts in units of 16 bytes, and memtest86+ does not pad the last one.
TEST(BzImage, MayBeCutOffOnlyWithinItsLastUnit) {
  const Bytes file = BzImageBuilder().build();
  const auto cut = [&](std::size_t size) {
    return Bytes(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
  };
  for (std::size_t size = 0; size <= file.size() - 16; size += 7) {
    EXPECT_NE(refusal(cut(size)), "") << size << " of " << file.size() << " bytes";
  }
  EXPECT_SAYS(refusal(cut(file.size() - 16)), "truncated");
  const Bytes shorter = cut(file.size() - 15);
  EXPECT_EQ(parse_bzimage(shorter).code.size(), 0x1000U - 15);
  Bytes longer = file;
  longer.resize(file.size() + 1000);  // a signature
  EXPECT_EQ(parse_bzimage(longer).code.size(), 0x1000U);
}

TEST(BzImage, IsRefusedBeforeProtocol2_12) {
  EXPECT_SAYS(refusal(with([](setup_header& header) { header.version = 0x020b; })), "2.11");
  EXPECT_EQ(refusal(with([](setup_header& header) { header.version = 0x020c; })), "");
}

TEST(BzImage, IsRefusedWithoutA64BitEntry) {
  EXPECT_SAYS(refusal(with([](setup_header& header) { header.xloadflags = 0; })), "32 bits");
  EXPECT_SAYS(refusal(with([](setup_header& header) { header.syssize = 0x20; })), "64-bit entry");
  EXPECT_SAYS(refusal(with([](setup_header& header) { header.loadflags = 0; })), "zImage");
}

TEST(BzImage, IsRefusedForImpossibleAddresses) {
  EXPECT_SAYS(refusal(with([](setup_header& header) { header.kernel_alignment = 0; })),
              "alignment");
  EXPECT_SAYS(refusal(with([](setup_header& header) { header.kernel_alignment = 0x300000; })),
              "alignment");
  EXPECT_SAYS(refusal(with([](setup_header& header) { header.pref_address = UINT64_MAX; })),
              "impossible");
  EXPECT_SAYS(
      refusal(with([](setup_header& header) { header.pref_address = UINT64_MAX & ~0x1fffffULL; })),
      "impossible");
  EXPECT_SAYS(refusal(with([](setup_header& header) {
                header.pref_address = 0;
                header.relocatable_kernel = 0;
              })),
              "below 1 MiB");
}

}  // namespace
}  // namespace vmm

#include "vmm/boot/boot.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "tests/vmm/boot/boot_fixture.hpp"
#include "tests/vmm/boot/bzimage_builder.hpp"

namespace vmm {
namespace {

class Boot : public BootTest {};

TEST_F(Boot, TellsTheFormatsApart) {
  GuestMemory memory(64_MiB);
  EXPECT_EQ(place(memory, good_kernel().build()).protocol, BootEntry::Protocol::pvh);
  EXPECT_EQ(place(memory, BzImageBuilder().build()).protocol, BootEntry::Protocol::linux64);
}

TEST_F(Boot, RefusesWhatIsNeither) {
  for (const Bytes& other : {Bytes(1), Bytes(1000), pattern(10000)}) {
    const std::string why = refusal(other);
    EXPECT_SAYS(why, "kernel '");
    EXPECT_SAYS(why, "ELF");
    EXPECT_SAYS(why, "bzImage");
  }
}

TEST_F(Boot, GivesTheAcpiTablesWhereTheyAreSearchedFor) {
  GuestMemory memory(32_MiB);
  static_cast<void>(place(memory, good_kernel().build()));
  EXPECT_EQ(text(memory, 0xe0000).substr(0, 8), "RSD PTR ");
}

TEST_F(Boot, NamesTheFileThatIsMissingOrNone) {
  GuestMemory memory(32_MiB);
  const auto failure = [&](const std::filesystem::path& kernel,
                           const std::optional<std::filesystem::path>& initramfs) {
    try {
      static_cast<void>(place_kernel(memory, {kernel, initramfs, ""}, {}, 1));
    } catch (const BootError& error) {
      return std::pair(error.kind(), std::string(error.what()));
    }
    return std::pair(BootError::Kind{}, std::string());
  };
  const auto good = file("kernel", good_kernel().build());
  EXPECT_EQ(failure("/no/kernel", {}).first, BootError::Kind::missing_file);
  EXPECT_SAYS(failure("/no/kernel", {}).second, "kernel '/no/kernel'");
  EXPECT_EQ(failure(good, "/no/disk").first, BootError::Kind::missing_file);
  EXPECT_SAYS(failure(good, "/no/disk").second, "initramfs '/no/disk'");
  EXPECT_EQ(failure(testing::TempDir(), {}).first, BootError::Kind::missing_file);
  EXPECT_EQ(failure(file("empty", {}), {}).first, BootError::Kind::bad_image);
}

}  // namespace
}  // namespace vmm

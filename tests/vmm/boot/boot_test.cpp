#include "vmm/boot/boot.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/vmm/boot/boot_fixture.hpp"
#include "tests/vmm/boot/bzimage_builder.hpp"
#include "vmm/os/unique_fd.hpp"

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

TEST_F(Boot, SaysWhatAFileIsThatItRefuses) {
  const auto with = [](std::size_t at, std::string_view sign) {
    Bytes bytes(70000);
    std::memcpy(bytes.data() + at, sign.data(), sign.size());
    return bytes;
  };
  using namespace std::string_view_literals;
  EXPECT_SAYS(refusal(with(56, "ARM\x64")), "arm64 Image");
  EXPECT_SAYS(refusal(with(0, "\x1f\x8b")), "(gzip): decompress it");
  EXPECT_SAYS(refusal(with(0, "\x28\xb5\x2f\xfd")), "(zstd)");
  EXPECT_SAYS(refusal(with(0, "\xfd\x37zXZ\0"sv)), "(xz)");
  EXPECT_SAYS(refusal(with(0, "\x02\x21\x4c\x18")), "(lz4)");
  EXPECT_SAYS(refusal(with(0, "BZh9")), "(bzip2)");
  EXPECT_SAYS(refusal(with(0, "070701")), "--initramfs");
  EXPECT_SAYS(refusal(with(0x8001, "CD001")), "ISO 9660");
}

TEST_F(Boot, TellsAUnifiedKernelImageFromAnotherEfiProgram) {
  Bytes efi(8192);
  const auto put = [&](std::size_t at, std::string_view text) {
    std::memcpy(efi.data() + at, text.data(), text.size());
  };
  using namespace std::string_view_literals;
  put(0, "MZ");
  put(60, "\x80\0\0\0"sv);
  put(0x80, "PE\0\0\x64\x86"sv);
  EXPECT_SAYS(refusal(efi), "EFI firmware, and no Linux kernel");
  put(0x200, ".linux\0"sv);
  EXPECT_SAYS(refusal(efi), "objcopy");
  put(0x84, "\x64\xaa"sv);
  EXPECT_SAYS(refusal(efi), "another machine (0xaa64)");
  put(60, "\xfc\xff\xff\xff"sv);  // no such place
  EXPECT_SAYS(refusal(efi), "objcopy");
}

TEST_F(Boot, ReadsFilesFromPipes) {
  const auto pipe_with = [](const Bytes& bytes) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe(ends.data()), 0);
    EXPECT_EQ(::write(ends[1], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    ::close(ends[1]);
    return UniqueFd(ends[0]);
  };
  const auto path = [](const UniqueFd& fd) { return "/dev/fd/" + std::to_string(fd.get()); };
  const UniqueFd kernel = pipe_with(good_kernel().build());
  const UniqueFd initramfs = pipe_with(pattern(5000));
  const UniqueFd empty = pipe_with({});
  const BootFiles files({path(kernel), {path(initramfs)}, ""});
  EXPECT_EQ(files.initramfs.size(), 5000U);
  GuestMemory memory(32_MiB);
  EXPECT_EQ(place_kernel(memory, files, {}, 1).protocol, BootEntry::Protocol::pvh);
  EXPECT_THROW(BootFiles({path(empty), {}, ""}), BootError);
}

TEST_F(Boot, GivesTheAcpiTablesWhereTheyAreSearchedFor) {
  GuestMemory memory(32_MiB);
  static_cast<void>(place(memory, good_kernel().build()));
  EXPECT_EQ(text(memory, 0xe0000).substr(0, 8), "RSD PTR ");
}

TEST_F(Boot, NamesTheFileThatIsMissingOrNone) {
  GuestMemory memory(32_MiB);
  const auto failure = [&](const std::filesystem::path& kernel,
                           const std::vector<std::filesystem::path>& initramfs) {
    try {
      static_cast<void>(place_kernel(memory, BootFiles({kernel, initramfs, ""}), {}, 1));
    } catch (const BootError& error) {
      return std::pair(error.kind(), std::string(error.what()));
    }
    return std::pair(BootError::Kind{}, std::string());
  };
  const auto good = file("kernel", good_kernel().build());
  EXPECT_EQ(failure("/no/kernel", {}).first, BootError::Kind::missing_file);
  EXPECT_SAYS(failure("/no/kernel", {}).second, "kernel '/no/kernel'");
  EXPECT_EQ(failure(good, {good, "/no/disk"}).first, BootError::Kind::missing_file);
  EXPECT_SAYS(failure(good, {good, "/no/disk"}).second, "initramfs '/no/disk'");
  EXPECT_EQ(failure(testing::TempDir(), {}).first, BootError::Kind::missing_file);
  if (::geteuid() != 0) {  // to whom nothing is forbidden
    const auto forbidden = file("forbidden", good_kernel().build());
    std::filesystem::permissions(forbidden, std::filesystem::perms::none);
    EXPECT_EQ(failure(forbidden, {}).first, BootError::Kind::forbidden_file);
  }
  EXPECT_EQ(failure(file("empty", {}), {}).first, BootError::Kind::bad_image);
}

}  // namespace
}  // namespace vmm

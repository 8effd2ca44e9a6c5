#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string_view>

#include "devices/standard.hpp"
#include "tests/vmm/boot/bzimage_builder.hpp"
#include "tests/vmm/kvm/guest_fixture.hpp"
#include "vmm/boot/boot.hpp"

namespace vmm {
namespace {

using namespace std::string_view_literals;

class LinuxEntry : public GuestTest {};

TEST_F(LinuxEntry, RunsTheCodeInLongModeWithTheZeroPageInRsi) {
  // mov eax, [rsi + 0x202]; sub eax, "HdrS"; inc rax (which in 32 bits is dec eax; inc eax);
  // out 0xf4, al; hlt
  constexpr auto kCode =
      "\x8b\x86\x02\x02\x00\x00\x2d\x48\x64\x72\x53\x48\xff\xc0\xe6\xf4\xf4\xeb\xfd"sv;
  BzImageBuilder kernel;
  std::memcpy(kernel.code.data() + 0x200, kCode.data(), kCode.size());
  const Bytes image = kernel.build();
  const auto path = std::filesystem::path(::testing::TempDir()) / ("ferry-" + make_uuid());
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(image.data()),
             static_cast<std::streamsize>(image.size()));
  MachineConfig config;
  config.memory_bytes = 32_MiB;
  const auto machine = make_empty(config);
  load_kernel(*machine, BootFiles({path, {}, ""}), devices::platform());
  std::filesystem::remove(path);
  machine->resume();
  const auto end = wait_end(*machine);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->kind, GuestEnd::Kind::exit_code) << end->message;
  EXPECT_EQ(end->code, 1);
}

}  // namespace
}  // namespace vmm

#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "tests/vmm/boot/elf_builder.hpp"
#include "vmm/boot/boot.hpp"

namespace vmm {

/// Tests that put a kernel made of literals into RAM.
class BootTest : public testing::Test {
 protected:
  std::filesystem::path file(const std::string& name, const Bytes& bytes) {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    std::filesystem::path path = std::filesystem::path(testing::TempDir()) /
                                 (std::string(test->test_suite_name()) + "." + test->name() + "." +
                                  name + "-" + std::to_string(::getpid()));
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
  static std::string text(GuestMemory& memory, std::uint64_t address) {
    return reinterpret_cast<const char*>(memory.at(GuestAddress{address}, 1).data());
  }

  BootEntry place(GuestMemory& memory, const Bytes& kernel, const std::string& cmdline = "",
                  const std::optional<Bytes>& initramfs = std::nullopt) {
    BootSource source{file("kernel", kernel), {}, cmdline};
    if (initramfs) source.initramfs = {file("initramfs", *initramfs)};
    return place_kernel(memory, BootFiles(source), {}, 1);
  }

  /// Why the kernel cannot be placed; empty when it can.
  std::string refusal(const Bytes& kernel, std::uint64_t memory_size = 32_MiB,
                      const std::optional<Bytes>& initramfs = std::nullopt,
                      const std::string& cmdline = "") {
    GuestMemory memory(memory_size);
    try {
      static_cast<void>(place(memory, kernel, cmdline, initramfs));
    } catch (const BootError& error) {
      EXPECT_EQ(error.kind(), BootError::Kind::bad_image) << error.what();
      return error.what();
    }
    return "";
  }

 private:
  std::vector<std::filesystem::path> made_;
};

/// Bytes that differ from one another.
inline Bytes pattern(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i % 251);
  return bytes;
}

#define EXPECT_SAYS(message, part) \
  EXPECT_NE(std::string(message).find(part), std::string::npos) << (message)

}  // namespace vmm

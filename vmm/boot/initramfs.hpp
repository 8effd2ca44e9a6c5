#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "vmm/boot/boot_error.hpp"
#include "vmm/boot/image_file.hpp"

namespace vmm {

/// What a kernel is given besides itself: no file, one, or several behind each other, which Linux
/// takes for one. There each archive may be compressed or not, and begins at a multiple of 4 bytes.
class Initramfs {
 public:
  explicit Initramfs(std::span<const std::filesystem::path> files);

  [[nodiscard]] bool empty() const { return files_.empty(); }
  [[nodiscard]] std::uint64_t size() const { return size_; }  ///< bytes
  /// `into` has size() bytes, which are zero.
  void copy(std::span<std::byte> into) const;

  /// Runs `step`, and names this in a BootError of it.
  template <typename Step>
  auto about(Step step) const {
    try {
      return step();
    } catch (const BootError& error) {
      throw BootError(error.kind(), name() + ": " + error.what());
    }
  }

 private:
  [[nodiscard]] std::string name() const;

  std::vector<ImageFile> files_;
  std::uint64_t size_ = 0;
};

}  // namespace vmm

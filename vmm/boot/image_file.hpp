#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

#include "vmm/boot/boot_error.hpp"

namespace vmm {

/// A file mapped for reading, whole. What a failure means to the user is in the BootError.
class ImageFile {
 public:
  /// `what` for messages: "kernel", "initramfs".
  ImageFile(const std::filesystem::path& path, const char* what);
  ~ImageFile();
  ImageFile(const ImageFile&) = delete;
  ImageFile& operator=(const ImageFile&) = delete;

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

  /// Runs `step`, and names this file in a BootError of it.
  template <typename Step>
  auto about(Step step) const {
    try {
      return step();
    } catch (const BootError& error) {
      fail(error.kind(), error.what());
    }
  }

 private:
  [[noreturn]] void fail(BootError::Kind kind, const std::string& why) const;

  std::string name_;
  std::span<const std::byte> bytes_;
};

}  // namespace vmm

#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

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

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace vmm

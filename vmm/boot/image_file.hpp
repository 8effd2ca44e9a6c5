#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "vmm/boot/boot_error.hpp"
#include "vmm/os/unique_fd.hpp"

namespace vmm {

/// A file for reading, whole: mapped, or what a pipe brings until its end. What a failure means to
/// the user is in the BootError.
class ImageFile {
 public:
  /// `what` for messages: "kernel", "initramfs". Waits for who writes into a pipe.
  ImageFile(const std::filesystem::path& path, const char* what);
  ~ImageFile();
  ImageFile(ImageFile&& other) noexcept;
  ImageFile& operator=(ImageFile&&) = delete;

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

  [[nodiscard]] const std::string& name() const { return name_; }  ///< for messages

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
  void map(const UniqueFd& file, std::size_t size);
  void read_pipe(const UniqueFd& pipe);
  [[noreturn]] void fail(BootError::Kind kind, const std::string& why) const;

  std::string name_;
  std::vector<std::byte> read_;  ///< of a pipe
  std::span<const std::byte> bytes_;
};

}  // namespace vmm

#include "vmm/boot/initramfs.hpp"

#include <fmt/format.h>

#include "vmm/bytes/copy_bytes.hpp"

namespace vmm {

namespace {

std::uint64_t aligned(std::uint64_t size) { return (size + 3) & ~std::uint64_t{3}; }

}  // namespace

Initramfs::Initramfs(std::span<const std::filesystem::path> files) {
  for (const auto& path : files) {
    files_.emplace_back(path, "initramfs");
    size_ = aligned(size_) + files_.back().bytes().size();
  }
}

std::string Initramfs::name() const {
  if (files_.size() == 1) return files_.front().name();
  return fmt::format("the initramfs of {} files", files_.size());
}

void Initramfs::copy(std::span<std::byte> into) const {
  std::uint64_t at = 0;
  for (const ImageFile& file : files_) {
    at = aligned(at);
    copy_bytes(file.bytes(), into.subspan(at));
    at += file.bytes().size();
  }
}

}  // namespace vmm

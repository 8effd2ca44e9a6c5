#include "vmm/boot/image_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "vmm/kvm/unique_fd.hpp"

namespace vmm {

ImageFile::ImageFile(const std::filesystem::path& path, const char* what)
    : name_(fmt::format("{} '{}'", what, path.string())) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) fail(BootError::Kind::missing_file, std::strerror(errno));
  struct stat status {};
  if (::fstat(fd.get(), &status) < 0) fail(BootError::Kind::missing_file, std::strerror(errno));
  if (S_ISDIR(status.st_mode)) fail(BootError::Kind::missing_file, "is a directory");
  if (!S_ISREG(status.st_mode)) fail(BootError::Kind::missing_file, "is not a regular file");
  if (status.st_size == 0) fail(BootError::Kind::bad_image, "the file is empty");
  const auto size = static_cast<std::size_t>(status.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (data == MAP_FAILED) fail(BootError::Kind::missing_file, std::strerror(errno));
  bytes_ = {static_cast<const std::byte*>(data), size};
}

ImageFile::~ImageFile() { ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size()); }

void ImageFile::fail(BootError::Kind kind, const std::string& why) const {
  throw BootError(kind, name_ + ": " + why);
}

}  // namespace vmm

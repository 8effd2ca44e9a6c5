#include "vmm/boot/image_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "vmm/memory/guest_memory.hpp"

namespace vmm {

namespace {

/// A guest takes no more: all has to be in RAM below the hole.
constexpr std::size_t kMostOfAPipe = kHoleStart;

/// One that is a pipe waits until somebody opens it for writing; a device must not be waited for.
UniqueFd open_for_reading(const std::filesystem::path& path) {
  struct stat status {};
  const bool pipe = ::stat(path.c_str(), &status) == 0 && S_ISFIFO(status.st_mode);
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | (pipe ? 0 : O_NONBLOCK)));
}

}  // namespace

ImageFile::ImageFile(const std::filesystem::path& path, const char* what)
    : name_(fmt::format("{} '{}'", what, path.string())) {
  const UniqueFd fd = open_for_reading(path);
  if (fd.get() < 0 && (errno == EMFILE || errno == ENFILE)) {  // the file may be there
    throw std::system_error(errno, std::generic_category(), name_);
  }
  if (fd.get() < 0) {
    fail(errno == EACCES || errno == EPERM ? BootError::Kind::forbidden_file
                                           : BootError::Kind::missing_file,
         std::strerror(errno));
  }
  struct stat status {};
  if (::fstat(fd.get(), &status) < 0) fail(BootError::Kind::missing_file, std::strerror(errno));
  if (S_ISDIR(status.st_mode)) fail(BootError::Kind::missing_file, "is a directory");
  if (S_ISFIFO(status.st_mode)) {
    read_pipe(fd);
  } else if (S_ISREG(status.st_mode)) {
    map(fd, static_cast<std::size_t>(status.st_size));
  } else {
    fail(BootError::Kind::missing_file, "is neither a regular file nor a pipe");
  }
}

void ImageFile::map(const UniqueFd& file, std::size_t size) {
  if (size == 0) fail(BootError::Kind::bad_image, "the file is empty");
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (data == MAP_FAILED) fail(BootError::Kind::missing_file, std::strerror(errno));
  bytes_ = {static_cast<const std::byte*>(data), size};
}

void ImageFile::read_pipe(const UniqueFd& pipe) {
  constexpr std::size_t kLeast = std::size_t{1} << 20;
  std::size_t size = 0;
  while (true) {
    if (size == read_.size()) read_.resize(std::max(2 * size, kLeast));
    const ssize_t got = ::read(pipe.get(), read_.data() + size, read_.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(BootError::Kind::missing_file, std::strerror(errno));
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
    if (size > kMostOfAPipe) {
      fail(BootError::Kind::bad_image,
           fmt::format("the pipe brings more than {} GiB", kMostOfAPipe / 1_GiB));
    }
  }
  if (size == 0) fail(BootError::Kind::bad_image, "the pipe brought nothing");
  bytes_ = {read_.data(), size};
}

ImageFile::ImageFile(ImageFile&& other) noexcept
    : name_(std::move(other.name_)),
      read_(std::move(other.read_)),
      bytes_(std::exchange(other.bytes_, {})) {}

ImageFile::~ImageFile() {
  const bool mapped = !bytes_.empty() && read_.empty();
  if (mapped) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void ImageFile::fail(BootError::Kind kind, const std::string& why) const {
  throw BootError(kind, name_ + ": " + why);
}

}  // namespace vmm

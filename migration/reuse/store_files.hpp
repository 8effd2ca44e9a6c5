#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "migration/wire/encode.hpp"
#include "vmm/memory/page_set.hpp"
#include "vmm/os/unique_fd.hpp"

/// Files of a store of kept images: names in one directory, steps that are durable when they
/// return. Every failure is a std::system_error that names the file, unless another one is told.
namespace migration::store {

/// What the name of a file ends with, after the id of its VM.
inline constexpr std::string_view kRam = ".ram";
inline constexpr std::string_view kHashes = ".hashes";
inline constexpr std::string_view kManifest = ".image";
inline constexpr std::string_view kNewManifest = ".image.new";
/// RAM that was taken and is in use: `<id>.<8 hexadecimal digits>.used`. It keeps a name, since
/// Linux links no file again whose last name has gone; who has it holds a shared flock on it.
inline constexpr std::string_view kUsed = ".used";

/// A name that was not used before, but with a probability of 2^-32.
[[nodiscard]] std::string used_name(std::string_view vm_id);

/// While it lives, its thread waits for locks of directories no longer than `limit` in all: who is
/// in a hurry may have several to wait for, one after the other.
class LockDeadline {
 public:
  explicit LockDeadline(std::chrono::milliseconds limit);
  ~LockDeadline();
  LockDeadline(const LockDeadline&) = delete;
  LockDeadline& operator=(const LockDeadline&) = delete;

 private:
  std::chrono::steady_clock::time_point outer_;
};

class Directory {
 public:
  /// Makes the directory, of mode 0700, and those above it. std::runtime_error when it belongs to
  /// another user or is open to others. `what` it is, for people. O_NOFOLLOW in `flags`: it is no
  /// symbolic link, as where others may make one.
  explicit Directory(const std::filesystem::path& path, std::string what = "the image store",
                     int flags = 0);

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] bool is_tmpfs() const;
  /// Bytes that its file system has left.
  [[nodiscard]] std::uint64_t available() const;
  [[nodiscard]] std::string path_of(std::string_view name) const;
  [[nodiscard]] std::vector<std::string> names() const;

  /// The exclusive right to change the directory, until the result goes: flock on a descriptor of
  /// its own, so that it holds between threads too. std::runtime_error when another has it all of
  /// `patience`, or until the thread's LockDeadline: a process that was stopped must not hold up a
  /// VM that arrives.
  [[nodiscard]] vmm::UniqueFd lock(std::chrono::milliseconds patience) const;

  /// A new file of mode 0600 without a name.
  [[nodiscard]] vmm::UniqueFd make_unnamed() const;
  /// A new file of mode 0600 with a name, in the place of one that had it.
  [[nodiscard]] vmm::UniqueFd make(const std::string& name) const;
  /// Gives a file its first name; a file that has lost its last one cannot get another.
  void link(int file, const std::string& name) const;
  [[nodiscard]] bool try_link(int file, const std::string& name) const;
  /// The file, for reading and writing, nullopt when there is none. std::runtime_error when it is
  /// no regular file of this user's with mode 0600 and one name.
  [[nodiscard]] std::optional<vmm::UniqueFd> open(const std::string& name) const;
  /// Bytes that it takes on the file system; 0 when there is none.
  [[nodiscard]] std::uint64_t allocated(const std::string& name) const;
  /// False when there was none. Not durable before sync().
  bool remove(const std::string& name) const;
  void rename(const std::string& from, const std::string& to) const;
  void sync() const;

 private:
  std::filesystem::path path_;
  std::string what_;
  vmm::UniqueFd fd_;
};

/// What tells a file from any other.
struct FileId {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  bool operator==(const FileId&) const = default;
};
[[nodiscard]] FileId id_of(int file);
/// Names that the file has, anywhere.
[[nodiscard]] std::uint64_t names_of(int file);
[[nodiscard]] std::uint64_t size_of(int file);
/// Bytes that it takes on the file system.
[[nodiscard]] std::uint64_t allocated(int file);
void resize(int file, std::uint64_t bytes);
void write_at(int file, std::uint64_t offset, std::span<const std::byte> bytes);
/// Fills `into`; std::runtime_error when the file ends before.
void read_at(int file, std::uint64_t offset, std::span<std::byte> into);
/// All of a file; std::runtime_error when it has more than `most` bytes.
[[nodiscard]] wire::Bytes read_all(int file, std::uint64_t most);
void sync_data(int file);
/// Adds to `into` the pages of `range` that hold data: the others are holes and read as zero. A
/// file system that does not know its holes counts them as data.
void add_data(int file, vmm::PageRange range, vmm::PageSet& into);
/// Makes holes of pages.
void punch(int file, const vmm::PageSet& pages);

}  // namespace migration::store

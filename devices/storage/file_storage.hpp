#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "devices/storage/disk_identity.hpp"
#include "devices/storage/disk_mark.hpp"
#include "devices/storage/flush_rounds.hpp"
#include "devices/storage/storage.hpp"
#include "devices/storage/unflushed.hpp"
#include "vmm/os/unique_fd.hpp"

namespace devices::storage {

struct FileOptions {
  std::filesystem::path path;
  bool read_only = false;
  std::string id;
};

/// A disk that is a regular file or a block device of the host, byte for byte.
///
/// It is acquired by a lock: one process has it to write, or any number to read. To write, it is
/// acquired again only if nobody has written to it meanwhile, as far as its mark tells: the memory
/// of the machine would be older than its disk.
class FileStorage final : public Storage {
 public:
  /// std::system_error when it is not to be had, std::invalid_argument when it is no disk; both
  /// name it, and say what to do where that is not plain.
  explicit FileStorage(FileOptions options);

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::uint64_t size() const override { return size_; }
  [[nodiscard]] bool read_only() const override { return read_only_; }
  [[nodiscard]] std::string_view id() const override { return id_; }

  [[nodiscard]] std::string host_part() const override { return to_text(identity()); }
  [[nodiscard]] DiskIdentity identity() const;
  /// Whether the disk of a machine on another host, or on this one, is this one, as far as one can
  /// tell: std::invalid_argument says why it is not.
  /// Nor is it the same to a machine that cannot note itself as its writer: std::system_error.
  void check_same(const DiskIdentity& other);

  void acquire() override;
  void release() override;
  void read(std::uint64_t offset, std::span<iovec> parts) override;
  [[nodiscard]] bool try_read(std::uint64_t offset, std::span<const iovec> parts) override;
  void write(std::uint64_t offset, std::span<iovec> parts) override;
  void prepare_release() override;
  void note_run() override {
    if (!read_only_ && !of_other_kernel_) mark_.note_runner();
  }
  [[nodiscard]] bool tells_runs() const override { return tells_runs_; }
  [[nodiscard]] std::optional<bool> held_elsewhere() const override;
  [[nodiscard]] bool last_ran_here() const override {
    return !read_only_ && mark_.names_this_runner();
  }
  void flush() override { flushes_.flush(FlushRounds::Asked::by_guest); }
  void discard(std::uint64_t offset, std::uint64_t length) override;
  void write_zeroes(std::uint64_t offset, std::uint64_t length, bool may_unmap) override;

 private:
  [[nodiscard]] vmm::UniqueFd open(const std::filesystem::path& path) const;
  [[nodiscard]] std::uint64_t measure() const;
  void sync();
  void set_lock(short type) const;
  void check_unwritten();
  void forget_cached() const;
  template <typename Call>
  void transfer_all(std::uint64_t offset, std::span<iovec> parts, const char* what, Call call);
  [[nodiscard]] bool allocate(int mode, std::uint64_t offset, std::uint64_t length);
  [[noreturn]] void fail(const char* what) const;

  const std::string name_;  ///< for people
  const bool read_only_;
  const std::string id_;
  const vmm::UniqueFd file_;
  const std::uint64_t size_;
  DiskMark mark_;
  bool of_other_kernel_ = false;  ///< another one may have written since this one last read
  bool tells_runs_ = false;
  bool acquired_ = false;
  Unflushed unflushed_;
  FlushRounds flushes_;
  std::atomic<bool> tells_at_hand_{true};  ///< the file system knows RWF_NOWAIT
};

}  // namespace devices::storage

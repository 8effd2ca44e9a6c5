#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace devices::storage {

/// What the offsets and lengths of a disk are multiples of.
inline constexpr std::uint64_t kSectorSize = 512;

/// The bytes of a disk, wherever they are, for one machine to write or several to read: nothing is
/// read or written but between acquire() and release(). Any thread, several at a time; what lies
/// beyond size() is never asked for. All but try_read() wait for the host; a failure of it is a
/// std::system_error that names the disk and the call.
class Storage {
 public:
  static constexpr std::size_t kLongestId = 20;

  Storage() = default;
  virtual ~Storage() = default;
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  /// What it is, for people.
  [[nodiscard]] virtual const std::string& name() const = 0;
  /// Bytes: some, and a multiple of kSectorSize.
  [[nodiscard]] virtual std::uint64_t size() const = 0;
  /// Then nothing is called that changes it.
  [[nodiscard]] virtual bool read_only() const = 0;
  /// What the guest is told to know it by: up to kLongestId characters.
  [[nodiscard]] virtual std::string_view id() const = 0;

  /// Which it is, as VirtioDevice::host_part().
  [[nodiscard]] virtual std::string host_part() const = 0;

  /// As of vmm::Device.
  virtual void acquire() = 0;
  virtual void release() = 0;
  virtual void prepare_release() {}
  virtual void note_run() {}
  [[nodiscard]] virtual bool tells_runs() const { return false; }
  [[nodiscard]] virtual std::optional<bool> held_elsewhere() const { return std::nullopt; }
  [[nodiscard]] virtual bool last_ran_here() const { return false; }

  /// All bytes from `offset` on that `parts` have room for. `parts` are used up.
  virtual void read(std::uint64_t offset, std::span<iovec> parts) = 0;
  /// The same where the host has them at hand. False when it has not, with anything in `parts`'
  /// memory: then read() tells.
  [[nodiscard]] virtual bool try_read(std::uint64_t offset, std::span<const iovec> parts) = 0;
  /// `parts` are used up.
  virtual void write(std::uint64_t offset, std::span<iovec> parts) = 0;
  /// All writes that returned before survive the end of the host on return.
  virtual void flush() = 0;
  /// Nobody needs these bytes: they may change. Some.
  virtual void discard(std::uint64_t offset, std::uint64_t length) = 0;
  /// `may_unmap`: they need no room of their own afterwards. Some.
  virtual void write_zeroes(std::uint64_t offset, std::uint64_t length, bool may_unmap) = 0;
};

}  // namespace devices::storage

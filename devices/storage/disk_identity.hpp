#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace devices::storage {

/// Which disk it is, as far as two hosts can compare it, and how the guest has it.
struct DiskIdentity {
  static constexpr const char* kNoMark = "-";

  std::uint64_t bytes = 0;
  bool read_only = false;
  std::string boot;            ///< of the kernel that says so: its boot id
  std::uint64_t device = 0;    ///< of a file: the file system's; of a block device: its own
  std::uint64_t inode = 0;     ///< of a file
  std::string mark = kNoMark;  ///< what the DiskMark of a file names the disk

  bool operator==(const DiskIdentity&) const = default;
};

/// As it travels: "disk", and the fields in their order, with a space between.
[[nodiscard]] std::string to_text(const DiskIdentity& identity);
/// std::invalid_argument for anything else.
[[nodiscard]] DiskIdentity disk_identity(std::string_view text);

/// Which disk it is, where a server has it that both hosts use.
struct NbdIdentity {
  std::uint64_t bytes = 0;
  bool read_only = false;
  std::string name;  ///< of the export, of at most kLongestExport bytes

  static constexpr std::size_t kLongestExport = 128;

  bool operator==(const NbdIdentity&) const = default;
};

/// As it travels: "nbd", and the fields in their order, with a space between.
[[nodiscard]] std::string to_text(const NbdIdentity& identity);
[[nodiscard]] bool is_nbd_identity(std::string_view text);
/// std::invalid_argument for anything else.
[[nodiscard]] NbdIdentity nbd_identity(std::string_view text);

/// The boot id of this kernel: what differs is another one, or another boot of it.
[[nodiscard]] std::string boot_id();

}  // namespace devices::storage

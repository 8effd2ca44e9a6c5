#include "devices/storage/disk_identity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <locale>
#include <sstream>
#include <stdexcept>

namespace devices::storage {

namespace {

constexpr const char* kReadOnly = "read-only";
constexpr const char* kWritable = "writable";
constexpr std::size_t kLongest = 256;

constexpr std::string_view kNbd = "nbd ";

const char* name_of(bool read_only) { return read_only ? kReadOnly : kWritable; }

[[noreturn]] void not_understood() {
  throw std::invalid_argument("what the source says of a disk cannot be understood");
}

}  // namespace

std::string to_text(const DiskIdentity& identity) {
  return fmt::format("disk {} {} {} {} {} {}", identity.bytes, name_of(identity.read_only),
                     identity.boot, identity.device, identity.inode, identity.mark);
}

DiskIdentity disk_identity(std::string_view text) {
  if (text.size() <= kLongest) {
    std::istringstream words{std::string(text)};
    words.imbue(std::locale::classic());
    DiskIdentity identity;
    std::string kind;
    std::string access;
    words >> kind >> identity.bytes >> access >> identity.boot >> identity.device >>
        identity.inode >> identity.mark;
    identity.read_only = access == kReadOnly;
    // What was read is the whole of it, as it is written here.
    if (words && to_text(identity) == text) return identity;
  }
  not_understood();
}

std::string to_text(const NbdIdentity& identity) {
  return fmt::format("{}{} {} {}", kNbd, identity.bytes, name_of(identity.read_only),
                     identity.name);
}

bool is_nbd_identity(std::string_view text) { return text.starts_with(kNbd); }

NbdIdentity nbd_identity(std::string_view text) {
  if (text.size() <= kLongest && is_nbd_identity(text)) {
    std::istringstream words{std::string(text.substr(kNbd.size()))};
    words.imbue(std::locale::classic());
    NbdIdentity identity;
    std::string access;
    words >> identity.bytes >> access;
    identity.read_only = access == kReadOnly;
    identity.name = text.substr(std::min(text.size(), to_text(identity).size()));
    if (words && to_text(identity) == text) return identity;
  }
  not_understood();
}

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  file >> id;
  return id.empty() ? "unknown" : id;
}

}  // namespace devices::storage

#include "devices/storage/disk_identity.hpp"

#include <fmt/format.h>

#include <fstream>
#include <locale>
#include <sstream>
#include <stdexcept>

namespace devices::storage {

namespace {

constexpr const char* kReadOnly = "read-only";
constexpr const char* kWritable = "writable";
constexpr std::size_t kLongest = 256;

}  // namespace

std::string to_text(const DiskIdentity& identity) {
  return fmt::format("disk {} {} {} {} {}", identity.bytes,
                     identity.read_only ? kReadOnly : kWritable, identity.boot, identity.device,
                     identity.inode);
}

DiskIdentity disk_identity(std::string_view text) {
  if (text.size() <= kLongest) {
    std::istringstream words{std::string(text)};
    words.imbue(std::locale::classic());
    DiskIdentity identity;
    std::string kind;
    std::string access;
    words >> kind >> identity.bytes >> access >> identity.boot >> identity.device >> identity.inode;
    identity.read_only = access == kReadOnly;
    // What was read is the whole of it, as it is written here.
    if (words && to_text(identity) == text) return identity;
  }
  throw std::invalid_argument("what the source says of a disk cannot be understood");
}

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  file >> id;
  return id.empty() ? "unknown" : id;
}

}  // namespace devices::storage

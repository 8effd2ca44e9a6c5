#include "migration/reuse/image_store.hpp"

#include <fmt/format.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <set>
#include <span>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace migration {

using store::kHashes;
using store::kManifest;
using store::kNewManifest;
using store::kRam;
using store::kUsed;

namespace {

std::string name_of(const std::string& vm_id, std::string_view suffix) {
  return fmt::format("{}{}", vm_id, suffix);
}

}  // namespace

ImageStore::ImageStore(const std::filesystem::path& directory, std::uint64_t limit, Message message,
                       std::shared_ptr<const RoomLedger> ledger, std::chrono::milliseconds patience)
    : limit_(limit),
      message_(std::move(message)),
      patience_(patience),
      directory_(directory),
      tmpfs_(directory_.is_tmpfs()),
      ledger_(std::move(ledger)) {}

vmm::UniqueFd ImageStore::make_ram(std::uint64_t bytes) const {
  // Asked for, and not tried: the signal that comes with the error may end the process.
  rlimit most{};
  if (::getrlimit(RLIMIT_FSIZE, &most) == 0 && most.rlim_cur < bytes) {
    throw std::system_error(
        EFBIG, std::generic_category(),
        fmt::format("no file of the image store can be so large as the VM's RAM, as files of this "
                    "process are limited to {} bytes ('ulimit -f')",
                    most.rlim_cur));
  }
  vmm::UniqueFd file = directory_.make_unnamed();
  store::resize(file.get(), bytes);
  return file;
}

/// All directories of a tmpfs share its room.
std::string ImageStore::file_system() const {
  const std::uint64_t device = store::id_of(directory_.fd()).device;
  return fmt::format("file system {}:{}", major(device), minor(device));
}

std::uint64_t ImageStore::room_beside(std::span<const Promised> others) const {
  const std::uint64_t available = directory_.available();
  return available - std::min(available, promised_of(others, file_system()));
}

/// Of `bytes`, of which so much is there, the rest is promised to this process.
void ImageStore::promise_room(std::uint64_t bytes, std::uint64_t there, const char* what) {
  promise_.reset();
  bool refused = false;
  const auto check = [&](std::span<const Promised> others) {
    if (room_beside(others) >= bytes - there) return;
    refused = true;
    throw std::system_error(
        ENOSPC, std::generic_category(),
        fmt::format("the image store has no room for {} ({})", what, directory_.path_of("")));
  };
  if (!ledger_) return check({});
  try {
    promise_ = ledger_->promise({{file_system()}, bytes, there}, check);
  } catch (const std::exception& error) {
    if (refused) throw;
    tell(fmt::format("cannot note what this process has been promised: {}", error.what()));
    check({});
  }
}

/// RAM can be a file here, of which so much is there. False, and told, where it cannot.
bool ImageStore::promise_ram(std::uint64_t bytes, std::uint64_t there) {
  if (!tmpfs_) return false;
  try {
    promise_room(bytes, there, "the VM's RAM");
    return true;
  } catch (const std::exception& error) {
    tell_anonymous(error);
    return false;
  }
}

void ImageStore::tell_anonymous(const std::exception& why) const {
  tell(
      fmt::format("{}. The VM's RAM is anonymous memory therefore, and is copied when an image is "
                  "kept",
                  why.what()));
}

vmm::GuestMemory ImageStore::memory_for(std::uint64_t bytes) {
  if (!promise_ram(bytes, 0)) return vmm::GuestMemory(bytes);
  try {
    return {bytes, make_ram(bytes)};
  } catch (const std::system_error& error) {
    promise_.reset();
    if (error.code() != std::errc::file_too_large) throw;
    tell_anonymous(error);
    return vmm::GuestMemory(bytes);
  }
}

bool ImageStore::has_room_for_rest(const vmm::GuestMemory& memory) {
  if (store::size_of(memory.file()) < memory.size()) {
    throw std::runtime_error(
        fmt::format("the VM has lost its RAM: somebody has cut its file in {} short", path()));
  }
  const std::uint64_t taken = std::min(memory.size(), store::allocated(memory.file()));
  if (promise_) promise_->consume(taken);
  return directory_.available() >= memory.size() - taken;
}

bool ImageStore::has(const std::string& vm_id, const Token& token) const {
  const vmm::UniqueFd guard = lock();
  const auto manifest = sound_manifest(vm_id);
  return manifest && manifest->token == token;
}

std::vector<ImageStore::Entry> ImageStore::list() const {
  const vmm::UniqueFd guard = lock();
  sweep();
  std::vector<Entry> found = entries();
  std::erase_if(found, [](const Entry& entry) { return entry.memory_bytes == 0; });
  return found;
}

bool ImageStore::drop(const std::string& vm_id) {
  const vmm::UniqueFd guard = lock();
  sweep();
  return is_vm_id(vm_id) && remove(vm_id);
}

void ImageStore::tidy() {
  const vmm::UniqueFd guard = lock();
  sweep();
}

void ImageStore::tell(const std::string& text) const {
  if (message_) message_(text);
}

std::optional<Manifest> ImageStore::read_manifest(const std::string& vm_id) const {
  if (!is_vm_id(vm_id)) return std::nullopt;
  const auto file = directory_.open(name_of(vm_id, kManifest));
  if (!file) return std::nullopt;
  Manifest manifest = decode_manifest(store::read_all(file->get(), kMaxManifestBytes));
  if (manifest.vm_id != vm_id) {
    throw std::runtime_error(
        fmt::format("the manifest of the image is that of another VM, {}", manifest.vm_id));
  }
  return manifest;
}

std::optional<Manifest> ImageStore::sound_manifest(const std::string& vm_id) const {
  try {
    return read_manifest(vm_id);
  } catch (const std::exception& error) {
    tell(fmt::format("image of {}: {}", vm_id, error.what()));
    return std::nullopt;
  }
}

void ImageStore::write_manifest(const Manifest& manifest) const {
  const std::string name = name_of(manifest.vm_id, kNewManifest);
  const vmm::UniqueFd file = directory_.make(name);
  store::write_at(file.get(), 0, encode(manifest));
  store::sync_data(file.get());
  directory_.rename(name, name_of(manifest.vm_id, kManifest));
  directory_.sync();
}

/// Oldest first; an unsound one has no size of RAM, and counts as the oldest.
std::vector<ImageStore::Entry> ImageStore::entries() const {
  std::vector<Entry> entries;
  for (const std::string& name : directory_.names()) {
    const std::string vm_id = name.substr(0, kIdBytes);
    if (!is_vm_id(vm_id) || name != name_of(vm_id, kManifest)) continue;
    Entry entry{.vm_id = vm_id, .name = {}, .bytes = bytes_of(vm_id)};
    if (const auto manifest = sound_manifest(vm_id)) {
      entry.name = manifest->name;
      entry.token = manifest->token;
      entry.kept_at = manifest->kept_at;
      entry.memory_bytes = manifest->memory_bytes;
      entry.held = manifest->held.count();
      entry.dropped = manifest->held.pages() - entry.held;
    }
    entries.push_back(std::move(entry));
  }
  std::ranges::sort(entries, {},
                    [](const Entry& entry) { return std::pair(entry.kept_at, entry.vm_id); });
  return entries;
}

std::uint64_t ImageStore::bytes_of(const std::string& vm_id) const {
  std::uint64_t bytes = 0;
  for (const auto suffix : {kRam, kHashes, kManifest}) {
    bytes += directory_.allocated(name_of(vm_id, suffix));
  }
  return bytes;
}

bool ImageStore::remove(const std::string& vm_id) const {
  const bool there = directory_.remove(name_of(vm_id, kManifest));
  if (there) directory_.sync();
  for (const auto suffix : {kRam, kHashes, kNewManifest}) {
    directory_.remove(name_of(vm_id, suffix));
  }
  return there;
}

void ImageStore::remove_quietly(const std::string& vm_id) const {
  try {
    remove(vm_id);
  } catch (const std::exception& error) {
    tell(fmt::format("image of {}: {}", vm_id, error.what()));
  }
}

/// What cannot be removed is left to the next.
void ImageStore::sweep() const {
  try {
    const std::vector<std::string> names = directory_.names();
    const std::set<std::string> all(names.begin(), names.end());
    for (const std::string& name : names) {
      const std::string vm_id = name.substr(0, kIdBytes);
      if (!is_vm_id(vm_id)) continue;
      const std::string_view suffix = std::string_view(name).substr(kIdBytes);
      if (suffix.ends_with(kUsed)) sweep_used(name);
      const bool image = all.contains(name_of(vm_id, kManifest));
      if (suffix == kNewManifest || (!image && (suffix == kRam || suffix == kHashes))) {
        directory_.remove(name);
      }
    }
  } catch (const std::exception& error) {
    tell(fmt::format("cannot tidy up: {}", error.what()));
  }
}

void ImageStore::sweep_used(const std::string& name) const {
  const auto file = directory_.open(name);
  if (file && ::flock(file->get(), LOCK_EX | LOCK_NB) == 0) directory_.remove(name);
}

void ImageStore::make_room(const std::string& vm_id, std::uint64_t bytes) const {
  if (limit_ == kUnlimited) return;
  if (bytes > limit_) {
    throw std::runtime_error(
        fmt::format("the image of {} needs {} bytes, and the image store is limited to {}", vm_id,
                    bytes, limit_));
  }
  const std::vector<Entry> others = entries();
  std::uint64_t total = bytes;
  for (const Entry& entry : others) total += entry.bytes;
  for (const Entry& entry : others) {
    if (total <= limit_) break;
    remove(entry.vm_id);
    total -= entry.bytes;
    tell(fmt::format("image of {} ({}) removed: the store is over its limit", entry.vm_id,
                     entry.name));
  }
}

std::filesystem::path default_image_store() {
  const auto absolute = [](const char* variable) -> std::filesystem::path {
    const char* const value = std::getenv(variable);
    return value != nullptr && *value == '/' ? value : "";
  };
  if (const auto state = absolute("XDG_STATE_HOME"); !state.empty()) return state / "ferry/images";
  if (const auto home = absolute("HOME"); !home.empty()) return home / ".local/state/ferry/images";
  throw std::runtime_error("there is no HOME to have an image store below: name a directory");
}

}  // namespace migration

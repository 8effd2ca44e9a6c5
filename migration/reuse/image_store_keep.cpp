#include <fmt/format.h>
#include <sys/file.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <limits>
#include <stdexcept>
#include <utility>

#include "migration/base/page_content.hpp"
#include "migration/reuse/hash_pages.hpp"
#include "migration/reuse/image_store.hpp"

namespace migration {

namespace {

constexpr std::uint64_t kCopyPages = 256;

std::int64_t now() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Manifest manifest_of(const ImageStore::Departure& departure, const vmm::GuestMemory& memory,
                     const vmm::PageSet& held) {
  if (!is_vm_id(departure.vm_id) || held.pages() != memory.page_count()) {
    throw std::invalid_argument(
        fmt::format("an image of VM '{}' with a bitmap of {} pages for RAM of {}", departure.vm_id,
                    held.pages(), memory.page_count()));
  }
  Manifest manifest;
  manifest.vm_id = departure.vm_id;
  manifest.name = departure.name.substr(0, kMaxImageName);
  manifest.token = departure.token;
  manifest.memory_bytes = memory.size();
  manifest.kept_at = now();
  manifest.key = departure.key;
  manifest.held = held;
  return manifest;
}

/// What an image takes on the file system, in whole pages.
std::uint64_t needed(std::uint64_t data_pages, const vmm::PageSet& held) {
  const auto rounded = [](std::uint64_t bytes) {
    return (bytes + vmm::kPageSize - 1) / vmm::kPageSize * vmm::kPageSize;
  };
  return data_pages * vmm::kPageSize + rounded(held.pages() * kHashBytes) +
         rounded(512 + held.pages() / 8);
}

/// The moment after the last of these images was kept, by what it says: the oldest go first, and a
/// clock that was set back must not make the next one the oldest.
std::int64_t behind(const std::vector<ImageStore::Entry>& oldest_first) {
  constexpr std::int64_t kLast = std::numeric_limits<std::int64_t>::max();
  if (oldest_first.empty()) return 0;
  return std::min(oldest_first.back().kept_at, kLast - 1) + 1;
}

}  // namespace

/// Puts hashes and digests at the places of their pages, and their checksum into the manifest.
vmm::UniqueFd ImageStore::write_hashes(Manifest& manifest, const std::vector<PageHash>& hashes,
                                       const std::vector<std::uint64_t>& digests) const {
  const std::uint64_t pages = manifest.held.pages();
  wire::Bytes bytes(pages * kHashBytes);
  std::byte* const all_digests = bytes.data() + pages * sizeof(PageHash);
  std::size_t next = 0;
  for (const vmm::PageRange& range : manifest.held.ranges()) {
    std::memcpy(&bytes[range.first * sizeof(PageHash)], &hashes[next],
                range.count * sizeof(PageHash));
    std::memcpy(all_digests + range.first * sizeof(std::uint64_t), &digests[next],
                range.count * sizeof(std::uint64_t));
    next += range.count;
  }
  manifest.hashes = checksum_of(bytes);
  vmm::UniqueFd file = directory_.make_unnamed();
  store::write_at(file.get(), 0, bytes);
  store::sync_data(file.get());
  return file;
}

vmm::UniqueFd ImageStore::copy(const vmm::GuestMemory& memory, const vmm::PageSet& pages) const {
  vmm::UniqueFd file = make_ram(memory.size());
  const auto put = [&](vmm::PageRange range) {
    if (range.count == 0) return;
    store::write_at(file.get(), range.first * vmm::kPageSize, memory.pages(range));
  };
  for (const vmm::PageRange& range : pages.ranges()) {
    vmm::PageRange run{range.first, 0};
    for (vmm::PageIndex page = range.first; page < range.end(); ++page) {
      const bool zero = is_zero(memory.pages({page, 1}));
      if (!zero) ++run.count;
      if (zero || run.count == kCopyPages) put(std::exchange(run, {page + 1, 0}));
    }
    put(run);
  }
  return file;
}

/// Makes RAM a file of the store, of a name that goes with the process; nullopt when it cannot be
/// one. So a second departure of a VM finds its RAM, and the first one makes a name for it.
std::optional<std::string> ImageStore::adopt(int file, const std::string& vm_id) const {
  if (!tmpfs_ || file < 0 || store::id_of(file).device != store::id_of(directory_.fd()).device) {
    return std::nullopt;
  }
  for (std::string& name : directory_.names()) {
    if (!name.ends_with(store::kUsed)) continue;
    const auto other = directory_.open(name);
    if (other && store::id_of(other->get()) == store::id_of(file)) return std::move(name);
  }
  if (store::names_of(file) != 0) return std::nullopt;  // it is another store's
  std::string name = store::used_name(vm_id);
  if (::flock(file, LOCK_SH | LOCK_NB) < 0 || !directory_.try_link(file, name)) return std::nullopt;
  return name;
}

ImageStore::Kept ImageStore::keep(const Departure& departure, vmm::GuestMemory& memory,
                                  const vmm::PageSet& held) {
  Manifest manifest = manifest_of(departure, memory, held);
  const std::string& vm_id = manifest.vm_id;
  vmm::PageSet populated(memory.page_count());
  memory.add_populated({0, memory.page_count()}, populated);
  vmm::PageSet others = populated;
  others -= held;
  populated &= held;
  const std::uint64_t bytes = needed(populated.count(), held);

  std::optional<std::string> adopted;
  try {
    {
      const vmm::UniqueFd guard = lock();
      sweep();
      remove(vm_id);
      make_room(vm_id, bytes);
      adopted = adopt(memory.file(), vm_id);
    }
    // In place of what RAM had been promised: that grows no more.
    if (tmpfs_) promise_room(adopted ? needed(0, held) : bytes, 0, "the image");
    // The long part is done without the lock, in files that no image has yet.
    std::vector<PageHash> hashes = hash_pages(memory, held, populated, manifest.key);
    vmm::UniqueFd copied;
    if (adopted) {
      memory.discard(others.ranges());
    } else {
      copied = copy(memory, populated);
      store::sync_data(copied.get());
    }
    const vmm::UniqueFd hash_file =
        write_hashes(manifest, hashes, digest_pages(memory, held, populated));

    const vmm::UniqueFd guard = lock();
    remove(vm_id);
    make_room(vm_id, bytes);
    manifest.kept_at = std::max(manifest.kept_at, behind(entries()));
    const std::string ram = vm_id + std::string(store::kRam);
    if (adopted) {
      directory_.rename(*adopted, ram);
      adopted.reset();
      ::flock(memory.file(), LOCK_UN);  // an image is nobody's RAM
    } else {
      directory_.link(copied.get(), ram);
    }
    directory_.link(hash_file.get(), vm_id + std::string(store::kHashes));
    directory_.sync();
    write_manifest(manifest);
    promise_.reset();
    return {held.count(), bytes_of(vm_id), std::move(hashes)};
  } catch (...) {
    promise_.reset();
    abandon(vm_id, adopted);
    throw;
  }
}

void ImageStore::abandon(const std::string& vm_id,
                         const std::optional<std::string>& adopted) const {
  try {
    const vmm::UniqueFd guard = lock();
    if (adopted) directory_.remove(*adopted);
    remove(vm_id);
  } catch (const std::exception& error) {
    tell(fmt::format("image of {}: {}", vm_id, error.what()));
  }
}

bool ImageStore::drop_pages(const std::string& vm_id, const Token& token,
                            const vmm::PageSet& pages) {
  std::optional<vmm::UniqueFd> guard = lock();
  auto manifest = sound_manifest(vm_id);
  if (!manifest || manifest->token != token) return false;
  if (pages.pages() != manifest->held.pages()) {
    throw std::invalid_argument(fmt::format("a bitmap of {} pages for an image of {}",
                                            pages.pages(), manifest->held.pages()));
  }
  vmm::PageSet dropped = manifest->held;
  dropped &= pages;
  if (dropped.empty()) return true;
  manifest->held -= dropped;
  try {
    const auto ram = directory_.open(vm_id + std::string(store::kRam));
    if (!ram) throw std::runtime_error(fmt::format("image of {}: its RAM is not there", vm_id));
    write_manifest(*manifest);
    // A disk takes milliseconds for a hole, and nobody reads these pages any more. On a tmpfs who
    // takes the image next writes to this very file.
    if (!tmpfs_) guard.reset();
    store::punch(ram->get(), dropped);
  } catch (...) {
    if (guard) remove_quietly(vm_id);  // else the pages are void at least
    throw;
  }
  return true;
}

}  // namespace migration

#include <fmt/format.h>
#include <sys/file.h>

#include <cstring>
#include <exception>
#include <stdexcept>
#include <utility>

#include "migration/reuse/image_store.hpp"

namespace migration {

std::vector<PageHash> ImageStore::read_hashes(const Manifest& manifest) const {
  const auto file = directory_.open(manifest.vm_id + std::string(store::kHashes));
  if (!file) throw std::runtime_error("its hashes are not there");
  const std::uint64_t size = manifest.held.pages() * sizeof(PageHash);
  const wire::Bytes bytes = store::read_all(file->get(), size);
  if (bytes.size() != size) throw std::runtime_error("its hashes are cut short");
  if (checksum_of(bytes) != manifest.hashes) throw std::runtime_error("its hashes are damaged");
  std::vector<PageHash> hashes(manifest.held.count());
  std::size_t next = 0;
  for (const vmm::PageRange& range : manifest.held.ranges()) {
    std::memcpy(&hashes[next], &bytes[range.first * sizeof(PageHash)],
                range.count * sizeof(PageHash));
    next += range.count;
  }
  return hashes;
}

std::optional<ImageStore::Taken> ImageStore::take_out(const std::string& vm_id,
                                                      std::uint64_t memory_bytes) {
  auto manifest = read_manifest(vm_id);
  if (!manifest) {
    tell(fmt::format("there is no image of {}", vm_id));
    return std::nullopt;
  }
  directory_.remove(vm_id + std::string(store::kManifest));
  directory_.sync();  // before anything else: nobody else can take it now
  if (manifest->memory_bytes != memory_bytes) {
    throw std::runtime_error(fmt::format("it has {} bytes of RAM, and the VM has {}",
                                         manifest->memory_bytes, memory_bytes));
  }
  const std::string name = vm_id + std::string(store::kRam);
  auto ram = directory_.open(name);
  if (!ram) throw std::runtime_error("its RAM is not there");
  if (const std::uint64_t size = store::size_of(ram->get()); size != memory_bytes) {
    throw std::runtime_error(fmt::format("its RAM has {} bytes, not {}", size, memory_bytes));
  }
  Taken taken{manifest->token, manifest->key, {}, read_hashes(*manifest), std::move(*ram)};
  taken.held = std::move(manifest->held);
  if (tmpfs_ && ::flock(taken.ram.get(), LOCK_SH | LOCK_NB) == 0) {
    directory_.rename(name, store::used_name(vm_id));
  } else {
    directory_.remove(name);
  }
  directory_.remove(vm_id + std::string(store::kHashes));
  return taken;
}

/// Lets go of pages that do not match their hashes.
void ImageStore::verify(Taken& taken, const std::string& vm_id) const {
  const vmm::DirtyBitmap claimed = taken.held;
  const std::vector<PageHash> found = hash_pages(taken.ram.get(), claimed, taken.key);
  std::vector<PageHash> sound;
  sound.reserve(found.size());
  std::size_t next = 0;
  for (const vmm::PageRange& range : claimed.ranges()) {
    for (vmm::PageIndex page = range.first; page < range.end(); ++page, ++next) {
      if (found[next] == taken.hashes[next]) {
        sound.push_back(found[next]);
      } else {
        taken.held.reset(page);
      }
    }
  }
  if (sound.size() < found.size()) {
    tell(fmt::format("image of {}: {} of {} pages are damaged and not used", vm_id,
                     found.size() - sound.size(), found.size()));
  }
  taken.hashes = std::move(sound);
  if (taken.held.empty()) throw std::runtime_error("no page of it can be used");
  if (!tmpfs_) return;
  vmm::DirtyBitmap others(claimed.pages());
  vmm::add_populated(taken.ram.get(), {0, claimed.pages()}, others);
  others -= taken.held;
  store::punch(taken.ram.get(), others);
}

std::optional<ImageStore::Taken> ImageStore::take(const std::string& vm_id,
                                                  std::uint64_t memory_bytes) {
  const auto refuse = [&](const std::exception& error) {
    tell(fmt::format("image of {} not used: {}", vm_id, error.what()));
  };
  std::optional<Taken> taken;
  try {
    const vmm::UniqueFd guard = lock();
    sweep();
    try {
      taken = take_out(vm_id, memory_bytes);
    } catch (const std::exception& error) {
      refuse(error);
      remove_quietly(vm_id);
    }
  } catch (const std::exception& error) {
    refuse(error);
  }
  if (!taken) return std::nullopt;
  try {
    verify(*taken, vm_id);
    return taken;
  } catch (const std::exception& error) {
    refuse(error);
  }
  taken.reset();  // closes its RAM, which then goes
  try {
    tidy();
  } catch (const std::exception& error) {
    refuse(error);
  }
  return std::nullopt;
}

}  // namespace migration

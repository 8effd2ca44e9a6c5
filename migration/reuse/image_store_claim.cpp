#include <fmt/format.h>
#include <sys/file.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <utility>

#include "migration/reuse/hash_pages.hpp"
#include "migration/reuse/image_store.hpp"

namespace migration {

/// An image that is out of the store, and not looked into yet.
struct ImageStore::Found {
  Manifest manifest;
  vmm::UniqueFd ram;
  std::vector<PageHash> hashes;        ///< of the pages held, in order
  std::vector<std::uint64_t> digests;  ///< of them too

  std::uint64_t let_go_of_damaged(const std::vector<std::uint64_t>& digests_now);
};

/// How many: those whose digests are not what they were.
std::uint64_t ImageStore::Found::let_go_of_damaged(const std::vector<std::uint64_t>& digests_now) {
  const std::vector<vmm::PageRange> claimed = manifest.held.ranges();
  std::size_t sound = 0;
  std::size_t next = 0;
  for (const vmm::PageRange& range : claimed) {
    for (vmm::PageIndex page = range.first; page < range.end(); ++page, ++next) {
      if (digests_now[next] == digests[next]) {
        hashes[sound++] = hashes[next];
      } else {
        manifest.held.reset(page);
      }
    }
  }
  hashes.resize(sound);
  return next - sound;
}

void ImageStore::read_hashes(Found& found) const {
  const Manifest& manifest = found.manifest;
  const auto file = directory_.open(manifest.vm_id + std::string(store::kHashes));
  if (!file) throw std::runtime_error("its hashes are not there");
  const std::uint64_t size = manifest.held.pages() * kHashBytes;
  const wire::Bytes bytes = store::read_all(file->get(), size);
  if (bytes.size() != size) throw std::runtime_error("its hashes are cut short");
  if (checksum_of(bytes) != manifest.hashes) throw std::runtime_error("its hashes are damaged");
  const std::byte* const digests = bytes.data() + manifest.held.pages() * sizeof(PageHash);
  found.hashes.resize(manifest.held.count());
  found.digests.resize(found.hashes.size());
  std::size_t next = 0;
  for (const vmm::PageRange& range : manifest.held.ranges()) {
    std::memcpy(&found.hashes[next], &bytes[range.first * sizeof(PageHash)],
                range.count * sizeof(PageHash));
    std::memcpy(&found.digests[next], digests + range.first * sizeof(std::uint64_t),
                range.count * sizeof(std::uint64_t));
    next += range.count;
  }
}

std::optional<ImageStore::Found> ImageStore::take_out(const std::string& vm_id,
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
  Found found{std::move(*manifest), std::move(*ram), {}, {}};
  read_hashes(found);
  if (tmpfs_ && ::flock(found.ram.get(), LOCK_SH | LOCK_NB) == 0) {
    directory_.rename(name, store::used_name(vm_id));
  } else {
    directory_.remove(name);
  }
  directory_.remove(vm_id + std::string(store::kHashes));
  return found;
}

/// Makes it RAM, without the pages that do not match their digests.
ImageStore::Taken ImageStore::load(Found found) {
  Manifest& manifest = found.manifest;
  const std::uint64_t bytes = manifest.memory_bytes;
  const vmm::PageRange all{0, manifest.held.pages()};
  vmm::PageSet others(all.count);  // pages that may be there and are not held
  const std::uint64_t there = std::min(bytes, store::allocated(found.ram.get()));
  vmm::GuestMemory memory = promise_ram(bytes, there)
                                ? vmm::GuestMemory(bytes, std::move(found.ram))
                                : vmm::GuestMemory(bytes);
  std::vector<std::uint64_t> digests;
  if (memory.file() < 0) {
    digests = read_pages(found.ram.get(), memory, manifest.held);
  } else {
    // How much data there is costs nothing to ask; where it is, milliseconds for each GiB. So that
    // is asked only when what is held and what is there are not the same.
    vmm::PageSet data = manifest.held;
    if (store::allocated(memory.file()) < data.count() * vmm::kPageSize) {
      data.clear();
      memory.add_populated(all, data);
      data &= manifest.held;
    }
    digests = digest_pages(memory, manifest.held, data);
    if (store::allocated(memory.file()) > data.count() * vmm::kPageSize) {
      memory.add_populated(all, others);
    }
  }
  others |= manifest.held;
  if (const std::uint64_t damaged = found.let_go_of_damaged(digests); damaged > 0) {
    tell(fmt::format("image of {}: {} of {} pages are damaged and not used", manifest.vm_id,
                     damaged, digests.size()));
  }
  if (manifest.held.empty()) throw std::runtime_error("no page of it can be used");
  others -= manifest.held;
  memory.discard(others.ranges());
  return {manifest.token, manifest.key, std::move(manifest.held), std::move(found.hashes),
          std::move(memory)};
}

std::optional<ImageStore::Taken> ImageStore::claim(const std::string& vm_id,
                                                   std::uint64_t memory_bytes) {
  const auto refuse = [&](const std::exception& error) {
    tell(fmt::format("image of {} not used: {}", vm_id, error.what()));
  };
  std::optional<Found> found;
  try {
    const vmm::UniqueFd guard = lock();
    sweep();
    try {
      found = take_out(vm_id, memory_bytes);
    } catch (const std::exception& error) {
      refuse(error);
      remove_quietly(vm_id);
    }
  } catch (const std::exception& error) {
    refuse(error);
  }
  if (!found) return std::nullopt;
  std::optional<Taken> taken;
  try {
    taken = load(std::move(*found));
    if (!tmpfs_ || taken->memory.file() >= 0) return taken;
  } catch (const std::exception& error) {
    refuse(error);
  }
  found.reset();
  try {
    tidy();  // the image's RAM, which is closed
  } catch (const std::exception& error) {
    tell(fmt::format("image of {}: {}", vm_id, error.what()));
  }
  return taken;
}

}  // namespace migration

#include "vmm/memory/mapping.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "vmm/memory/huge_page.hpp"
#include "vmm/memory/memory_faults.hpp"

namespace vmm {

namespace {

[[noreturn]] void fail(std::uint64_t size) {
  throw std::system_error(errno, std::generic_category(),
                          fmt::format("cannot map {} MiB of guest RAM", size / 1_MiB));
}

}  // namespace

Mapping::Mapping(std::uint64_t size, int file) {
  // mmap alone does not promise the alignment: reserve more, map inside it, and give the rest back.
  void* const reserved = ::mmap(nullptr, size + kHugePage, PROT_NONE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) fail(size);
  auto* const base = static_cast<std::byte*>(reserved);
  const std::uint64_t lead =
      (kHugePage - reinterpret_cast<std::uintptr_t>(reserved) % kHugePage) % kHugePage;
  if (lead > 0) ::munmap(base, lead);
  if (lead < kHugePage) ::munmap(base + lead + size, kHugePage - lead);
  data_ = base + lead;
  size_ = size;
  try {
    remap(0, size, file);
  } catch (...) {
    ::munmap(data_, size_);
    throw;
  }
  note_guest_ram(data_, size_);
}

void Mapping::remap(std::uint64_t offset, std::uint64_t size, int file) {
  const int flags =
      MAP_FIXED | MAP_NORESERVE | (file >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);
  std::byte* const at = data_ + offset;
  if (::mmap(at, size, PROT_READ | PROT_WRITE, flags, file,
             file >= 0 ? static_cast<off_t>(offset) : 0) == MAP_FAILED) {
    fail(size);
  }
  ::madvise(at, size, MADV_DONTDUMP);
  if (huge_) ::madvise(at, size, MADV_HUGEPAGE);
}

void Mapping::take(std::uint64_t offset, Mapping other) {
  std::byte* const at = data_ + offset;
  if (::mremap(other.data_, other.size_, other.size_, MREMAP_MAYMOVE | MREMAP_FIXED, at) ==
      MAP_FAILED) {
    fail(other.size_);
  }
  forget_guest_ram(other.data_);
  if (huge_) ::madvise(at, other.size_, MADV_HUGEPAGE);
  other.data_ = nullptr;
}

void Mapping::advise_huge() {
  huge_ = true;
  ::madvise(data_, size_, MADV_HUGEPAGE);
}

Mapping::~Mapping() {
  if (data_ == nullptr) return;
  forget_guest_ram(data_);
  ::munmap(data_, size_);
}

Mapping::Mapping(Mapping&& other) noexcept
    : size_(std::exchange(other.size_, 0)),
      huge_(other.huge_),
      data_(std::exchange(other.data_, nullptr)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(size_, other.size_);
  std::swap(huge_, other.huge_);
  std::swap(data_, other.data_);
  return *this;
}

}  // namespace vmm

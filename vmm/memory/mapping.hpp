#pragma once

#include <cstddef>
#include <cstdint>

namespace vmm {

/// Memory that is mapped into this process at a multiple of the size of a huge page: fresh
/// anonymous memory, or a shared file from its start. Nothing of it is reserved or touched.
class Mapping {
 public:
  Mapping() = default;
  /// `size` in bytes, a multiple of the page size; `file` -1 for anonymous memory.
  /// std::system_error when the host cannot give it.
  explicit Mapping(std::uint64_t size, int file = -1);
  ~Mapping();
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;

  /// What is at these bytes goes, and the same bytes of `file` are there instead, or fresh
  /// anonymous memory. Whole pages. std::system_error when the host allows no further mapping: then
  /// all is as before.
  void remap(std::uint64_t offset, std::uint64_t size, int file);
  /// What is at these bytes goes, and all that `other` maps, which is anonymous, is there instead:
  /// for everybody who looks in one step. std::system_error when the host does not allow it: then
  /// nothing may be mapped there.
  void take(std::uint64_t offset, Mapping other);
  /// Asks for huge pages from now on. A kernel that has none works the same.
  void advise_huge();

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }

 private:
  std::uint64_t size_ = 0;
  bool huge_ = false;
  std::byte* data_ = nullptr;
};

}  // namespace vmm

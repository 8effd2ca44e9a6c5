#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>

#include "migration/base/page_hash.hpp"
#include "vmm/memory/guest_address.hpp"

namespace migration {

/// Which page was sent with which content, as one channel sent them: the newest of each content.
/// Bounded: of contents that share a place the oldest are forgotten. Whether the page still has
/// that content is for the caller to find out.
class ContentTable {
 public:
  /// One of so many tables of one size, which together are for so many pages and no more than
  /// kMost. Costs memory only as it is filled, and remembers nothing when there is none.
  explicit ContentTable(std::uint64_t pages, unsigned tables);

  struct Sent {
    vmm::PageIndex page = 0;
    std::uint32_t round = 0;  ///< in which it went
    friend bool operator==(const Sent&, const Sent&) = default;
  };
  [[nodiscard]] std::optional<Sent> find(const PageHash& hash) const;
  void put(const PageHash& hash, const Sent& sent);

 private:
  static constexpr std::uint64_t kMost = std::uint64_t{1} << 18;  ///< entries: 6 MiB
  static constexpr std::size_t kWays = 4;

  struct Entry {
    PageHash hash;
    std::uint32_t page;
    std::uint32_t round;  ///< 0: there is none
  };
  using Set = std::array<Entry, kWays>;
  struct Free {
    void operator()(Set* sets) const { std::free(sets); }
  };
  /// The hash is as good as random, so any bits of it tell the set.
  [[nodiscard]] Set& set_of(const PageHash& hash) const;

  std::uint64_t sets_;
  std::unique_ptr<Set[], Free> table_;
};

}  // namespace migration

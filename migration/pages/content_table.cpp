#include "migration/pages/content_table.hpp"

#include <algorithm>
#include <cstring>

namespace migration {

ContentTable::ContentTable(std::uint64_t pages, unsigned tables)
    : sets_(std::max<std::uint64_t>(std::min(pages, kMost) / tables / kWays, 1)),
      table_(static_cast<Set*>(std::calloc(sets_, sizeof(Set)))) {}

ContentTable::Set& ContentTable::set_of(const PageHash& hash) const {
  std::uint64_t bits = 0;
  std::memcpy(&bits, hash.data(), sizeof bits);
  return table_[bits % sets_];
}

std::optional<ContentTable::Sent> ContentTable::find(const PageHash& hash) const {
  if (!table_) return std::nullopt;
  for (const Entry& entry : set_of(hash)) {
    if (entry.round != 0 && entry.hash == hash) return Sent{entry.page, entry.round};
  }
  return std::nullopt;
}

void ContentTable::put(const PageHash& hash, const Sent& sent) {
  if (!table_) return;
  Set& set = set_of(hash);
  auto* place = std::ranges::find_if(
      set, [&](const Entry& entry) { return entry.round != 0 && entry.hash == hash; });
  // The newest first, so that the last one is the oldest.
  if (place == set.end()) place = set.end() - 1;
  std::move_backward(set.begin(), place, place + 1);
  set.front() = {hash, static_cast<std::uint32_t>(sent.page), sent.round};
}

}  // namespace migration

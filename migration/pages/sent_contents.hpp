#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "migration/base/page_hasher.hpp"
#include "migration/pages/content_table.hpp"
#include "migration/policy/duplicate_policy.hpp"

namespace migration {

/// Which contents went on a channel, and whether it pays to look for them.
class SentContents {
 public:
  /// Nobody knows the key, so nobody makes two pages that differ and hash alike.
  [[nodiscard]] PageHash hash_of(std::span<const std::byte> page);
  /// None until it is needed.
  [[nodiscard]] std::optional<ContentTable>& table() { return table_; }
  [[nodiscard]] DuplicatePolicy& policy() { return policy_; }

 private:
  std::optional<PageHasher> hasher_;
  std::optional<ContentTable> table_;
  DuplicatePolicy policy_;
};

}  // namespace migration

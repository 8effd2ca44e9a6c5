#include "migration/pages/sent_contents.hpp"

namespace migration {

PageHash SentContents::hash_of(std::span<const std::byte> page) {
  if (!hasher_) hasher_.emplace(random_hash_key());
  return (*hasher_)(page);
}

}  // namespace migration

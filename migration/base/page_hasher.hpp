#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "migration/base/page_hash.hpp"

namespace migration {

/// std::system_error when the kernel gives no random bytes.
[[nodiscard]] HashKey random_hash_key();

/// Hashes pages with one key, in one thread. std::runtime_error when libcrypto refuses.
class PageHasher {
 public:
  explicit PageHasher(const HashKey& key);
  [[nodiscard]] PageHash operator()(std::span<const std::byte> page);

 private:
  struct Free {
    void operator()(void* context) const;
  };
  std::unique_ptr<void, Free> context_;
};

}  // namespace migration

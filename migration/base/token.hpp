#pragma once

#include <array>
#include <cstddef>
#include <string>

namespace migration {

/// Names one handover, at random.
using Token = std::array<std::byte, 16>;

/// std::system_error when the kernel gives no random bytes.
[[nodiscard]] Token random_token();
/// 32 lower-case digits.
[[nodiscard]] std::string to_hex(const Token& token);

}  // namespace migration

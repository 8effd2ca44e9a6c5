#include "migration/base/token.hpp"

#include <fmt/format.h>
#include <sys/random.h>

#include <cerrno>
#include <system_error>

namespace migration {

Token random_token() {
  Token token{};
  if (::getrandom(token.data(), token.size(), 0) != static_cast<ssize_t>(token.size())) {
    throw std::system_error(errno, std::generic_category(), "getrandom");
  }
  return token;
}

std::string to_hex(const Token& token) {
  std::string hex;
  for (const std::byte byte : token) hex += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
  return hex;
}

}  // namespace migration

#pragma once

#include <stdexcept>
#include <string>
#include <system_error>

namespace migration::net {

/// Why an address cannot be used: an errno for programs, and words for people where the errno's own
/// would mislead.
class AddressError : public std::system_error {
 public:
  AddressError(int error, const std::string& words)
      : std::system_error(error, std::generic_category()), words_(words) {}
  [[nodiscard]] const char* what() const noexcept override { return words_.what(); }

 private:
  std::runtime_error words_;  // unlike a string it is copied without allocating
};

}  // namespace migration::net

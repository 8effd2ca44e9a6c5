#pragma once

#include <stdexcept>
#include <string>

namespace vmm {

/// A guest cannot be booted from what was given.
class BootError : public std::runtime_error {
 public:
  enum class Kind {
    missing_file,    ///< it is not there, or cannot be read
    forbidden_file,  ///< it may not be read
    bad_image,       ///< it is no kernel that this machine can boot
  };

  BootError(Kind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  [[nodiscard]] Kind kind() const { return kind_; }

 private:
  Kind kind_;
};

[[noreturn]] inline void bad_image(const std::string& why) {
  throw BootError(BootError::Kind::bad_image, why);
}

}  // namespace vmm

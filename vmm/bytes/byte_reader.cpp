#include "vmm/bytes/byte_reader.hpp"

namespace vmm {

std::string tell_truncated(std::string_view what) { return "truncated " + std::string(what); }

std::string tell_stray(std::size_t bytes, std::string_view what) {
  return std::to_string(bytes) + " stray bytes after " + std::string(what);
}

}  // namespace vmm

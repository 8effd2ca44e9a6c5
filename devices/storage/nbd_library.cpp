#include "devices/storage/nbd_library.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cerrno>
#include <system_error>

namespace devices::storage {

namespace {

constexpr const char* kLibrary = "libnbd.so.0";

}  // namespace

NbdLibrary::NbdLibrary() : library_(load()) {}

const NbdLibrary& NbdLibrary::get() {
  static const NbdLibrary library;
  return library;
}

void* NbdLibrary::load() {
  if (void* library = ::dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL)) return library;
  const char* const why = ::dlerror();
  throw std::system_error(
      ELIBACC, std::generic_category(),
      fmt::format("disks over NBD need libnbd (Debian's package libnbd0): {}", why));
}

NbdLibrary::Symbol NbdLibrary::symbol(const char* name) const {
  if (void* address = ::dlsym(library_, name)) return {address};
  throw std::system_error(ELIBBAD, std::generic_category(),
                          fmt::format("{} is older than 1.12: it has no {}", kLibrary, name));
}

}  // namespace devices::storage

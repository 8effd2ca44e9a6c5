#include "tests/migration/names.hpp"

#include <dlfcn.h>
#include <netdb.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string_view>

namespace migration {

namespace {

std::mutex mutex;  // guards what follows
std::condition_variable changed;
bool silent = false;
unsigned asking = 0;
unsigned names_asked = 0;

}  // namespace

SilentNames::SilentNames() {
  const std::lock_guard lock(mutex);
  silent = true;
  names_asked = 0;
}

SilentNames::~SilentNames() {
  std::unique_lock lock(mutex);
  silent = false;
  changed.notify_all();
  changed.wait(lock, [] { return asking == 0; });
}

bool SilentNames::wait_asked(unsigned times) {
  std::unique_lock lock(mutex);
  return changed.wait_for(lock, std::chrono::seconds(20), [times] { return names_asked >= times; });
}

}  // namespace migration

/// In the place of the C library's.
extern "C" int getaddrinfo(const char* name, const char* service, const addrinfo* hints,
                           addrinfo** found) {
  using namespace migration;  // NOLINT(google-build-using-namespace)
  if (name != nullptr && std::string_view(name) == SilentNames::kName) {
    std::unique_lock lock(mutex);
    ++names_asked;
    ++asking;
    changed.notify_all();
    changed.wait(lock, [] { return !silent; });
    --asking;
    changed.notify_all();
    return EAI_AGAIN;
  }
  using Real = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
  static const auto real = reinterpret_cast<Real>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  return real(name, service, hints, found);
}

#include "devices/virtio/entropy.hpp"

#include <sys/random.h>

#include <algorithm>
#include <cstddef>

namespace devices::virtio {

namespace {

/// What one request gets: a guest that asks for more asks again.
constexpr std::size_t kMostBytes = 256;

}  // namespace

void Entropy::serve(unsigned /*index*/, ServedQueue& queue) {
  while (const auto request = queue.take()) {
    std::uint32_t written = 0;
    if (!request->writable.empty()) {
      const auto into = request->writable.front();
      // So few bytes are never cut short, and never waited for once the host is up.
      const auto got = ::getrandom(into.data(), std::min(into.size(), kMostBytes), 0);
      written = got > 0 ? static_cast<std::uint32_t>(got) : 0;
    }
    queue.complete(*request, written);
  }
}

}  // namespace devices::virtio

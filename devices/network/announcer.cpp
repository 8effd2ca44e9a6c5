#include "devices/network/announcer.hpp"

#include <algorithm>
#include <system_error>
#include <utility>

namespace devices::network {

Announcer::Announcer(MacAddress mac, std::shared_ptr<NetworkPort> port)
    : mac_(mac), port_(std::move(port)) {}

Announcer::~Announcer() {
  {
    const vmm::Lock lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Announcer::begin() {
  const vmm::Lock lock(mutex_);
  sent_ = 0;
  next_ = Clock::now();
  if (!thread_.joinable()) {
    try {
      thread_ = vmm::Thread(
          vmm::ThreadRole::device, [this] { run(); }, vmm::nothing_escapes);
    } catch (const std::system_error&) {  // no thread to have: the guest's own frames tell it too
      sent_ = kPauses.size() + 1;
    }
  }
  changed_.notify_all();
}

void Announcer::resume() {
  const vmm::Lock lock(mutex_);
  paused_ = false;
  changed_.notify_all();
}

void Announcer::pause() {
  const vmm::Lock lock(mutex_);
  paused_ = true;
}

void Announcer::run() {
  vmm::Lock lock(mutex_);
  while (!over_) {
    if (paused_ || sent_ > kPauses.size()) {
      changed_.wait(lock, [this]() FERRY_REQUIRES(mutex_) {
        return over_ || (!paused_ && sent_ <= kPauses.size());
      });
    } else if (const auto next = next_; Clock::now() < next) {
      changed_.wait_until(lock, next);
    } else {
      announce();
    }
  }
}

void Announcer::announce() {
  auto frame = frame_of(mac_);
  const iovec part{frame.data(), frame.size()};
  port_->send({}, {&part, 1});
  if (sent_ < kPauses.size()) next_ = Clock::now() + kPauses[sent_];
  ++sent_;
}

std::array<std::byte, Announcer::kRarp> Announcer::frame_of(const MacAddress& mac) {
  constexpr std::array<std::uint8_t, 10> kReverseRequest = {0x80, 0x35,  // RARP
                                                            0,    1,     // Ethernet
                                                            8,    0,     // IPv4
                                                            6,    4,     // bytes of addresses
                                                            0,    3};
  std::array<std::byte, kRarp> frame{};
  auto at = frame.begin();
  const auto put = [&at](const auto& bytes) {
    at = std::ranges::transform(bytes, at, [](std::uint8_t byte) { return std::byte{byte}; }).out;
  };
  constexpr MacAddress kEverybody = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  constexpr std::array<std::uint8_t, 4> kNoAddress = {};
  put(kEverybody);
  put(mac);
  put(kReverseRequest);
  put(mac);
  put(kNoAddress);
  put(mac);
  return frame;
}

}  // namespace devices::network

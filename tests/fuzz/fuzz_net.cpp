/// Feeds the network device with a driver that does what it likes, and with a network that does so
/// too. Frames stay within their bounds, and AddressSanitizer sees what is reached outside of the
/// guest's memory.
#include <sys/eventfd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "devices/virtio/net.hpp"
#include "tests/fuzz/one_queue.hpp"
#include "vmm/os/unique_fd.hpp"

namespace {

using devices::network::FrameHeader;
using devices::network::NetworkPort;
using devices::network::Offloads;
using devices::virtio::Net;

constexpr std::uint64_t kRam = std::uint64_t{16} << 20;

constexpr unsigned kFrames = 16;

/// Has some frames for the guest, of any length.
class Network final : public NetworkPort {
 public:
  [[nodiscard]] std::string name() const override { return "fuzz"; }
  [[nodiscard]] std::uint64_t offloads() const override { return Offloads::kAll; }
  void open() override {}
  void close() override {}
  void use(std::uint64_t /*offloads*/) override {}
  [[nodiscard]] int descriptor() const override { return ready_.get(); }
  [[nodiscard]] bool linked() const override { return linked_; }

  /// While no queue is served.
  void begin(std::uint8_t length) {
    length_ = std::size_t{length} * length;
    left_ = kFrames;
    linked_ = true;
  }

 private:
  [[nodiscard]] bool do_send(const FrameHeader& /*header*/, std::span<const iovec> frame) override {
    const std::size_t size = devices::network::size_of(frame);
    if (size < devices::network::kLeastFrame || size > devices::network::kMostFrame) std::abort();
    for (const iovec& part : frame) {
      sum_ ^= static_cast<const std::uint8_t*>(part.iov_base)[part.iov_len - 1];
    }
    return (sum_ & 1) != 0;
  }
  [[nodiscard]] std::optional<std::size_t> do_receive(FrameHeader& header,
                                                      std::span<const iovec> into) override {
    if (left_ == 0) {
      linked_ = false;
      return std::nullopt;
    }
    --left_;
    header.fill(static_cast<std::byte>(left_));
    if (length_ == 0 || length_ > devices::network::size_of(into)) return 0;
    std::size_t rest = length_;
    for (const iovec& part : into) {
      const std::size_t here = std::min(rest, part.iov_len);
      std::memset(part.iov_base, static_cast<int>(left_), here);
      rest -= here;
    }
    return length_;
  }

  const vmm::UniqueFd ready_{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  std::size_t length_ = 0;
  unsigned left_ = 0;
  bool linked_ = false;
  std::uint8_t sum_ = 0;
};

}  // namespace

/// The input: which queue it is, what the driver has agreed on, and how long the network's frames
/// are; then what is in the guest's memory.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static vmm::GuestMemory memory(kRam);
  static const auto network = std::make_shared<Network>();
  static Net net(Net::identity_of({2, 0, 0, 0, 0, 1}, *network), network,
                 [](const std::string&) {});
  constexpr std::size_t kHead = 2;
  if (size < kHead) return 0;
  const std::uint8_t choices = data[0];
  const unsigned index = choices % 3U;
  network->begin(data[1]);
  net.begin(((choices & 4) != 0 ? Offloads::kAll : 0) |
            ((choices & 16) != 0 ? Net::kMergeableBuffers : 0));
  const auto filled = memory.at({0}, devices::virtio::kFilled);
  std::ranges::fill(filled, std::byte{0});
  std::memcpy(filled.data(), data + kHead, std::min<std::size_t>(size - kHead, filled.size()));
  devices::virtio::serve_one(net, index, memory, (choices & 8) != 0);
  return 0;
}

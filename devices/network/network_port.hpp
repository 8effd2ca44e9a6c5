#pragma once

#include <sys/uio.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace devices::network {

/// In front of each frame between a device and its port: `struct virtio_net_hdr_v1`, of virtio 1.2,
/// section 5.1.6. All zeros: the frame is whole, with its checksums.
using FrameHeader = std::array<std::byte, 12>;

inline constexpr std::size_t kLeastFrame = 14;     ///< bytes: an Ethernet header
inline constexpr std::size_t kMostFrame = 65'550;  ///< bytes: of 64 KiB that are cut up later

/// What one side does for the other: `bits` are those of the virtio network device's features.
struct Offloads {
  static constexpr std::uint64_t kSendChecksum = 1U << 0;
  static constexpr std::uint64_t kReceiveChecksum = 1U << 1;
  static constexpr std::uint64_t kReceiveTso4 = 1U << 7;
  static constexpr std::uint64_t kReceiveTso6 = 1U << 8;
  static constexpr std::uint64_t kSendTso4 = 1U << 11;
  static constexpr std::uint64_t kSendTso6 = 1U << 12;
  static constexpr std::uint64_t kAll =
      kSendChecksum | kReceiveChecksum | kReceiveTso4 | kReceiveTso6 | kSendTso4 | kSendTso6;
};

/// Their names, as people know them: for example "guest-tso4".
[[nodiscard]] std::string offload_names(std::uint64_t offloads);

/// The host's end of a network device's cable. Nothing here waits for anybody: a frame that the
/// host does not take at once is lost, as on any network.
///
///   made --> open() --> send() and receive(), a thread each --> close() --> open() --> ...
class NetworkPort {
 public:
  NetworkPort() = default;
  virtual ~NetworkPort() = default;
  NetworkPort(const NetworkPort&) = delete;
  NetworkPort& operator=(const NetworkPort&) = delete;

  /// What it is, for people.
  [[nodiscard]] virtual std::string name() const = 0;
  /// Of Offloads: those that it can have.
  [[nodiscard]] virtual std::uint64_t offloads() const = 0;
  /// The longest packet of its network, where that is known.
  [[nodiscard]] virtual std::optional<std::uint16_t> mtu() const { return std::nullopt; }

  /// Does what of open() can be done while another machine of the guest runs, so that open() takes
  /// less time. std::system_error as of open(), but not for what another process has: open() takes
  /// that. Does nothing where a network may end with whoever was connected for a moment.
  virtual void reserve() {}
  /// Takes what one machine at a time may use. What is open stays so. std::system_error that says
  /// why it is not to be had.
  virtual void open() = 0;
  /// The opposite: while nobody sends or receives.
  virtual void close() = 0;
  /// Frames that come are such as the guest takes, by those of Offloads that it has agreed on.
  /// Whenever it is open, and also before.
  virtual void use(std::uint64_t offloads) = 0;

  /// Readable when there may be something for receive(); it never changes.
  [[nodiscard]] virtual int descriptor() const = 0;
  /// Whether there is anybody at the other end.
  [[nodiscard]] virtual bool linked() const = 0;

  /// A frame goes out, or is dropped. Any thread.
  void send(const FrameHeader& header, std::span<const iovec> frame);
  /// The next frame, for `into`: its bytes. Nullopt when there is none now. One that does not fit
  /// is dropped, and so says 0.
  [[nodiscard]] std::optional<std::size_t> receive(FrameHeader& header,
                                                   std::span<const iovec> into);

  /// Frames that were dropped, of either way.
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

 protected:
  [[nodiscard]] virtual bool do_send(const FrameHeader& header, std::span<const iovec> frame) = 0;
  /// 0 for a frame that does not fit.
  [[nodiscard]] virtual std::optional<std::size_t> do_receive(FrameHeader& header,
                                                              std::span<const iovec> into) = 0;

 private:
  std::atomic<std::uint64_t> dropped_{0};
};

/// All bytes of the parts.
[[nodiscard]] std::size_t size_of(std::span<const iovec> parts);

}  // namespace devices::network

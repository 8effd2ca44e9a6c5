#include "devices/virtio/net.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "vmm/bytes/byte_writer.hpp"
#include "vmm/bytes/copy_bytes.hpp"

namespace devices::virtio {

namespace {

using network::FrameHeader;
using network::Offloads;

/// Between two looks at whether the machine pauses: what is left is readable still.
constexpr int kMostDropped = 256;

// Of a frame's header.
constexpr std::byte kNeedsChecksum{1};
constexpr std::size_t kBuffers = 10;  ///< of the number of buffers that the frame takes

// Of the control queue.
constexpr std::uint8_t kAnnounceClass = 3;
constexpr std::uint8_t kAcknowledge = 0;
constexpr std::byte kOk{0};
constexpr std::byte kError{1};

/// All behind the first `skipped` bytes that a frame may be in.
template <typename Byte>
std::vector<iovec> parts_behind(const std::vector<std::span<Byte>>& segments, std::size_t skipped) {
  std::vector<iovec> parts;
  parts.reserve(segments.size());
  std::size_t room = network::kMostFrame;
  for (const auto& segment : segments) {
    const std::size_t here = std::min(skipped, segment.size());
    skipped -= here;
    const std::size_t taken = std::min(room, segment.size() - here);
    room -= taken;
    // Of what the device only reads, too: an iovec does not tell.
    if (taken > 0) parts.push_back({const_cast<std::byte*>(segment.data()) + here, taken});
  }
  return parts;
}

/// The first bytes of a request, as many as `into` has and it has.
void read_from(const std::vector<std::span<const std::byte>>& segments, std::span<std::byte> into) {
  for (const auto& segment : segments) {
    const auto here = segment.first(std::min(segment.size(), into.size()));
    vmm::copy_bytes(here, into);
    into = into.subspan(here.size());
  }
}

void write_to(const std::vector<std::span<std::byte>>& segments, std::span<const std::byte> bytes) {
  for (const auto& segment : segments) {
    const auto here = bytes.first(std::min(segment.size(), bytes.size()));
    vmm::copy_bytes(here, segment);
    bytes = bytes.subspan(here.size());
  }
}

}  // namespace

NetIdentity Net::identity_of(const network::MacAddress& mac, const network::NetworkPort& port) {
  return {.mac = mac, .mtu = port.mtu(), .offloads = port.offloads()};
}

Net::Net(const NetIdentity& identity, std::shared_ptr<network::NetworkPort> port, Report report)
    : identity_(identity),
      port_(std::move(port)),
      report_(std::move(report)),
      announcer_(identity.mac, port_) {
  if ((identity.offloads & ~Offloads::kAll) != 0) {
    throw std::invalid_argument(
        fmt::format("offloads {:#x} that no network has here", identity.offloads));
  }
  if (const std::uint64_t lacking = identity.offloads & ~port_->offloads(); lacking != 0) {
    throw std::invalid_argument(fmt::format("the guest may rely on offloads that {} has not: {}",
                                            port_->name(), network::offload_names(lacking)));
  }
  if (const auto mtu = port_->mtu(); identity.mtu && mtu && *mtu < *identity.mtu) {
    throw std::invalid_argument(
        fmt::format("{0} has an MTU of {1}, and the guest was told of {2}: raise it here, and that "
                    "of its bridge ('ip link set dev IFNAME mtu {2}')",
                    port_->name(), *mtu, *identity.mtu));
  }
}

std::string Net::about() const {
  return fmt::format("{}, MAC {:02x}{}, {} frames dropped", port_->name(),
                     fmt::join(identity_.mac, ":"), port_->linked() ? "" : ", without a link",
                     port_->dropped());
}

std::uint64_t Net::features() const {
  return kMac | kMergeableBuffers | kStatus | kControlQueue | kGuestAnnounce |
         (identity_.mtu ? kMtu : 0) | identity_.offloads;
}

std::vector<std::byte> Net::config() const {
  std::vector<std::byte> config;
  vmm::ByteWriter out(config);
  for (const std::uint8_t byte : identity_.mac) out.u8(byte);
  out.u16(static_cast<std::uint16_t>((link_ ? kLinkUp : 0) | (announce_ ? kAnnounce : 0)));
  out.u16(1);  // max_virtqueue_pairs
  out.u16(identity_.mtu.value_or(0));
  return config;
}

/// A guest that ran once runs on, be it without its network, unless somebody else has that: another
/// machine of the same guest, say.
void Net::acquire() {
  try {
    port_->open();
  } catch (const std::system_error& error) {
    if (!acquired_ || error.code() == std::errc::device_or_resource_busy) throw;
    report_(fmt::format("the guest has no link: {}", error.what()));
  }
  const bool linked = port_->linked();
  if (link_.exchange(linked) != linked && acquired_) tell_ = true;
  acquired_ = true;
}

void Net::release() { port_->close(); }

void Net::resumed() {
  announcer_.resume();
  if (std::exchange(tell_, false)) tell_config_changed();
}

void Net::request_pause() { announcer_.pause(); }

void Net::arrived() {
  announce_ = (features_ & kGuestAnnounce) != 0;
  announcer_.begin();
  tell_ = true;  // of the link, too: there was another one
}

void Net::begin(std::uint64_t features) {
  features_ = features;
  announce_ = false;
  port_->use(features & Offloads::kAll);
}

int Net::source(unsigned index) const { return index == kReceiveQueue ? port_->descriptor() : -1; }

void Net::serve(unsigned index, ServedQueue& queue) {
  switch (index) {
    case kReceiveQueue: receive(queue); break;
    case kSendQueue: send(queue); break;
    default: control(queue); return;
  }
  look_at_link();
}

void Net::look_at_link() {
  if (!port_->linked() && link_.exchange(false)) tell_config_changed();
}

/// Of the driver, for the frames that come next. What is left is put back.
class Net::Buffers {
 public:
  /// `mergeable`: a frame may take several.
  Buffers(ServedQueue& queue, bool mergeable) : queue_(queue), mergeable_(mergeable) {}
  ~Buffers() {
    for (std::size_t i = 0; i < taken_.size(); ++i) queue_.put_back();
  }
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;

  /// Takes what the longest frame needs, as far as there is so much. False when there is no room
  /// for any.
  [[nodiscard]] bool take() {
    while (taken_.empty() ||
           (mergeable_ && room_ < kMostRoom && segments_.size() < kMostSegments)) {
      auto request = queue_.take();
      if (!request) break;
      const std::uint64_t bytes = bytes_of(request->writable);
      // No frame can begin in it. Behind others it waits for them: what is put back is the last.
      if (taken_.empty() && bytes < kLeastRoom) {
        queue_.complete(*request, 0);
        continue;
      }
      room_ += bytes;
      segments_.insert(segments_.end(), request->writable.begin(), request->writable.end());
      taken_.push_back({std::move(*request), bytes});
    }
    return room_ >= kLeastRoom;
  }

  /// All memory of what is taken.
  [[nodiscard]] const std::vector<std::span<std::byte>>& segments() const { return segments_; }

  /// How many of them so many bytes fill.
  [[nodiscard]] std::uint16_t count(std::uint64_t bytes) const {
    std::uint16_t buffers = 0;
    for (std::uint64_t room = 0; room < bytes; ++buffers) room += taken_[buffers].bytes;
    return buffers;
  }

  /// Bytes may be there of a frame that is dropped.
  void note_written() const {
    std::uint64_t left = kMostRoom;
    for (const Taken& taken : taken_) {
      const std::uint64_t here = std::min(left, taken.bytes);
      queue_.note_written(taken.request, here);
      left -= here;
    }
  }

  /// So many bytes of them are a frame.
  void complete(std::uint64_t bytes) {
    std::vector<Completion> done(count(bytes));
    std::size_t segments = 0;
    for (std::size_t i = 0; i < done.size(); ++i) {
      const std::uint64_t here = std::min(bytes, taken_[i].bytes);
      done[i] = {.request = &taken_[i].request, .written = static_cast<std::uint32_t>(here)};
      bytes -= here;
      room_ -= taken_[i].bytes;
      segments += taken_[i].request.writable.size();
    }
    queue_.complete(done);
    taken_.erase(taken_.begin(), taken_.begin() + static_cast<std::ptrdiff_t>(done.size()));
    segments_.erase(segments_.begin(), segments_.begin() + static_cast<std::ptrdiff_t>(segments));
  }

 private:
  struct Taken {
    Request request;
    std::uint64_t bytes = 0;  ///< that are writable
  };
  static constexpr std::uint64_t kLeastRoom = sizeof(FrameHeader) + network::kLeastFrame;
  static constexpr std::uint64_t kMostRoom = sizeof(FrameHeader) + network::kMostFrame;
  /// With those of one more request they are no more than the kernel takes at once.
  static constexpr std::size_t kMostSegments = 512;

  ServedQueue& queue_;
  const bool mergeable_;
  std::deque<Taken> taken_;
  std::vector<std::span<std::byte>> segments_;
  std::uint64_t room_ = 0;
};

void Net::receive(ServedQueue& queue) {
  Buffers buffers(queue, (features_ & kMergeableBuffers) != 0);
  for (int dropped = 0; dropped < kMostDropped && buffers.take();) {
    FrameHeader header{};
    const auto got = port_->receive(header, parts_behind(buffers.segments(), sizeof(header)));
    if (!got) return;
    if (*got == 0 || !for_guest(header)) {
      buffers.note_written();
      ++dropped;
      continue;
    }
    const std::uint64_t bytes = sizeof(header) + *got;
    const std::uint16_t count = buffers.count(bytes);
    header[kBuffers] = static_cast<std::byte>(count & 0xff);
    header[kBuffers + 1] = static_cast<std::byte>(count >> 8);
    write_to(buffers.segments(), header);
    buffers.complete(bytes);
  }
}

/// Whether the guest takes such a frame, of which the header becomes one that it knows.
bool Net::for_guest(FrameHeader& header) const {
  if ((features_ & Offloads::kReceiveChecksum) == 0) {
    // It was made while the driver of before would take it so.
    if ((header[0] & kNeedsChecksum) != std::byte{0}) return false;
    header = {};
  }
  return true;
}

void Net::send(ServedQueue& queue) {
  while (const auto request = queue.take()) {
    const std::uint64_t bytes = bytes_of(request->readable);
    FrameHeader header{};
    if (bytes >= sizeof(header) + network::kLeastFrame &&
        bytes <= sizeof(header) + network::kMostFrame) {
      read_from(request->readable, header);
      if ((features_ & Offloads::kSendChecksum) == 0) header = {};
      port_->send(header, parts_behind(request->readable, sizeof(header)));
    }
    queue.complete(*request, 0);
  }
}

void Net::control(ServedQueue& queue) {
  while (const auto request = queue.take()) {
    std::array<std::byte, 2> command = {std::byte{0xff}, std::byte{0xff}};
    read_from(request->readable, command);
    const bool known = command == std::array{std::byte{kAnnounceClass}, std::byte{kAcknowledge}};
    if (known) announce_ = false;
    const std::array<std::byte, 1> answer = {known ? kOk : kError};
    write_to(request->writable, answer);
    queue.complete(*request, request->writable.empty() ? 0 : 1);
  }
}

}  // namespace devices::virtio

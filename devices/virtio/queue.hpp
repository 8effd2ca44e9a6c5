#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stdexcept>
#include <vector>

#include "devices/virtio/ring.hpp"
#include "vmm/memory/guest_memory.hpp"

namespace devices::virtio {

/// The driver broke the rules of a queue: the device needs a reset.
class QueueError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Where the driver has put a queue, and how far the device is with it: all that travels. There is
/// no request under way when it does: what was not taken is served where the queue is next.
struct QueueState {
  std::uint16_t size = 0;  ///< entries: a power of two, up to the most that the device offers
  std::uint64_t descriptors = 0;
  std::uint64_t driver_area = 0;
  std::uint64_t device_area = 0;
  std::uint16_t next_available = 0;  ///< the next request, counted from the first; wraps
  std::uint16_t next_used = 0;       ///< the same of those that are done

  bool operator==(const QueueState&) const = default;
};

/// One request of the driver: memory that the device reads, then memory that it writes. All of it
/// is RAM, each segment in one piece.
struct Request {
  std::uint16_t head = 0;  ///< its name
  std::vector<std::span<const std::byte>> readable;
  std::vector<std::span<std::byte>> writable;
};

/// What the device has done of a request: of its writable memory `written` bytes were written, from
/// the start.
struct Completion {
  const Request* request = nullptr;
  std::uint32_t written = 0;
};

/// Of memory of a request: no more than a queue's entries of 4 GiB each.
template <typename Byte>
std::uint64_t bytes_of(const std::vector<std::span<Byte>>& segments) {
  std::uint64_t bytes = 0;
  for (const auto& segment : segments) bytes += segment.size();
  return bytes;
}

/// The device's side of a split virtqueue that is enabled. Whatever a driver puts there is bounded:
/// it is read once, checked, and then used.
///
/// One thread at a time. What it writes is noted for the dirty log; of what a device writes to
/// `writable` the device tells by `written`.
class Queue {
 public:
  /// `event_index`: the feature VIRTIO_F_EVENT_IDX was negotiated. QueueError when the state is
  /// unsound: it comes from a driver, or from a peer.
  Queue(vmm::GuestMemory& memory, const QueueState& state, bool event_index);

  [[nodiscard]] QueueState state() const;
  /// Requests that were taken and are not complete.
  [[nodiscard]] std::uint16_t in_flight() const { return in_flight_; }

  /// The next request; nullopt when there is none.
  [[nodiscard]] std::optional<Request> take();
  /// What the device reads of it is there, and waited for where it is missing; where RAM is a file,
  /// so is what it writes, if it `writes`. False when the file has no room for that now, or it is
  /// `given_up` meanwhile. Any thread.
  [[nodiscard]] bool make_present(const Request& request, bool writes,
                                  const std::function<bool()>& given_up) const;
  /// Undoes the last take(): the request is served later, here or elsewhere.
  void put_back();
  /// Of a request's writable memory `bytes` were written, from the start, for nothing: complete()
  /// notes the others. Any thread.
  void note_written(const Request& request, std::uint64_t bytes) const;
  /// These are done, and the driver sees all of them or none.
  void complete(std::span<const Completion> done);
  void complete(const Request& request, std::uint32_t written) {
    const Completion one{.request = &request, .written = written};
    complete({&one, 1});
  }
  /// Whether the driver is to be interrupted for what was completed since the last call.
  [[nodiscard]] bool wants_interrupt();

  /// Pages that the driver or the device will most likely touch first, at most `most`: the queue's
  /// areas, then what the requests name that wait, and those that were done last, as far as their
  /// descriptors are still sound. A guess.
  [[nodiscard]] std::vector<vmm::PageIndex> working_set(std::size_t most) const;
  /// Whether there are requests. In the thread that takes them.
  [[nodiscard]] bool any() const { return available() != state_.next_available; }
  /// From now on the driver notifies when there are requests. True when there are some already, of
  /// which nothing may tell.
  [[nodiscard]] bool await_notification();
  /// The driver need not notify: the device looks by itself.
  void look_by_itself();

 private:
  [[nodiscard]] std::uint16_t available_head(std::uint16_t index) const;
  void follow(Descriptor descriptor, Request& request) const;
  void add(const Descriptor& descriptor, Request& request) const;
  [[nodiscard]] std::uint16_t available() const;

  vmm::GuestMemory& memory_;
  QueueState state_;
  const bool event_index_;
  std::span<const std::byte> descriptors_;
  std::span<std::byte> driver_;
  std::span<std::byte> device_;
  std::uint16_t in_flight_ = 0;
  /// `next_used` when the driver was last asked whether it wants an interrupt; none before.
  std::optional<std::uint16_t> asked_at_;
};

}  // namespace devices::virtio

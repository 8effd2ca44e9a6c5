#include "devices/virtio/queue.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <utility>

namespace devices::virtio {

namespace {

/// What is made present between two looks at whether that is given up.
constexpr std::size_t kPiece = std::size_t{2} << 20;

std::span<std::byte> area(vmm::GuestMemory& memory, std::uint64_t address, std::uint64_t bytes,
                          std::uint64_t alignment, const char* what) {
  if (address % alignment != 0) {
    throw QueueError(fmt::format("the {} at {:#x} is not aligned", what, address));
  }
  try {
    return memory.at(vmm::GuestAddress{address}, bytes);
  } catch (const vmm::GuestAccessError&) {
    throw QueueError(fmt::format("the {} at {:#x} is not in RAM", what, address));
  }
}

/// Waits for each page of it that is missing.
void touch(std::span<const std::byte> segment) {
  for (std::size_t at = 0; at < segment.size(); at += vmm::kPageSize) {
    static_cast<void>(*static_cast<const volatile std::byte*>(&segment[at]));
  }
  static_cast<void>(*static_cast<const volatile std::byte*>(&segment.back()));
}

/// The driver changes them at any time: each access is one, of the whole number.
std::uint16_t load(std::span<std::byte> area, std::uint64_t at, std::memory_order order) {
  // Aligned, as its area is.
  return std::atomic_ref(*reinterpret_cast<std::uint16_t*>(&area[at])).load(order);
}

void store(std::span<std::byte> area, std::uint64_t at, std::uint16_t value,
           std::memory_order order) {
  std::atomic_ref(*reinterpret_cast<std::uint16_t*>(&area[at])).store(value, order);
}

Descriptor descriptor_at(std::span<const std::byte> table, std::uint64_t index) {
  Descriptor descriptor;
  std::memcpy(&descriptor, &table[index * sizeof(descriptor)], sizeof(descriptor));
  return descriptor;
}

/// Whether `event` lies among those from `before` up to `now` (virtio 1.2, section 2.7.10.1: both
/// sides' rule).
bool passed(std::uint16_t event, std::uint16_t before, std::uint16_t now) {
  return static_cast<std::uint16_t>(now - event - 1) < static_cast<std::uint16_t>(now - before);
}

}  // namespace

Queue::Queue(vmm::GuestMemory& memory, const QueueState& state, bool event_index)
    : memory_(memory), state_(state), event_index_(event_index) {
  if (!std::has_single_bit(state.size)) {
    throw QueueError(fmt::format("a queue of {} entries: needs a power of two", state.size));
  }
  descriptors_ = area(memory, state.descriptors, DescriptorTable::bytes(state.size),
                      DescriptorTable::kAlignment, "descriptor table");
  driver_ = area(memory, state.driver_area, DriverArea::bytes(state.size), DriverArea::kAlignment,
                 "driver's area");
  device_ = area(memory, state.device_area, DeviceArea::bytes(state.size), DeviceArea::kAlignment,
                 "device's area");
}

QueueState Queue::state() const { return state_; }

std::uint16_t Queue::available() const {
  return load(driver_, DriverArea::kIndex, std::memory_order_acquire);
}

std::uint16_t Queue::available_head(std::uint16_t index) const {
  const std::uint64_t slot = index % state_.size;
  return load(driver_, DriverArea::kRing + slot * sizeof(std::uint16_t), std::memory_order_relaxed);
}

std::vector<vmm::PageIndex> Queue::working_set(std::size_t most) const {
  std::vector<vmm::PageIndex> pages;
  const auto add_pages = [&](std::span<const std::byte> bytes) {
    const vmm::PageIndex last = memory_.page_at(&bytes.back());
    for (auto page = memory_.page_at(&bytes.front()); page <= last && pages.size() < most; ++page) {
      if (!std::ranges::count(pages, page)) pages.push_back(page);
    }
  };
  const auto add_request = [&](std::uint32_t head) {
    if (head >= state_.size || pages.size() >= most) return;
    const Descriptor first = descriptor_at(descriptors_, head);
    try {
      if ((first.flags & kDescriptorIndirect) != 0) {
        add_pages(area(memory_, first.address, std::max(first.length, 1U), 1, "indirect table"));
      }
      Request request;
      follow(first, request);
      std::ranges::for_each(request.readable, add_pages);
      std::ranges::for_each(request.writable, add_pages);
    } catch (const QueueError&) {  // the driver's again, for something else
    }
  };
  std::ranges::for_each(std::array<std::span<const std::byte>, 3>{descriptors_, driver_, device_},
                        add_pages);
  const auto waiting = static_cast<std::uint16_t>(available() - state_.next_available);
  const auto near = static_cast<std::uint16_t>(std::min<std::size_t>(state_.size, most));
  for (std::uint16_t i = 0; i < std::min(waiting, near); ++i) {
    add_request(available_head(static_cast<std::uint16_t>(state_.next_available + i)));
  }
  for (std::uint16_t i = 1; i <= near; ++i) {
    const std::uint64_t slot = static_cast<std::uint16_t>(state_.next_used - i) % state_.size;
    UsedElement element;
    std::memcpy(&element, &device_[DeviceArea::kRing + slot * sizeof(element)], sizeof(element));
    add_request(element.head);
  }
  return pages;
}

std::optional<Request> Queue::take() {
  const auto waiting = static_cast<std::uint16_t>(available() - state_.next_available);
  if (waiting == 0) return std::nullopt;
  if (waiting > state_.size) {
    throw QueueError(fmt::format("the driver offers {} requests in a queue of {} entries", waiting,
                                 state_.size));
  }
  if (in_flight_ == state_.size) throw QueueError("the driver offers a request that is under way");
  const std::uint16_t head = available_head(state_.next_available);
  if (head >= state_.size) {
    throw QueueError(fmt::format("a request begins at descriptor {} of {}", head, state_.size));
  }
  Request request;
  request.head = head;
  follow(descriptor_at(descriptors_, head), request);
  ++state_.next_available;
  ++in_flight_;
  return request;
}

bool Queue::make_present(const Request& request, bool writes,
                         const std::function<bool()>& given_up) const {
  const bool in_file = memory_.has_file();
  const auto present = [&](std::span<const std::byte> segment) {
    while (!segment.empty()) {
      if (given_up()) return false;
      const auto piece = segment.first(std::min(segment.size(), kPiece));
      if (!in_file) touch(piece);
      if (in_file && !memory_.make_present(piece)) return false;
      segment = segment.subspan(piece.size());
    }
    return true;
  };
  return std::ranges::all_of(request.readable, present) &&
         (!in_file || !writes || std::ranges::all_of(request.writable, present));
}

void Queue::put_back() {
  --state_.next_available;
  --in_flight_;
}

/// No chain is longer than the queue, so that one that leads into itself ends. Nor does it name so
/// much memory, over and over, that going through it takes longer than through RAM.
void Queue::follow(Descriptor descriptor, Request& request) const {
  std::span<const std::byte> table = descriptors_;
  std::uint64_t entries = state_.size;
  if ((descriptor.flags & kDescriptorIndirect) != 0) {
    entries = descriptor.length / sizeof(Descriptor);
    const bool whole = descriptor.length % sizeof(Descriptor) == 0;
    if (!whole || entries == 0 || entries > state_.size ||
        (descriptor.flags & (kDescriptorNext | kDescriptorWrite)) != 0) {
      throw QueueError("an unsound indirect descriptor");
    }
    table = area(memory_, descriptor.address, descriptor.length, 1, "indirect table");
    descriptor = descriptor_at(table, 0);
  }
  std::uint64_t bytes = 0;
  for (std::uint16_t count = 1;; ++count) {
    add(descriptor, request);
    bytes += descriptor.length;
    if (bytes > memory_.size()) throw QueueError("a request of more bytes than there is RAM");
    if ((descriptor.flags & kDescriptorNext) == 0) return;
    if (count == state_.size) throw QueueError("a request of more descriptors than the queue has");
    if (descriptor.next >= entries) {
      throw QueueError(
          fmt::format("a request goes on at descriptor {} of {}", descriptor.next, entries));
    }
    descriptor = descriptor_at(table, descriptor.next);
  }
}

void Queue::add(const Descriptor& descriptor, Request& request) const {
  if ((descriptor.flags & kDescriptorIndirect) != 0) {
    throw QueueError("an indirect descriptor within a chain");
  }
  if (descriptor.length == 0) throw QueueError("a descriptor of no bytes");
  const auto bytes = area(memory_, descriptor.address, descriptor.length, 1, "memory of a request");
  if ((descriptor.flags & kDescriptorWrite) != 0) {
    request.writable.push_back(bytes);
  } else if (request.writable.empty()) {
    request.readable.emplace_back(bytes);
  } else {
    throw QueueError("a request has memory to read behind memory to write");
  }
}

void Queue::complete(std::span<const Completion> done) {
  for (const auto& [request, written] : done) {
    note_written(*request, written);
    const UsedElement element{.head = request->head, .length = written};
    const std::uint64_t slot = state_.next_used % state_.size;
    const auto place =
        device_.subspan(DeviceArea::kRing + slot * sizeof(UsedElement), sizeof(UsedElement));
    std::memcpy(place.data(), &element, sizeof(element));
    memory_.note_written(place);
    ++state_.next_used;
    --in_flight_;
  }
  store(device_, DeviceArea::kIndex, state_.next_used, std::memory_order_release);
  memory_.note_written(device_.first(DeviceArea::kRing));
}

void Queue::note_written(const Request& request, std::uint64_t bytes) const {
  for (const auto& segment : request.writable) {
    const auto part = segment.first(std::min<std::uint64_t>(bytes, segment.size()));
    if (part.empty()) return;
    memory_.note_written(part);
    bytes -= part.size();
  }
}

bool Queue::wants_interrupt() {
  // What was completed is there before the driver's wish is read: it reads in the other order.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!event_index_) {
    const std::uint16_t flags = load(driver_, DriverArea::kFlags, std::memory_order_relaxed);
    return (flags & DriverArea::kNoInterrupt) == 0;
  }
  const auto before = std::exchange(asked_at_, state_.next_used);
  if (before == state_.next_used) return false;
  const std::uint16_t event =
      load(driver_, DriverArea::used_event(state_.size), std::memory_order_relaxed);
  return !before || passed(event, *before, state_.next_used);
}

bool Queue::await_notification() {
  const std::uint64_t place =
      event_index_ ? DeviceArea::available_event(state_.size) : DeviceArea::kFlags;
  store(device_, place, event_index_ ? state_.next_available : std::uint16_t{0},
        std::memory_order_relaxed);
  memory_.note_written(device_.subspan(place, sizeof(std::uint16_t)));
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return any();
}

/// With event indices there is nothing to do: none is given out.
void Queue::look_by_itself() {
  if (event_index_) return;
  store(device_, DeviceArea::kFlags, DeviceArea::kNoNotify, std::memory_order_relaxed);
  memory_.note_written(device_.first(sizeof(std::uint16_t)));
}

}  // namespace devices::virtio

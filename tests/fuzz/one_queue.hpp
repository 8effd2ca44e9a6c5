#pragma once

#include <chrono>
#include <string>

#include "devices/virtio/queue.hpp"
#include "devices/virtio/served_queue.hpp"
#include "devices/virtio/virtio_device.hpp"
#include "vmm/memory/guest_memory.hpp"
#include "vmm/os/event_fd.hpp"
#include "vmm/os/mutex.hpp"

namespace devices::virtio {

/// What the input fills: a small part of RAM, so that addresses meet what they point to.
inline constexpr std::uint64_t kFilled = 0x4000;
/// The queue is at its front, and requests follow.
inline constexpr QueueState kQueueInInput{
    .size = 8, .descriptors = 0, .driver_area = 0x80, .device_area = 0xa0, .next_available = 0};

/// Has the device serve a queue of the input, until all requests are taken, or the driver has
/// broken the rules. A queue that lies in its requests' memory may bring requests without end.
inline void serve_one(VirtioDevice& device, unsigned index, vmm::GuestMemory& memory,
                      bool event_index) {
  constexpr std::chrono::milliseconds kLongest{50};
  vmm::Mutex mutex;
  vmm::Condition changed;
  bool taken = false;
  vmm::EventFd notified;
  ServedQueue queue(Queue(memory, kQueueInInput, event_index), notified,
                    {.serve =
                         [&](ServedQueue& served) {
                           device.serve(index, served);
                           const vmm::Lock lock(mutex);
                           taken = true;
                           changed.notify_all();
                         },
                     .interrupt = [] {},
                     .broken = [](const std::string&) {}},
                    0U);
  queue.resume();
  vmm::Lock lock(mutex);
  static_cast<void>(changed.wait_for(lock, kLongest, [&] { return taken; }));
}

}  // namespace devices::virtio

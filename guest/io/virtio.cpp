#include "guest/io/virtio.hpp"

#include <cstddef>

#include "guest/cpu/freestanding.hpp"
#include "guest/cpu/time.hpp"

namespace guest {
namespace {

constexpr std::uint16_t kVendor = 0x1af4;
constexpr std::uint8_t kVendorCapability = 0x09;
// Kinds of structures, each with a capability that tells where it is.
constexpr std::uint8_t kCommonStructure = 1;
constexpr std::uint8_t kNotifyStructure = 2;
constexpr std::uint8_t kDeviceStructure = 4;

constexpr std::uint64_t kVersion1 = std::uint64_t{1} << 32;

constexpr std::uint8_t kAcknowledge = 1;
constexpr std::uint8_t kDriver = 2;
constexpr std::uint8_t kDriverOk = 4;
constexpr std::uint8_t kFeaturesOk = 8;
constexpr std::uint16_t kNoVector = 0xffff;

constexpr std::uint16_t kDescriptorNext = 1;
constexpr std::uint16_t kDescriptorWrite = 2;
constexpr std::uint16_t kNoNotify = 1;

constexpr std::uint64_t kResetMs = 1000;
constexpr std::uint64_t kPollMs = 1;
// Interrupts do not need it: it lets a device that is silent be noticed.
constexpr std::uint64_t kLookMs = 100;
constexpr std::uint64_t kPatienceMs = 30'000;

}  // namespace

struct Virtio::CommonConfig {
  std::uint32_t device_feature_select;
  std::uint32_t device_feature;
  std::uint32_t driver_feature_select;
  std::uint32_t driver_feature;
  std::uint16_t config_vector;
  std::uint16_t queues;
  std::uint8_t status;
  std::uint8_t generation;
  std::uint16_t queue_select;
  std::uint16_t queue_size;
  std::uint16_t queue_vector;
  std::uint16_t queue_enable;
  std::uint16_t queue_notify_offset;
  std::uint32_t queue_addresses[6];  // descriptors, driver's and device's area; low half first
};

struct Virtio::Ring {
  struct {
    std::uint64_t address;
    std::uint32_t bytes;
    std::uint16_t flags;
    std::uint16_t next;
  } descriptors[kMostEntries];
  struct {
    std::uint16_t flags;
    std::uint16_t index;
    std::uint16_t heads[kMostEntries];
  } driver;
  alignas(4) struct {
    std::uint16_t flags;
    std::uint16_t index;
    struct {
      std::uint32_t head;
      std::uint32_t bytes;
    } used[kMostEntries];
  } device;
};

Virtio::Virtio(std::uint16_t device, std::uint64_t features, VirtioQueues queues, const char* name,
               ExitCode code, Processor& cpu, MemoryMap& memory)
    : name_(name), code_(code), cpu_(cpu) {
  static_assert(sizeof(CommonConfig) == 56);
  static_assert(sizeof(Ring) <= 4096);
  if (!function_.find(kVendor, device)) refuse("no such device");
  function_.enable();
  common_ = reinterpret_cast<volatile CommonConfig*>(
      find_structure(kCommonStructure, sizeof(CommonConfig), memory));
  notify_ = find_structure(kNotifyStructure, sizeof(std::uint16_t), memory);
  config_ = find_structure(kDeviceStructure, 0, memory);
  if (common_ == nullptr || notify_ == 0) refuse("the device is not a modern one");
  reset();
  common_->status = kAcknowledge;
  common_->status = kAcknowledge | kDriver;
  negotiate(features);
  interrupts_ = function_.enable_msix(GUEST_VECTOR_DEVICE, memory);
  for (std::uint16_t i = 0; i < queues.count; ++i) set_up_queue(i, queues.slots, memory);
  queues_[0].may_be_silent = queues.first_may_be_silent;
  common_->status = kAcknowledge | kDriver | kFeaturesOk | kDriverOk;
  looked_ = read_tsc();
}

void Virtio::refuse(const char* why) const {
  fail(ExitCode::bad_options, Line() << "option " << name_ << ": " << why);
}

void Virtio::fail_with(const char* what) const { fail(code_, Line() << name_ << " " << what); }

std::uint64_t Virtio::find_structure(std::uint8_t type, std::uint32_t least, MemoryMap& memory) {
  std::uint8_t capability = 0;
  for (int i = 0; i < PciFunction::kMostCapabilities; ++i) {
    capability = function_.find_capability(kVendorCapability, capability);
    if (capability == 0) return 0;
    if (function_.read8(capability + 3u) != type) continue;
    const std::uint32_t bytes = function_.read(capability + 12u);
    if (bytes < least) continue;
    const std::uint64_t address = function_.map(function_.read8(capability + 4u),
                                                function_.read(capability + 8u), bytes, memory);
    if (address == 0) continue;
    if (type == kNotifyStructure) notify_multiplier_ = function_.read(capability + 16u);
    if (type == kDeviceStructure) config_bytes_ = bytes;
    return address;
  }
  return 0;
}

void Virtio::reset() {
  common_->status = 0;
  const std::uint64_t from = read_tsc();
  while (common_->status != 0) {
    if (read_tsc() - from > milliseconds(kResetMs)) refuse("the device does not reset");
    relax();
  }
}

void Virtio::negotiate(std::uint64_t features) {
  for (std::uint32_t half = 0; half < 2; ++half) {
    common_->device_feature_select = half;
    features_ |= std::uint64_t{common_->device_feature} << 32 * half;
  }
  if ((features_ & kVersion1) == 0) refuse("the device is not of version 1");
  features_ &= features | kVersion1;
  for (std::uint32_t half = 0; half < 2; ++half) {
    common_->driver_feature_select = half;
    common_->driver_feature = static_cast<std::uint32_t>(features_ >> 32 * half);
  }
  common_->status = kAcknowledge | kDriver | kFeaturesOk;
  if ((common_->status & kFeaturesOk) == 0) refuse("the device wants other features");
}

void Virtio::set_up_queue(std::uint16_t index, std::uint32_t slots, MemoryMap& memory) {
  Queue& queue = queues_[index];
  const std::uint64_t page = memory.take(sizeof(Ring));
  if (page == 0) refuse("no memory for the queue");
  queue.ring = reinterpret_cast<Ring*>(page);
  memset(queue.ring, 0, sizeof(Ring));

  common_->queue_select = index;
  queue.entries = common_->queue_size;
  if (queue.entries > kMostEntries) queue.entries = kMostEntries;
  if (queue.entries < slots * kMostPieces) refuse("the device's queue is too short");
  common_->queue_size = queue.entries;
  const std::uint64_t areas[] = {page + offsetof(Ring, descriptors), page + offsetof(Ring, driver),
                                 page + offsetof(Ring, device)};
  for (int i = 0; i < 3; ++i) {
    common_->queue_addresses[2 * i] = static_cast<std::uint32_t>(areas[i]);
    common_->queue_addresses[2 * i + 1] = static_cast<std::uint32_t>(areas[i] >> 32);
  }
  if (interrupts_) {
    common_->config_vector = kNoVector;
    common_->queue_vector = 0;
    if (common_->queue_vector != 0) refuse("the device has no vector for its queue");
  }
  queue.notify = notify_ + std::uint64_t{common_->queue_notify_offset} * notify_multiplier_;
  common_->queue_enable = 1;
}

std::uint32_t Virtio::config(std::uint32_t offset) const {
  if (config_ == 0 || config_bytes_ < offset + sizeof(std::uint32_t)) return 0;
  return *reinterpret_cast<volatile std::uint32_t*>(config_ + offset);
}

void Virtio::look(std::uint64_t now) {
  // While the machine was stopped the device could not answer: a gap counts as one pause at most.
  const std::uint64_t longest = milliseconds(kLookMs);
  const std::uint64_t passed = now - looked_ < longest ? now - looked_ : longest;
  looked_ = now;
  // Whoever sees an interrupt also sees, in the same round, the answers that it is for: what is
  // owed afterwards can only be for answers that were taken before their interrupt came.
  const std::uint64_t count = cpu_.device_count;
  announced_ = count != interrupts_seen_;
  interrupts_seen_ = count;
  if (announced_) owed_ = false;
  owed_for_ = owed_ ? owed_for_ + passed : 0;
  for (Queue& queue : queues_) {
    const bool owes = queue.busy != 0 && !queue.may_be_silent;
    queue.silent_for = owes ? queue.silent_for + passed : 0;
  }
  if (owed_for_ > milliseconds(kPatienceMs)) fail_with("sends no interrupts");
}

bool Virtio::take(VirtioAnswer& answer, std::uint32_t index) {
  Queue& queue = queues_[index];
  if (__atomic_load_n(&queue.ring->device.index, __ATOMIC_ACQUIRE) == queue.taken) {
    if (queue.silent_for > milliseconds(kPatienceMs)) fail_with("does not answer");
    return false;
  }
  const auto& used = queue.ring->device.used[queue.taken++ % queue.entries];
  answer = {used.head / kMostPieces, used.bytes};
  if (used.head >= queue.entries || used.head % kMostPieces != 0 || !busy(answer.slot, index)) {
    fail_with("answers what it was not asked");
  }
  queue.busy &= ~(1u << answer.slot);
  queue.silent_for = 0;
  if (interrupts_ && !announced_) owed_ = true;
  return true;
}

void Virtio::post(std::uint32_t slot, const VirtioPiece (&pieces)[kMostPieces],
                  std::uint32_t index) {
  Queue& queue = queues_[index];
  const auto head = static_cast<std::uint16_t>(slot * kMostPieces);
  std::uint16_t last = head;
  for (std::uint16_t i = 0; i < kMostPieces && pieces[i].bytes != 0; ++i) {
    last = static_cast<std::uint16_t>(head + i);
    queue.ring->descriptors[last] = {
        pieces[i].address, pieces[i].bytes,
        static_cast<std::uint16_t>(kDescriptorNext |
                                   (pieces[i].device_writes ? kDescriptorWrite : 0)),
        static_cast<std::uint16_t>(last + 1)};
  }
  queue.ring->descriptors[last].flags &= kDescriptorWrite;
  queue.busy |= 1u << slot;
  queue.ring->driver.heads[queue.posted++ % queue.entries] = head;
}

void Virtio::notify(std::uint32_t index) {
  Queue& queue = queues_[index];
  if (queue.posted == queue.notified) return;
  queue.notified = queue.posted;
  __atomic_store_n(&queue.ring->driver.index, queue.posted, __ATOMIC_RELEASE);
  // The index must be seen before the flags are read, or both sides might wait for each other.
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  if ((__atomic_load_n(&queue.ring->device.flags, __ATOMIC_RELAXED) & kNoNotify) != 0) return;
  *reinterpret_cast<volatile std::uint16_t*>(queue.notify) = static_cast<std::uint16_t>(index);
}

std::uint64_t Virtio::next_look(std::uint64_t now) const {
  std::uint32_t busy = 0;
  for (const Queue& queue : queues_) busy |= queue.busy;
  if (busy == 0) return kNever;
  return now + milliseconds(interrupts_ ? kLookMs : kPollMs);
}

}  // namespace guest

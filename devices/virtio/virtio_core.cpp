#include "devices/virtio/virtio_core.hpp"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

namespace devices::virtio {

namespace {

/// Pages; what more it needs is waited for.
constexpr std::size_t kWorkingSetOfQueue = 24;

}  // namespace

VirtioCore::VirtioCore(std::shared_ptr<VirtioDevice> device, vmm::DeviceHost& host,
                       Callbacks callbacks)
    : device_(std::move(device)),
      host_(host),
      callbacks_(std::move(callbacks)),
      sizes_(device_->queue_sizes().begin(), device_->queue_sizes().end()),
      offered_(device_->features() | kIndirect | kEventIndex | kVersion1),
      notifications_(sizes_.size()) {
  {
    const vmm::Lock lock(mutex_);
    for (const std::uint16_t size : sizes_) setups_.push_back({.state = {.size = size}});
  }
  device_->attach(host_, [this] { config_changed(); });
}

VirtioCore::~VirtioCore() {
  // What is under way may tell the driver something.
  for (const auto& queue : queues()) queue->stop();
  device_->detach();
}

std::uint64_t VirtioCore::driver_features() {
  const vmm::Lock lock(mutex_);
  return driver_features_;
}

void VirtioCore::set_driver_features(std::uint64_t features) {
  const vmm::Lock lock(mutex_);
  if ((status_ & kFeaturesOk) == 0 && !resetting_) driver_features_ = features;
}

std::uint8_t VirtioCore::status() {
  end_reset();
  const vmm::Lock lock(mutex_);
  return status_;
}

void VirtioCore::set_status(std::uint8_t status) {
  if (status == 0) {
    begin_reset();
    end_reset();
    return;
  }
  const vmm::Lock lock(mutex_);
  if (resetting_) return;
  const bool sound = (driver_features_ & ~offered_) == 0 && (driver_features_ & kVersion1) != 0;
  if (!sound) status &= static_cast<std::uint8_t>(~kFeaturesOk);
  const bool was_ok = (status_ & kDriverOk) != 0;
  // A driver cannot take bits back but by a reset.
  status_ |= static_cast<std::uint8_t>(status & ~kNeedsReset);
  if (was_ok || (status_ & kDriverOk) == 0) return;
  if ((status_ & kFeaturesOk) == 0) {
    status_ |= kNeedsReset;
    return;
  }
  try {
    serve();
  } catch (const QueueError&) {
    status_ |= kNeedsReset;
  } catch (const std::system_error&) {  // no thread to have
    status_ |= kNeedsReset;
  }
}

void VirtioCore::begin_reset() {
  const vmm::Lock lock(mutex_);
  resetting_ = true;
  for (const auto& queue : queues_) {
    if (queue) queue->request_pause();
  }
}

/// If nothing is under way any more. No vCPU waits for that, since a disk may hang: its driver asks
/// again.
void VirtioCore::end_reset() {
  const auto idle = [](const auto& queue) {
    return queue == nullptr || queue->wait_paused(std::chrono::steady_clock::now());
  };
  Queues old;
  {
    const vmm::Lock lock(mutex_);
    if (!resetting_ || stopping_ || !std::ranges::all_of(queues_, idle)) return;
    stopping_ = true;
    old = std::exchange(queues_, {});
  }
  // Whoever else looks at one keeps no thread of it: the notifications are the next driver's.
  for (const auto& queue : old) {
    if (queue) queue->stop();
  }
  const vmm::Lock lock(mutex_);
  stopping_ = false;
  resetting_ = false;
  status_ = 0;
  driver_features_ = 0;
  for (unsigned i = 0; i < queue_count(); ++i) setups_[i] = {.state = {.size = sizes_[i]}};
}

/// All queues, or none.
void VirtioCore::serve() {
  device_->begin(driver_features_);
  Queues made(queue_count());
  for (unsigned i = 0; i < queue_count(); ++i) {
    if (setups_[i].enabled) made[i] = make_queue(i);
  }
  queues_ = std::move(made);
  if (!running_) return;
  for (const auto& queue : queues_) {
    if (queue) queue->resume();
  }
}

std::shared_ptr<ServedQueue> VirtioCore::make_queue(unsigned index) {
  const bool event_index = (driver_features_ & kEventIndex) != 0;
  const ServedQueue::Callbacks callbacks{
      .serve = [this, index](ServedQueue& queue) { device_->serve(index, queue); },
      .source = device_->source(index),
      .writes = device_->writes(),
      .interrupt = [this, index] { callbacks_.used(index); },
      .broken = [this](const std::string& /*why*/) { needs_reset(); }};
  return std::make_shared<ServedQueue>(Queue(host_.memory(), setups_[index].state, event_index),
                                       notifications_[index], callbacks, index);
}

void VirtioCore::needs_reset() {
  {
    const vmm::Lock lock(mutex_);
    status_ |= kNeedsReset;
    for (const auto& queue : queues_) {
      if (queue) queue->request_pause();
    }
  }
  callbacks_.config_changed();
}

void VirtioCore::config_changed() {
  ++config_generation_;
  callbacks_.config_changed();
}

QueueSetup VirtioCore::queue(unsigned index) {
  if (index >= queue_count()) return {};
  const vmm::Lock lock(mutex_);
  return setups_[index];
}

void VirtioCore::set_queue(unsigned index, const QueueSetup& setup) {
  if (index >= queue_count() || setup.state.size > sizes_[index]) return;
  const vmm::Lock lock(mutex_);
  if (resetting_ || setups_[index].enabled || (status_ & kDriverOk) != 0) return;
  setups_[index] = setup;
}

void VirtioCore::read_config(std::uint64_t offset, std::span<std::byte> data) const {
  std::ranges::fill(data, std::byte{0});
  const std::vector<std::byte> config = device_->config();
  if (offset >= config.size()) return;
  const auto there = std::span(config).subspan(offset);
  std::ranges::copy(there.first(std::min(there.size(), data.size())), data.begin());
}

void VirtioCore::write_config(std::uint64_t offset, std::span<const std::byte> data) {
  device_->write_config(offset, data);
}

VirtioCore::Queues VirtioCore::queues() {
  const vmm::Lock lock(mutex_);
  Queues served;
  std::ranges::copy_if(queues_, std::back_inserter(served),
                       [](const auto& queue) { return queue != nullptr; });
  return served;
}

void VirtioCore::resumed() {
  if (std::exchange(loaded_, false)) device_->arrived();
  device_->resumed();
  const vmm::Lock lock(mutex_);
  running_ = true;
  if (resetting_ || (status_ & kNeedsReset) != 0) return;
  for (const auto& queue : queues_) {
    if (queue) queue->resume();
  }
}

void VirtioCore::request_pause() {
  device_->request_pause();
  const vmm::Lock lock(mutex_);
  running_ = false;
  for (const auto& queue : queues_) {
    if (queue) queue->request_pause();
  }
}

bool VirtioCore::wait_paused(const ServedQueue::Deadline& deadline) {
  return std::ranges::all_of(queues(),
                             [&](const auto& queue) { return queue->wait_paused(deadline); });
}

std::vector<vmm::PageIndex> VirtioCore::working_set() {
  std::vector<vmm::PageIndex> pages;
  for (const auto& queue : queues()) {
    const auto its = queue->working_set(kWorkingSetOfQueue);
    pages.insert(pages.end(), its.begin(), its.end());
  }
  return pages;
}

void VirtioCore::save(vmm::ByteWriter& out) {
  end_reset();  // a paused device has nothing under way
  const vmm::Lock lock(mutex_);
  out.u8(status_);
  out.u64(driver_features_);
  out.u8(config_generation_);
  for (unsigned i = 0; i < queue_count(); ++i) {
    const bool served = i < queues_.size() && queues_[i] != nullptr;
    const QueueState state = served ? queues_[i]->state() : setups_[i].state;
    out.u8(setups_[i].enabled ? 1 : 0);
    out.u16(state.size);
    out.u64(state.descriptors);
    out.u64(state.driver_area);
    out.u64(state.device_area);
    out.u16(state.next_available);
    out.u16(state.next_used);
  }
  device_->save(out);
}

void VirtioCore::load(vmm::ByteReader<std::invalid_argument>& from) {
  loaded_ = true;
  const vmm::Lock lock(mutex_);
  status_ = from.u8();
  driver_features_ = from.u64();
  config_generation_ = from.u8();
  for (unsigned i = 0; i < queue_count(); ++i) {
    QueueSetup& setup = setups_[i];
    setup.enabled = from.u8() != 0;
    setup.state.size = from.u16();
    if (setup.state.size > sizes_[i]) {
      throw std::invalid_argument("a queue with more entries than the device has");
    }
    setup.state.descriptors = from.u64();
    setup.state.driver_area = from.u64();
    setup.state.device_area = from.u64();
    setup.state.next_available = from.u16();
    setup.state.next_used = from.u16();
  }
  device_->load(from);
  const bool agreed = (status_ & kFeaturesOk) != 0;
  if (agreed && ((driver_features_ & ~offered_) != 0 || (driver_features_ & kVersion1) == 0)) {
    throw std::invalid_argument("features that the device has not here");
  }
  if ((status_ & (kDriverOk | kNeedsReset)) != kDriverOk) return;
  if (!agreed) throw std::invalid_argument("a device in use without features");
  try {
    serve();
  } catch (const QueueError& error) {
    throw std::invalid_argument(error.what());
  }
}

}  // namespace devices::virtio

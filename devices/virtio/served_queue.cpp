#include "devices/virtio/served_queue.hpp"

#include <immintrin.h>
#include <poll.h>

#include <array>
#include <utility>

namespace devices::virtio {

namespace {

using Clock = std::chrono::steady_clock;

/// Nothing tells when a file has room again.
constexpr int kLookForRoomMs = 100;

}  // namespace

ServedQueue::ServedQueue(const Queue& queue, vmm::EventFd& notified, Callbacks callbacks,
                         unsigned number)
    : notified_(notified),
      callbacks_(std::move(callbacks)),
      queue_(queue),
      thread_(
          vmm::ThreadRole::device, [this] { run(); }, vmm::nothing_escapes, number) {}

ServedQueue::~ServedQueue() { stop(); }

void ServedQueue::stop() {
  if (!thread_.joinable()) return;
  request_pause();
  static_cast<void>(wait_paused(std::nullopt));
  {
    const vmm::Lock lock(mutex_);
    over_ = true;
  }
  notified_.signal();
  thread_.join();
}

void ServedQueue::run() {
  Left left = Left::nothing;
  for (;;) {
    wait(left);
    if (left == Left::nothing) {
      queue_.any() ? poll_.came_after(Clock::now() - empty_since_) : poll_.end();
    }
    {
      const vmm::Lock lock(mutex_);
      if (over_) return;
    }
    left = Left::nothing;
    if (!begin()) continue;  // what came meanwhile is looked at by resume()
    left = serve_all();
    finish();
  }
}

/// For the driver, and for what there are requests left for.
void ServedQueue::wait(Left left) const {
  if (left != Left::nothing) {
    std::array<pollfd, 2> watched = {{{notified_.get(), POLLIN, 0}, {-1, POLLIN, 0}}};
    if (left == Left::for_source) watched[1].fd = callbacks_.source;
    static_cast<void>(
        ::poll(watched.data(), watched.size(), left == Left::for_room ? kLookForRoomMs : -1));
    if ((watched[0].revents & POLLIN) == 0) return;
  }
  notified_.wait();
}

ServedQueue::Left ServedQueue::serve_all() {
  for (;;) {
    {
      const vmm::Lock lock(queue_mutex_);
      queue_.look_by_itself();
    }
    lacks_room_ = false;
    callbacks_.serve(*this);
    empty_since_ = Clock::now();
    if (poll()) continue;
    const vmm::Lock lock(queue_mutex_);
    const bool more = queue_.await_notification();
    const vmm::Lock state(mutex_);
    if (paused_ || broken_ || !more) return Left::nothing;
    if (lacks_room_) return Left::for_room;
    if (callbacks_.source >= 0) return Left::for_source;
  }
}

/// Whether there are requests, for which the driver has not been asked to notify.
bool ServedQueue::poll() {
  if (poll_.length() == PollWindow::Duration::zero()) return false;
  {
    const vmm::Lock lock(queue_mutex_);
    // The driver may wait for what is under way, and what was left in the queue waits for something
    // else.
    if (queue_.in_flight() > 0 || queue_.any()) return false;
  }
  const auto end = empty_since_ + poll_.length();
  for (;;) {
    {
      const vmm::Lock lock(mutex_);
      if (paused_ || broken_) return false;
    }
    if (queue_.any()) return true;
    if (Clock::now() > end) return false;
    _mm_pause();
  }
}

std::optional<Request> ServedQueue::take() {
  if (!begin()) return std::nullopt;
  std::optional<Request> request;
  try {
    const vmm::Lock lock(queue_mutex_);
    request = queue_.take();
  } catch (const QueueError& error) {
    fail(error.what());
  }
  if (!request) {
    finish();
    return std::nullopt;
  }
  const auto paused = [this] {
    const vmm::Lock lock(mutex_);
    return paused_;
  };
  const bool present = queue_.make_present(*request, callbacks_.writes, paused);
  if (present && !paused()) return request;
  lacks_room_ = !present;
  // A machine that goes ends the wait for pages: what is there then is not the guest's.
  put_back();
  return std::nullopt;
}

void ServedQueue::put_back() {
  {
    const vmm::Lock lock(queue_mutex_);
    queue_.put_back();
  }
  finish();
}

void ServedQueue::complete(std::span<const Completion> done) {
  bool interrupt = false;
  {
    const vmm::Lock lock(queue_mutex_);
    queue_.complete(done);
    interrupt = queue_.wants_interrupt();
  }
  if (interrupt) callbacks_.interrupt();
  finish(static_cast<unsigned>(done.size()));
}

void ServedQueue::resume() {
  {
    const vmm::Lock lock(mutex_);
    paused_ = false;
  }
  notified_.signal();
}

void ServedQueue::request_pause() {
  const vmm::Lock lock(mutex_);
  paused_ = true;
}

bool ServedQueue::wait_paused(const Deadline& deadline) {
  vmm::Lock lock(mutex_);
  const auto idle = [this]() FERRY_REQUIRES(mutex_) { return under_way_ == 0; };
  if (deadline) return idle_.wait_until(lock, *deadline, idle);
  idle_.wait(lock, idle);
  return true;
}

/// Something begins, unless nothing is to.
bool ServedQueue::begin() {
  const vmm::Lock lock(mutex_);
  if (paused_ || broken_) return false;
  ++under_way_;
  return true;
}

void ServedQueue::finish(unsigned count) {
  const vmm::Lock lock(mutex_);
  under_way_ -= count;
  if (under_way_ == 0) idle_.notify_all();
}

void ServedQueue::fail(const std::string& why) {
  {
    const vmm::Lock lock(mutex_);
    if (std::exchange(broken_, true)) return;
  }
  callbacks_.broken(why);
}

}  // namespace devices::virtio

#include "ferry/messages.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <deque>
#include <string_view>
#include <utility>

#include "vmm/os/mutex.hpp"
#include "vmm/os/thread.hpp"

namespace ferry {

namespace {

/// So much waits for a reader that stalls: some hundred lines.
constexpr std::size_t kWaitingBytes = std::size_t{64} * 1024;

/// Whether all of it was written.
bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count >= 0) {
      text.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno == EAGAIN) {
      // Another process has made the shared open file non-blocking.
      pollfd ready{fd, POLLOUT, 0};
      ::poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

}  // namespace

struct Messages::Shared {
  explicit Shared(int to) : fd(to) {}

  struct Line {
    std::string text;
    std::uint64_t dropped = 0;  ///< lines, before this one
  };
  void write(const Line& line) noexcept;
  void write_waiting() noexcept;

  const int fd;
  std::atomic<std::uint64_t> dropped = 0;
  std::atomic<bool> others_line_is_open = false;
  std::uint64_t dropped_told = 0;  ///< the writer's

  vmm::Mutex mutex;
  vmm::Condition changed;
  std::deque<Line> waiting FERRY_GUARDED_BY(mutex);
  std::size_t waiting_bytes FERRY_GUARDED_BY(mutex) = 0;
  bool background FERRY_GUARDED_BY(mutex) = false;
  bool writing FERRY_GUARDED_BY(mutex) = false;
  bool ended FERRY_GUARDED_BY(mutex) = false;
};

void Messages::Shared::write(const Line& line) noexcept {
  try {
    std::string text = others_line_is_open.exchange(false) ? "\n" : "";
    if (line.dropped > dropped_told) {
      text += fmt::format("ferry: {} messages before this one could not be written\n",
                          line.dropped - dropped_told);
    }
    text.append(line.text).append("\n");
    if (write_all(fd, text)) {
      dropped_told = line.dropped;
    } else {
      ++dropped;
    }
  } catch (...) {
    ++dropped;  // no memory
  }
}

void Messages::Shared::write_waiting() noexcept {
  vmm::Lock lock(mutex);
  for (;;) {
    changed.wait(lock, [this]() FERRY_REQUIRES(mutex) { return ended || !waiting.empty(); });
    if (waiting.empty()) return;
    const Line line = std::move(waiting.front());
    waiting.pop_front();
    waiting_bytes -= line.text.size();
    writing = true;
    lock.unlock();
    write(line);
    lock.lock();
    writing = false;
    changed.notify_all();
  }
}

Messages::Messages(int fd) : shared_(std::make_shared<Shared>(fd)) {}

Messages::~Messages() {
  const vmm::Lock lock(shared_->mutex);
  shared_->ended = true;
  shared_->changed.notify_all();
}

void Messages::write_in_background() {
  {
    const vmm::Lock lock(shared_->mutex);
    if (shared_->background) return;
  }
  const auto write = [shared = shared_] { shared->write_waiting(); };
  vmm::Thread(vmm::ThreadRole::messages, write, vmm::nothing_escapes).detach();
  const vmm::Lock lock(shared_->mutex);
  shared_->background = true;
}

void Messages::add(std::string line) noexcept {
  const vmm::Lock lock(shared_->mutex);
  if (!shared_->background) return shared_->write({std::move(line), shared_->dropped});
  if (shared_->waiting_bytes + line.size() > kWaitingBytes) {
    ++shared_->dropped;
    return;
  }
  try {
    const std::size_t bytes = line.size();
    shared_->waiting.push_back({std::move(line), shared_->dropped});
    shared_->waiting_bytes += bytes;
    shared_->changed.notify_all();
  } catch (...) {
    ++shared_->dropped;  // no memory
  }
}

void Messages::finish(std::chrono::milliseconds limit) noexcept {
  vmm::Lock lock(shared_->mutex);
  shared_->changed.wait_for(lock, limit, [this]() FERRY_REQUIRES(shared_->mutex) {
    return shared_->waiting.empty() && !shared_->writing;
  });
}

std::uint64_t Messages::dropped() const noexcept { return shared_->dropped; }

void Messages::others_line_is_open(bool open) noexcept { shared_->others_line_is_open = open; }

}  // namespace ferry

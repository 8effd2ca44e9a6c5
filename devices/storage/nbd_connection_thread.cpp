#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "devices/storage/nbd_connection.hpp"
#include "devices/storage/nbd_library.hpp"
#include "devices/storage/storage.hpp"

/// What the thread of a connection does.
namespace devices::storage {

namespace {

using std::chrono::milliseconds;
using Kind = NbdRequest::Kind;

constexpr milliseconds kLongestPause{5000};
/// As many requests are under way as a device has threads: each has a buffer. Every server takes
/// that, if it does not say otherwise.
constexpr std::int64_t kMostBytes = std::int64_t{2} << 20;
constexpr std::int64_t kSector = kSectorSize;
constexpr const char* kLoss = "what had been written and not flushed may be lost";

bool writes(Kind kind) { return kind == Kind::write || kind == Kind::write_zeroes; }

}  // namespace

void NbdConnection::run() {
  next_ = Clock::now();
  for (;;) {
    Commands commands;
    bool anew = false;
    bool hangs = false;
    bool doubted = false;
    {
      const vmm::Lock lock(mutex_);
      if (over_) break;
      if (!renews_) commands.swap(waiting_);
      anew = std::exchange(anew_, false);
      hangs = std::exchange(hangs_, false);
      doubted = std::exchange(doubted_, false);
    }
    for (const auto& command : commands) take(command);
    if (hangs) lose({code_of(ETIMEDOUT), kSilent});
    if (doubted) doubt();
    if (anew) {
      drop_handle();
      pause_ = milliseconds(0);
      next_ = Clock::now();
    }
    if (handle_ == nullptr && Clock::now() >= next_) begin_connecting();
    watch();
    wait();
    watch();
  }
  if (ready_) static_cast<void>(nbd_.disconnect(handle_, 0));
  drop_handle();
  const vmm::Lock lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

void NbdConnection::begin_connecting() {
  {
    const vmm::Lock lock(mutex_);
    state_ = State::connecting;
  }
  pause_ = std::clamp(2 * pause_, kFirstPause, kLongestPause);
  next_ = Clock::now() + connect_limit();
  handle_ = nbd_.create();
  if (handle_ == nullptr) return lose(failure());
  // The URI is of whoever has this process, and may name a file with a key.
  if (nbd_.set_uri_allow_local_file(handle_, true) < 0 ||
      nbd_.connect_uri(handle_, uri_.c_str()) < 0) {
    lose(failure());
  }
}

/// Looks at what became of the handle, and of what it was given.
void NbdConnection::watch() {
  if (handle_ == nullptr) return;
  if (nbd_.is_dead(handle_) != 0) return lose(failure());
  if (nbd_.is_closed(handle_) != 0) return lose({code_of(ECONNRESET), "the server closed it"});
  settle_answered();
  if (ready_) return give_up_silent();
  if (nbd_.is_ready(handle_) == 0) {
    if (Clock::now() >= next_) lose({code_of(ETIMEDOUT), kSilent});
    return;
  }
  try {
    NbdExport server = ask();
    if (!first_) first_ = server;
    if (!server.same_for_guest(*first_)) {
      return lose({code_of(ENODEV), "the server has another disk there now"});
    }
    const vmm::Lock lock(mutex_);
    ready_ = true;
    state_ = State::connected;
    server_ = std::move(server);
    if (std::exchange(renews_, false)) wake_.signal();  // what has waited is to be taken
    changed_.notify_all();
  } catch (const std::system_error& error) {
    lose({error.code(), error.what()});
  }
}

NbdExport NbdConnection::ask() const {
  const auto truth = [this](int answer) {
    if (answer < 0) throw std::system_error(failure().code, failure().why);
    return answer != 0;
  };
  const std::unique_ptr<char, decltype(&std::free)> name(nbd_.get_export_name(handle_), &std::free);
  const std::int64_t bytes = nbd_.get_size(handle_);
  const std::int64_t least = nbd_.get_block_size(handle_, LIBNBD_SIZE_MINIMUM);
  const std::int64_t most = nbd_.get_block_size(handle_, LIBNBD_SIZE_MAXIMUM);
  const std::int64_t sectors = (most > 0 ? std::min(most, kMostBytes) : kMostBytes) / kSector;
  static_cast<void>(truth(name == nullptr || bytes < 0 ? -1 : 0));
  return {.name = name.get(),
          .bytes = static_cast<std::uint64_t>(bytes),
          .least_bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(least, 1)),
          .most_bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(sectors, 1) * kSector),
          .read_only = truth(nbd_.is_read_only(handle_)),
          .can_flush = truth(nbd_.can_flush(handle_)),
          .can_trim = truth(nbd_.can_trim(handle_)),
          .can_zero = truth(nbd_.can_zero(handle_)),
          .one_cache = truth(nbd_.can_multi_conn(handle_))};
}

/// Of the library's last call in this thread.
NbdConnection::Failure NbdConnection::failure() const {
  const char* const text = nbd_.get_error();
  const std::error_code code = code_of(nbd_.get_errno());
  std::string why = text != nullptr ? text : "it broke";
  // The code says that once more.
  if (const std::string end = ": " + code.message(); why.ends_with(end)) {
    why.resize(why.size() - end.size());
  }
  return {code, std::move(why)};
}

void NbdConnection::wait() {
  std::array<pollfd, 2> polled{{{wake_.get(), POLLIN, 0}, {-1, 0, 0}}};
  pollfd& server = polled[1];
  if (handle_ != nullptr) {
    const unsigned direction = nbd_.get_direction(handle_);
    server.fd = nbd_.get_fd(handle_);
    if ((direction & LIBNBD_AIO_DIRECTION_READ) != 0) server.events |= POLLIN;
    if ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0) server.events |= POLLOUT;
  }
  if (::poll(polled.data(), polled.size(), wait_ms()) < 0) return;
  if (polled[0].revents != 0) wake_.wait();
  // Of the two only one: it may change what the handle waits for. What broke either tells.
  constexpr short kBroken = POLLHUP | POLLERR;
  int told = 0;
  if ((server.events & POLLIN) != 0 && (server.revents & (POLLIN | kBroken)) != 0) {
    told = nbd_.notify_read(handle_);
  } else if ((server.events & POLLOUT) != 0 && (server.revents & (POLLOUT | kBroken)) != 0) {
    told = nbd_.notify_write(handle_);
  }
  if (told < 0) lose(failure());
}

int NbdConnection::wait_ms() const {
  if (ready_ && (!doubt_ends_ || asks_for_guest())) return -1;
  const auto end = ready_ ? *doubt_ends_ : next_;
  const auto left = std::chrono::ceil<milliseconds>(end - Clock::now());
  return static_cast<int>(std::max<std::int64_t>(left.count(), 0));
}

/// A flush of ours has no answer, and the guest may ask for nothing: so the server is asked for
/// something short. Whatever it answers from now on shows that it lives.
void NbdConnection::doubt() {
  if (!ready_ || doubt_ends_ || in_flight_.empty()) return;
  doubt_ends_ = Clock::now() + limit_;
  const auto probe = std::make_shared<Command>();
  probe->request = {.kind = Kind::read, .length = kSectorSize, .of_guest = false};
  take(probe);
}

/// Not while something is under way for the guest: that has its own limit.
void NbdConnection::give_up_silent() {
  if (!doubt_ends_ || Clock::now() < *doubt_ends_ || asks_for_guest()) return;
  lose({code_of(ETIMEDOUT), kSilent}, true);
  next_ = Clock::now();
}

bool NbdConnection::asks_for_guest() const {
  return std::ranges::any_of(in_flight_,
                             [](const auto& command) { return command->request.of_guest; });
}

void NbdConnection::take(const std::shared_ptr<Command>& command) {
  if (!ready_) return refuse(*command, {code_of(ENOTCONN), "the connection is lost"});
  if (tells_loss(command->request)) return refuse(*command, {code_of(EIO), kLoss});
  command->written_before = written_;
  in_flight_.push_back(command);
  if (issue(*command) >= 0 || command->answered) return;
  in_flight_.pop_back();
  refuse(*command, failure());
}

bool NbdConnection::tells_loss(const NbdRequest& request) {
  if (request.kind != Kind::flush || !lost_writes_) return false;
  lost_writes_ = !request.of_guest;
  return true;
}

void NbdConnection::refuse(Command& command, const Failure& failure) {
  const vmm::Lock lock(mutex_);
  finish(command, failure);
}

std::int64_t NbdConnection::issue(Command& command) {
  NbdRequest& asked = command.request;
  const nbd_completion_callback then{&NbdConnection::answered, &command, nullptr};
  switch (asked.kind) {
    case Kind::read:
      asked.data.resize(asked.length);
      return nbd_.pread(handle_, asked.data.data(), asked.length, asked.offset, then, 0);
    case Kind::write:
      return nbd_.pwrite(handle_, asked.data.data(), asked.length, asked.offset, then, 0);
    case Kind::flush: return nbd_.flush(handle_, then, 0);
    case Kind::discard: return nbd_.trim(handle_, asked.length, asked.offset, then, 0);
    case Kind::write_zeroes:
      return nbd_.zero(handle_, asked.length, asked.offset, then,
                       asked.may_unmap ? 0 : LIBNBD_CMD_FLAG_NO_HOLE);
  }
  return -1;
}

/// Within a call of the library: it must not be called again.
int NbdConnection::answered(void* command, int* error) {
  auto& answered = *static_cast<Command*>(command);
  answered.answered = true;
  answered.error = *error;
  return 1;  // nothing is to be asked of it any more
}

void NbdConnection::settle_answered() {
  const vmm::Lock lock(mutex_);
  const auto settled =
      std::erase_if(in_flight_, [this](const auto& command) FERRY_REQUIRES(mutex_) {
        if (command->answered) settle(*command, {code_of(command->error), "the server says no"});
        return command->answered;
      });
  if (settled > 0) doubt_ends_.reset();
}

void NbdConnection::settle(Command& command, const Failure& failure) {
  if (!command.answered) return finish(command, failure);
  if (command.error != 0) {
    // A server may tell of a loss once: this time the guest has not heard of it.
    if (command.request.kind == Kind::flush && !command.request.of_guest) lost_writes_ = true;
    return finish(command, failure);
  }
  if (tells_loss(command.request)) return finish(command, Failure{code_of(EIO), kLoss});
  note(command);
  finish(command, std::nullopt);
}

void NbdConnection::note(const Command& command) {
  pause_ = milliseconds(0);
  if (writes(command.request.kind)) ++written_;
  if (command.request.kind == Kind::flush) flushed_ = std::max(flushed_, command.written_before);
}

/// `renews`: another one is made at once, and what the guest asks for meanwhile waits for it.
void NbdConnection::lose(const Failure& failure, bool renews) {
  drop_handle();
  const vmm::Lock lock(mutex_);
  const Failure lost{failure.code, "the connection is lost: " + failure.why};
  for (const auto& command : in_flight_) settle(*command, lost);
  in_flight_.clear();
  renews_ = renews;
  if (!renews) {
    for (const auto& command : waiting_) finish(*command, lost);
    waiting_.clear();
  }
  if (flushed_ != written_) lost_writes_ = true;
  flushed_ = written_;
  next_ = Clock::now() + pause_;
  state_ = State::lost;
  ++losses_;
  why_lost_ = failure;
  hangs_ = doubted_ = false;
  changed_.notify_all();
}

/// From here on nothing writes into a request's data.
void NbdConnection::drop_handle() {
  ready_ = false;
  doubt_ends_.reset();
  if (handle_ != nullptr) nbd_.close(std::exchange(handle_, nullptr));
}

void NbdConnection::finish(Command& command, std::optional<Failure> failure) {
  command.done = true;
  command.failure = std::move(failure);
  command.changed.notify_one();
}

}  // namespace devices::storage

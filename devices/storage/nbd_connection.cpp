#include "devices/storage/nbd_connection.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <limits>
#include <string_view>
#include <utility>

#include "devices/storage/nbd_library.hpp"
#include "devices/storage/storage.hpp"
#include "vmm/os/thread.hpp"

namespace devices::storage {

namespace {

using std::chrono::milliseconds;
using Kind = NbdRequest::Kind;

/// A migration waits for it.
constexpr milliseconds kConnectLimit{5000};
constexpr milliseconds kEndLimit{1000};
constexpr milliseconds kFirstPause{100};
constexpr milliseconds kLongestPause{5000};
/// As many requests are under way as a device has threads: each has a buffer. Every server takes
/// that, if it does not say otherwise.
constexpr std::int64_t kMostBytes = std::int64_t{2} << 20;
constexpr std::int64_t kSector = kSectorSize;
constexpr const char* kLoss = "what had been written and not flushed may be lost";

std::error_code code_of(int error) { return {error == 0 ? EIO : error, std::generic_category()}; }

bool writes(Kind kind) { return kind == Kind::write || kind == Kind::write_zeroes; }

}  // namespace

NbdConnection::NbdConnection(std::string uri, milliseconds limit)
    : uri_(std::move(uri)), limit_(limit), nbd_(NbdLibrary::get()) {}

/// The thread is not waited for: looking up a server's name may take its time.
void NbdConnection::start() {
  vmm::Thread(
      vmm::ThreadRole::device, [self = shared_from_this()] { self->run(); }, vmm::nothing_escapes)
      .detach();
}

void NbdConnection::end() {
  vmm::Lock lock(mutex_);
  over_ = true;
  wake_.signal();
  static_cast<void>(
      changed_.wait_for(lock, kEndLimit, [this]() FERRY_REQUIRES(mutex_) { return ended_; }));
}

milliseconds NbdConnection::connect_limit() const { return std::min(limit_, kConnectLimit); }

void NbdConnection::connect(NbdConnecting how) {
  vmm::Lock lock(mutex_);
  const std::uint64_t before = losses_;
  if (state_ == State::connected && how.anew) {
    state_ = State::lost;
    why_lost_ = {code_of(ENOTCONN), "another one is made"};
  }
  if (state_ == State::lost) {
    state_ = State::connecting;
    anew_ = true;
    wake_.signal();
  }
  // The thread keeps to the limit too, unless it looks up a name.
  static_cast<void>(changed_.wait_until(
      lock, Clock::now() + connect_limit() + kFirstPause, [&]() FERRY_REQUIRES(mutex_) {
        return state_ == State::connected || (losses_ != before && !how.patient);
      }));
  if (state_ == State::connected) return;
  if (losses_ == before) throw std::system_error(code_of(ETIMEDOUT), "cannot connect");
  throw std::system_error(why_lost_.code, "cannot connect: " + why_lost_.why);
}

NbdExport NbdConnection::server() const {
  const vmm::Lock lock(mutex_);
  return server_;
}

std::vector<std::byte> NbdConnection::perform(NbdRequest request) {
  const auto command = std::make_shared<Command>();
  command->request = std::move(request);
  vmm::Lock lock(mutex_);
  if (state_ != State::connected) {
    throw std::system_error(why_lost_.code, "the connection is lost: " + why_lost_.why);
  }
  waiting_.push_back(command);
  wake_.signal();
  if (!command->changed.wait_until(lock, Clock::now() + limit_, [&] { return command->done; })) {
    // A flush of ours may take longer: what the guest has under way does not fail with it.
    if (command->request.of_guest) {
      hangs_ = true;
      wake_.signal();
    }
    throw std::system_error(code_of(ETIMEDOUT), "the server does not answer");
  }
  if (const auto& failure = command->failure) throw std::system_error(failure->code, failure->why);
  return std::move(command->request.data);
}

void NbdConnection::run() {
  next_ = Clock::now();
  for (;;) {
    Commands commands;
    bool anew = false;
    bool hangs = false;
    {
      const vmm::Lock lock(mutex_);
      if (over_) break;
      commands.swap(waiting_);
      anew = std::exchange(anew_, false);
      hangs = std::exchange(hangs_, false);
    }
    for (const auto& command : commands) take(command);
    if (hangs) lose({code_of(ETIMEDOUT), "the server does not answer"});
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
  if (ready_) return;
  if (nbd_.is_ready(handle_) == 0) {
    if (Clock::now() >= next_) lose({code_of(ETIMEDOUT), "the server does not answer"});
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
  if (ready_) return -1;
  const auto left = std::chrono::ceil<milliseconds>(next_ - Clock::now());
  return static_cast<int>(std::max<std::int64_t>(left.count(), 0));
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
  std::erase_if(in_flight_, [this](const auto& command) FERRY_REQUIRES(mutex_) {
    if (command->answered) settle(*command, {code_of(command->error), "the server says no"});
    return command->answered;
  });
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

void NbdConnection::lose(const Failure& failure) {
  drop_handle();
  const vmm::Lock lock(mutex_);
  const Failure lost{failure.code, "the connection is lost: " + failure.why};
  for (const auto& command : in_flight_) settle(*command, lost);
  for (const auto& command : waiting_) finish(*command, lost);
  in_flight_.clear();
  waiting_.clear();
  if (flushed_ != written_) lost_writes_ = true;
  flushed_ = written_;
  next_ = Clock::now() + pause_;
  state_ = State::lost;
  ++losses_;
  why_lost_ = failure;
  hangs_ = false;
  changed_.notify_all();
}

/// From here on nothing writes into a request's data.
void NbdConnection::drop_handle() {
  ready_ = false;
  if (handle_ != nullptr) nbd_.close(std::exchange(handle_, nullptr));
}

void NbdConnection::finish(Command& command, std::optional<Failure> failure) {
  command.done = true;
  command.failure = std::move(failure);
  command.changed.notify_one();
}

}  // namespace devices::storage

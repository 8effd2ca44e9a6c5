#include "devices/storage/nbd_connection.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "devices/storage/nbd_library.hpp"
#include "vmm/os/thread.hpp"

namespace devices::storage {

namespace {

using std::chrono::milliseconds;
/// A migration waits for it.
constexpr milliseconds kConnectLimit{5000};
constexpr milliseconds kEndLimit{1000};

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
  if (state_ != State::connected && !renews_) {
    throw std::system_error(why_lost_.code, "the connection is lost: " + why_lost_.why);
  }
  waiting_.push_back(command);
  wake_.signal();
  if (!command->changed.wait_until(lock, Clock::now() + limit_, [&] { return command->done; })) {
    // A flush of ours may take longer: what the guest has under way does not fail with it.
    (command->request.of_guest ? hangs_ : doubted_) = true;
    wake_.signal();
    throw std::system_error(code_of(ETIMEDOUT), kSilent);
  }
  if (const auto& failure = command->failure) throw std::system_error(failure->code, failure->why);
  return std::move(command->request.data);
}

}  // namespace devices::storage

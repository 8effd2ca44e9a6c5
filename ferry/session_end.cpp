#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

#include "ferry/exit_status.hpp"
#include "ferry/leaving.hpp"
#include "ferry/say.hpp"
#include "ferry/session.hpp"
#include "migration/net/event_loop.hpp"

/// How the process ends: what signals and Ctrl-A X ask for, and its last acts.
namespace ferry {

namespace asio = boost::asio;
using migration::Outcome;

namespace {

/// How long a reader that stalls can delay the end of the process.
constexpr std::chrono::seconds kFlushLimit{5};
constexpr std::chrono::seconds kAnswerLimit{2};
/// And a disk that hangs.
constexpr std::chrono::seconds kDiskLimit{5};
constexpr std::chrono::milliseconds kLookAtDisk{20};
constexpr std::chrono::seconds kLastWords{1};

}  // namespace

void Session::end(int status) {
  if (!end_.wished(std::chrono::steady_clock::now())) return;
  if (end_.begun()) {
    say("ends at once: nobody waits for the guest's last output or for answers any more");
    return context_.stop();
  }
  if (vm_.with_migration()) return end_migration(status);
  if (vm_.machine() != nullptr) vm_.machine()->pause();
  shut_down(status);
}

/// As `ferry stop` does, the migration is cancelled first. Where it is too late for that the VM
/// needs this process until it has all that is here, also while the link is lost.
void Session::end_migration(int status) {
  const EndOfLeaving way = end_of(departure_.leaving(), end_.after_migration().has_value());
  if (way == EndOfLeaving::now) return end_now(status);
  end_.begin_after_migration(status);
  const bool cancelled = way == EndOfLeaving::cancelled && departure_.cancel().empty();
  say(what_end_waits_for(way, cancelled));
}

void Session::end_now(int status) {
  departure_.break_off();
  shut_down(status);
}

void Session::shut_down(int status) {
  if (!end_.begin(status)) return;
  foresight_.end();
  room_.stop();
  migration::net::spawn(context_.get_executor(), finish());
}

asio::awaitable<void> Session::finish() {
  arrival_.decline();
  if (const std::size_t left = co_await console_->flush(kFlushLimit); left > 0) {
    say(fmt::format("dropped the guest's last {} bytes of output: nobody reads them", left));
  }
  // Who asks what became of the VM is to hear it here.
  co_await arrival_.answered();
  const bool moved = vm_.with_migration() && departure_.leaving().outcome == Outcome::completed;
  if (moved) co_await departure_.told();
  if (api_) co_await api_->finish(kAnswerLimit);
  co_await io_over();
  context_.stop();
}

/// Of the devices of a VM that is here, as far as it ends in time.
asio::awaitable<void> Session::io_over() {
  asio::steady_timer timer(context_);
  const auto end = std::chrono::steady_clock::now() + kDiskLimit;
  while (hanging_device() && std::chrono::steady_clock::now() < end) {
    timer.expires_after(kLookAtDisk);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

/// Destroying its machine waits for it. (A device that waits for a missing page is let go then.)
std::optional<std::string> Session::hanging_device() {
  vmm::Machine* machine = vm_.machine();
  if (machine == nullptr || machine->lacks_pages()) return std::nullopt;
  machine->pause();
  if (machine->drained(std::chrono::steady_clock::now())) return std::nullopt;
  return machine->undrained();
}

/// With threads that nothing can wait for, only what others would find of this process is put in
/// order.
void Session::leave_hanging(const std::string& device, int status) {
  say(
      fmt::format("{} does not answer, and the process ends without it: what the guest wrote there "
                  "last may arrive later, or never",
                  device));
  job_control_.end();
  arrival_.end();
  api_.reset();
  console_.reset();
  messages().finish(kLastWords);
  ::_exit(status);
}

}  // namespace ferry

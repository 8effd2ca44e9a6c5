#include "migration/net/lookup.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <memory>
#include <system_error>
#include <utility>

#include "migration/net/address_error.hpp"
#include "vmm/os/mutex.hpp"
#include "vmm/os/thread.hpp"
#include "vmm/os/unique_fd.hpp"

namespace migration::net {

/// What the thread and whoever waits share.
struct LookUpAnswer {
  vmm::Mutex mutex;
  bool here FERRY_GUARDED_BY(mutex) = false;
  std::string error FERRY_GUARDED_BY(mutex);  ///< empty: there was none
  std::vector<Endpoint> found FERRY_GUARDED_BY(mutex);
  /// Goes when the answer is here: who waits sees the other end hang up. A context that is on its
  /// end must not be posted to, and nobody waits for the thread.
  vmm::UniqueFd answering FERRY_GUARDED_BY(mutex);
};

namespace {

using boost::system::error_code;
using Descriptor = asio::posix::stream_descriptor;

/// A migration needs one look-up at a time. One that is given up goes on for as long as the system
/// is patient with its name servers, and a source in doubt begins the next meanwhile.
constexpr unsigned kMostAtOnce = 16;
std::atomic<unsigned> at_once = 0;

[[noreturn]] void fail(const Address& address, std::string_view why) {
  throw AddressError(EHOSTUNREACH, fmt::format("cannot resolve {}: {}", to_string(address), why));
}

std::string ask(const Address& address, std::vector<Endpoint>& found) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error =
      ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &list);
  if (error == EAI_SYSTEM) return std::generic_category().message(errno);
  if (error != 0) return ::gai_strerror(error);
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    const Endpoint endpoint(entry->ai_addr, entry->ai_addrlen, entry->ai_protocol);
    if (std::ranges::find(found, endpoint) == found.end()) found.push_back(endpoint);
  }
  ::freeaddrinfo(list);
  return found.empty() ? "the name has no address" : std::string();
}

void answer(const Address& address, LookUpAnswer& to) {
  std::vector<Endpoint> found;
  std::string error;
  try {
    error = ask(address, found);
  } catch (const std::exception& failure) {  // no memory
    error = failure.what();
  }
  --at_once;
  const vmm::Lock lock(to.mutex);
  to.here = true;
  to.error = std::move(error);
  to.found = std::move(found);
  to.answering = {};
}

/// `waits` becomes a pipe's end that is readable once the answer is here.
std::shared_ptr<LookUpAnswer> begin(const Address& address, Descriptor& waits) {
  auto shared = std::make_shared<LookUpAnswer>();
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) < 0) {
    fail(address, std::generic_category().message(errno));
  }
  waits.assign(ends[0]);
  {
    const vmm::Lock lock(shared->mutex);
    shared->answering = vmm::UniqueFd(ends[1]);
  }
  if (++at_once > kMostAtOnce) {
    --at_once;
    fail(address, "as many names are being looked up as may be, and the name server is silent");
  }
  try {
    const auto ask = [address, shared] { answer(address, *shared); };
    vmm::Thread(vmm::ThreadRole::look_up, ask, vmm::nothing_escapes).detach();
  } catch (const std::system_error& error) {
    --at_once;
    fail(address, error.what());
  }
  return shared;
}

}  // namespace

std::vector<Endpoint> endpoints_of(const Address& address) {
  if (address.kind == Address::Kind::unix_socket) {
    return {asio::local::stream_protocol::endpoint(address.path)};
  }
  error_code error;
  const auto ip = asio::ip::make_address(address.host, error);
  if (error) return {};
  return {asio::ip::tcp::endpoint(ip, address.port)};
}

asio::awaitable<std::vector<Endpoint>> look_up(Address address, std::chrono::milliseconds limit) {
  if (auto known = endpoints_of(address); !known.empty()) co_return known;
  const auto executor = co_await asio::this_coro::executor;
  const auto here = std::make_shared<Descriptor>(executor);
  const auto shared = begin(address, *here);
  asio::steady_timer timer(executor, limit);
  timer.async_wait([weak = std::weak_ptr(here)](error_code early) {
    const auto waiting = weak.lock();
    if (!early && waiting) waiting->cancel();
  });
  error_code woken;
  co_await here->async_wait(Descriptor::wait_read,
                            asio::redirect_error(asio::use_awaitable, woken));
  const auto cancelled = (co_await asio::this_coro::cancellation_state).cancelled();
  if (cancelled != asio::cancellation_type::none) {
    throw std::system_error(ECANCELED, std::generic_category(), "resolving a name");
  }
  const vmm::Lock lock(shared->mutex);
  if (!shared->here) {
    fail(address, fmt::format("no name server has answered within {} ms", limit.count()));
  }
  if (!shared->error.empty()) fail(address, shared->error);
  co_return std::move(shared->found);
}

}  // namespace migration::net

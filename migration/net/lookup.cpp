#include "migration/net/lookup.hpp"

#include <fmt/format.h>
#include <netdb.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <functional>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "migration/net/address_error.hpp"
#include "vmm/machine/thread.hpp"

namespace migration::net {

/// What the thread and whoever waits share.
struct LookUpAnswer {
  std::mutex mutex;  ///< guards what follows
  bool here = false;
  std::string error;  ///< empty: there was none
  std::vector<Endpoint> found;
  std::function<void()> wake;  ///< empty: nobody waits
};

namespace {

using boost::system::error_code;

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
  ::pthread_setname_np(::pthread_self(), "look-up");
  std::vector<Endpoint> found;
  std::string error;
  try {
    error = ask(address, found);
  } catch (const std::exception& failure) {  // no memory
    error = failure.what();
  }
  --at_once;
  const std::lock_guard lock(to.mutex);
  to.here = true;
  to.error = std::move(error);
  to.found = std::move(found);
  if (to.wake) to.wake();
}

std::shared_ptr<LookUpAnswer> begin(const Address& address, std::function<void()> wake) {
  auto shared = std::make_shared<LookUpAnswer>();
  shared->wake = std::move(wake);
  if (++at_once > kMostAtOnce) {
    --at_once;
    fail(address, "as many names are being looked up as may be, and the name server is silent");
  }
  try {
    vmm::start_thread([address, shared] { answer(address, *shared); }).detach();
  } catch (const std::system_error& error) {
    --at_once;
    fail(address, error.what());
  }
  return shared;
}

}  // namespace

/// On its end nobody waits any more.
class LookUpWaiter {
 public:
  explicit LookUpWaiter(std::shared_ptr<LookUpAnswer> answer) : answer_(std::move(answer)) {}
  ~LookUpWaiter() {
    const std::lock_guard lock(answer_->mutex);
    answer_->wake = nullptr;
  }
  LookUpWaiter(const LookUpWaiter&) = delete;
  LookUpWaiter& operator=(const LookUpWaiter&) = delete;

 private:
  std::shared_ptr<LookUpAnswer> answer_;
};

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
  const auto timer = std::make_shared<asio::steady_timer>(executor, limit);
  const auto shared = begin(address, [executor, weak = std::weak_ptr(timer)] {
    asio::post(executor, [weak] {
      if (const auto waiting = weak.lock()) waiting->cancel();
    });
  });
  const LookUpWaiter waiter(shared);
  error_code woken;
  co_await timer->async_wait(asio::redirect_error(asio::use_awaitable, woken));
  const auto cancelled = (co_await asio::this_coro::cancellation_state).cancelled();
  if (cancelled != asio::cancellation_type::none) {
    throw std::system_error(ECANCELED, std::generic_category(), "resolving a name");
  }
  const std::lock_guard lock(shared->mutex);
  if (!shared->here) {
    fail(address, fmt::format("no name server has answered within {} ms", limit.count()));
  }
  if (!shared->error.empty()) fail(address, shared->error);
  co_return std::move(shared->found);
}

}  // namespace migration::net

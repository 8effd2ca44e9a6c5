#include "migration/net/lookup.hpp"

#include <fmt/format.h>
#include <netdb.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/this_coro.hpp>
#include <cerrno>
#include <memory>
#include <system_error>
#include <utility>

#include "migration/net/address_error.hpp"
#include "migration/net/errand.hpp"
#include "vmm/os/thread.hpp"

namespace migration::net {

namespace {

using boost::system::error_code;

struct Answer {
  std::string error;  ///< empty: there was none
  std::vector<Endpoint> found;
};

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

/// A migration needs one look-up at a time. One that is given up goes on for as long as the system
/// is patient with its name servers, and a source in doubt begins the next meanwhile.
Errand begin(const asio::any_io_executor& loop, const Address& address,
             const std::shared_ptr<Answer>& answer) {
  try {
    return {loop, vmm::ThreadRole::look_up,
            [address, answer](const Errand::At&) { answer->error = ask(address, answer->found); }};
  } catch (const std::system_error& error) {
    if (error.code().value() == EBUSY) {
      fail(address, "as many names are being looked up as may be, and the name server is silent");
    }
    fail(address, error.what());
  }
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
  const auto answer = std::make_shared<Answer>();
  const auto loop = co_await asio::this_coro::executor;
  Errand errand = begin(loop, address, answer);
  const bool done = co_await errand.done(limit);
  if (!done) {
    fail(address, fmt::format("no name server has answered within {} ms", limit.count()));
  }
  if (!answer->error.empty()) fail(address, answer->error);
  co_return std::move(answer->found);
}

}  // namespace migration::net

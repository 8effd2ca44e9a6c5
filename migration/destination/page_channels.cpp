#include "migration/destination/page_channels.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <chrono>
#include <system_error>
#include <utility>

namespace migration::destination {

namespace asio = boost::asio;

namespace {

/// How long a broken page channel waits for the source to say why.
constexpr std::chrono::milliseconds kSourceGrace{500};

/// And not what this side has found out by itself, or ran out of.
bool is_of_link(const std::exception_ptr& failure) {
  using enum std::errc;
  constexpr std::array kLost = {connection_reset, connection_aborted,  broken_pipe,     timed_out,
                                network_down,     network_unreachable, host_unreachable};
  try {
    std::rethrow_exception(failure);
  } catch (const std::system_error& error) {
    return std::ranges::any_of(kLost, [&error](std::errc lost) { return error.code() == lost; });
  } catch (...) {
    return false;
  }
}

}  // namespace

PageChannels::PageChannels(asio::io_context& context, vmm::GuestMemory& memory, std::uint32_t count,
                           Callbacks callbacks)
    : context_(context),
      count_(count),
      callbacks_(std::move(callbacks)),
      target_(std::in_place, memory),
      grace_(context) {}

void PageChannels::open(std::uint32_t index, net::Socket socket, std::unique_ptr<PageSink> sink) {
  opened_.insert(index);
  channels_.push_back(std::make_unique<PageReceiver>(
      std::move(socket), *target_, std::move(sink),
      [this, link = link_](std::uint32_t round, std::exception_ptr failure) {
        asio::post(context_, [this, link, round, failure] {
          if (link == link_) heard(round, failure);
        });
      }));
}

/// A source that aborts closes everything; its reason, on the control connection, may come a moment
/// after the page channels break. What is this side's reason is said before the source, which waits
/// as long for it, goes.
void PageChannels::heard(std::uint32_t round, const std::exception_ptr& failure) {
  if (!failure) return callbacks_.ended(round);
  if (!is_of_link(failure)) return callbacks_.lost(failure);
  grace_.expires_after(kSourceGrace);
  grace_.async_wait([this, link = link_, failure](boost::system::error_code cancelled) {
    if (!cancelled && link == link_) callbacks_.lost(failure);
  });
}

void PageChannels::switch_to(const std::function<std::unique_ptr<PageSink>()>& make) {
  for (const auto& channel : channels_) channel->switch_to(make());
}

bool PageChannels::end_round() {
  if (++ended_ < count_) return false;
  ended_ = 0;
  target_->tally->round = ++round_;
  target_->in_round = 0;
  return true;
}

void PageChannels::close() {
  ++link_;
  channels_.clear();
  grace_.cancel();
}

void PageChannels::renew() {
  close();
  opened_.clear();
  ended_ = 0;
  ++round_;
  target_->in_round = 0;
}

void PageChannels::finish() {
  close();
  target_.reset();
}

}  // namespace migration::destination

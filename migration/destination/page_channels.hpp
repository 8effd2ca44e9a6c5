#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "migration/net/socket.hpp"
#include "migration/pages/page_receiver.hpp"
#include "migration/pages/page_target.hpp"

namespace migration::destination {

/// The page channels of one VM, and the round that all of them are in. They are of one link to the
/// source: what is heard of those of an earlier link means nothing.
///
/// The receiver's thread calls, and is called: what the channels' threads tell goes through it.
class PageChannels {
 public:
  struct Callbacks {
    /// One channel has ended that round.
    std::function<void(std::uint32_t)> ended;
    /// A channel is lost, and the source has had the time to say why.
    std::function<void(std::exception_ptr)> lost;
  };

  /// Pages go to `memory`, over so many channels.
  PageChannels(boost::asio::io_context& context, vmm::GuestMemory& memory, std::uint32_t count,
               Callbacks callbacks);

  /// Whether the channel of that index is still to come.
  [[nodiscard]] bool expects(std::uint32_t index) const {
    return index < count_ && !opened_.contains(index);
  }
  [[nodiscard]] bool all_open() const { return opened_.size() == count_; }
  /// One that is expected.
  void open(std::uint32_t index, net::Socket socket, std::unique_ptr<PageSink> sink);
  /// From the next frame on pages go to a sink that `make` gives, one for each channel.
  void switch_to(const std::function<std::unique_ptr<PageSink>()>& make);

  /// The round that is in progress.
  [[nodiscard]] std::uint32_t round() const { return round_; }
  /// One more channel has ended it. True when that was the last: then the next round begins.
  bool end_round();

  /// Joins the channels. Nothing more is heard of them.
  void close();
  /// The same for those of a link that is lost: the round that was under way will not be ended, and
  /// a new link may bring new ones.
  void renew();
  /// The same when no page is to come any more.
  void finish();

  /// Not after finish().
  [[nodiscard]] PageTarget& target() { return *target_; }

 private:
  void heard(std::uint32_t round, const std::exception_ptr& failure);

  boost::asio::io_context& context_;
  const std::uint32_t count_;
  const Callbacks callbacks_;
  std::optional<PageTarget> target_;
  unsigned link_ = 0;               ///< its number
  std::set<std::uint32_t> opened_;  ///< indices
  std::uint32_t round_ = 1;
  std::uint32_t ended_ = 0;  ///< channels that have sent all of it
  boost::asio::steady_timer grace_;
  std::vector<std::unique_ptr<PageReceiver>> channels_;
};

}  // namespace migration::destination

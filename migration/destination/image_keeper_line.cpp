#include "migration/destination/image_keeper_line.hpp"

#include <exception>
#include <utility>

#include "migration/net/event_loop.hpp"

namespace migration::destination {

ImageKeeperLine::ImageKeeperLine(boost::asio::io_context& context, Callbacks callbacks)
    : context_(context), callbacks_(std::move(callbacks)) {}

void ImageKeeperLine::expect(std::uint64_t ram_pages) { dropped_ = vmm::PageSet(ram_pages); }

void ImageKeeperLine::connect(std::shared_ptr<net::Connection> connection) {
  connection_ = std::move(connection);
  dropped_.clear();
  listens_ = true;
  callbacks_.came();
}

void ImageKeeperLine::disconnect() {
  listens_ = false;
  connection_ = nullptr;
}

void ImageKeeperLine::on_dropped(std::span<const std::byte> payload) {
  const wire::Missing told = wire::decode_missing(payload, dropped_.pages());
  if (told.range.count > wire::kMaxMissingPages) {
    throw wire::ProtocolError("the keeper gives up too many pages in one frame");
  }
  std::vector<vmm::PageRange> news;
  for (const vmm::PageRange& range : told.pages) {
    if (dropped_.count(range) == range.count) continue;
    dropped_.set(range);
    news.push_back(range);
  }
  if (!news.empty()) callbacks_.dropped(std::move(news));
}

void ImageKeeperLine::tell_changed(std::vector<wire::Hashes> pages) {
  ++telling_;
  net::spawn(context_.get_executor(), send_changed(std::move(pages)));
}

/// A keeper that takes nothing is told nothing more.
boost::asio::awaitable<void> ImageKeeperLine::send_changed(std::vector<wire::Hashes> pages) {
  if (const auto keeper = connection_) {
    try {
      for (const wire::Hashes& piece : pages) {
        keeper->send(wire::FrameType::changed, wire::encode_hashes(piece));
      }
      co_await keeper->drained();
    } catch (const std::exception&) {
      // It comes back, if it can, and is told everything anew.
    }
  }
  --telling_;
}

}  // namespace migration::destination

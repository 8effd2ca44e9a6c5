#pragma once

#include <gtest/gtest.h>
#include <lz4.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include "migration/base/page_content.hpp"
#include "migration/pages/page_codec.hpp"
#include "migration/pages/page_receiver.hpp"
#include "migration/pages/ram_sink.hpp"
#include "migration/wire/encode.hpp"

namespace migration {

using wire::Bytes;
using wire::FrameType;
using PageRanges = std::vector<vmm::PageRange>;

/// Pages that differ in every byte that counts, and shrink well.
inline Bytes content(std::size_t pages, int seed) {
  Bytes bytes(pages * vmm::kPageSize);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(seed + static_cast<int>(i / 64 % 251));
  }
  return bytes;
}

inline void put_pages(Bytes& out, FrameType type, const PageRanges& ranges, const Bytes& data) {
  wire::put_page_header(out, type, ranges, data.size());
  out.insert(out.end(), data.begin(), data.end());
}

inline Bytes compressed(const Bytes& pages) {
  Bytes out(static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(pages.size()))));
  const int size = LZ4_compress_default(
      reinterpret_cast<const char*>(pages.data()), reinterpret_cast<char*>(out.data()),
      static_cast<int>(pages.size()), static_cast<int>(out.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

/// A receiver at one end of a socket pair, and the other end.
class PageReceiving : public testing::Test {
 protected:
  PageReceiving() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) != 0)
      throw std::runtime_error("no socket pair");
    peer_ = ends[0];
    net::Socket socket(context_, net::asio::generic::stream_protocol(AF_UNIX, 0), ends[1]);
    receiver_ = std::make_unique<PageReceiver>(
        std::move(socket), target_, std::make_unique<RamSink>(target_),
        [this](std::uint32_t round, std::exception_ptr failure) {
          const std::lock_guard lock(mutex_);
          if (failure) {
            done_.set_exception(failure);
          } else {
            done_.set_value(round);
          }
        });
  }
  void TearDown() override {
    receiver_.reset();
    ::close(peer_);
  }

  /// Sends the bytes, in writes of `piece`, and waits for the round to land or fail.
  std::uint32_t send(const Bytes& bytes, std::size_t piece = SIZE_MAX) {
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t size = std::min(piece, bytes.size() - at);
      const ssize_t sent = ::send(peer_, bytes.data() + at, size, MSG_NOSIGNAL);
      if (sent <= 0) break;  // it has hung up: its reason is what counts
      at += static_cast<std::size_t>(sent);
    }
    auto result = [this] {
      const std::lock_guard lock(mutex_);
      return done_.get_future();
    }();
    if (result.wait_for(std::chrono::seconds(20)) != std::future_status::ready) {
      throw std::runtime_error("the receiver neither lands the round nor fails");
    }
    const std::uint32_t round = result.get();
    const std::lock_guard lock(mutex_);
    done_ = {};
    return round;
  }

  void expect_pages(vmm::PageIndex first, const Bytes& wanted) {
    const auto found = memory_.pages({first, wanted.size() / vmm::kPageSize});
    EXPECT_TRUE(std::ranges::equal(found, wanted)) << "page " << first;
  }

  boost::asio::io_context context_;
  vmm::GuestMemory memory_{16U << 20, vmm::Backing::memfd};
  PageTarget target_{memory_};
  std::mutex mutex_;  ///< guards done_, to which the receiver comes once more as it ends
  std::promise<std::uint32_t> done_;
  int peer_ = -1;
  std::unique_ptr<PageReceiver> receiver_;
};

/// The part of a delta frame for one page.
inline Bytes delta_from(const Bytes& page, const Bytes& base) {
  PageCodec codec;
  Bytes block(vmm::kPageSize);
  block.resize(codec.pack_delta(page, base, block));
  Bytes out;
  wire::put_delta(out, digest_of(page), block);
  return out;
}

/// Frames of every kind, large and small, one after the other.
struct Mixture {
  Bytes one = content(1, 1), block = content(16, 2), raw = content(256, 3), apart = content(3, 4);
  Bytes bytes;

  Mixture() {
    put_pages(bytes, FrameType::pages_raw, {{5, 1}}, one);
    put_pages(bytes, FrameType::pages_lz4, {{100, 16}}, compressed(block));
    put_pages(bytes, FrameType::pages_raw, {{200, 256}}, raw);
    put_pages(bytes, FrameType::pages_lz4, {{1000, 2}, {900, 1}}, compressed(apart));
    put_pages(bytes, FrameType::pages_zero, {{5, 1}, {3000, 7}}, {});
    wire::put_frame(bytes, FrameType::round_end, wire::encode_round(1));
  }
};

}  // namespace migration

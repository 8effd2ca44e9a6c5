#pragma once

#include <gtest/gtest.h>
#include <sched.h>

#include <future>
#include <set>

#include "migration/base/page_content.hpp"
#include "migration/postcopy/page_server.hpp"
#include "tests/migration/fault_peer.hpp"

namespace migration {

using PageList = std::vector<vmm::PageIndex>;
using wire::PageEncoding;

inline constexpr vmm::PageIndex kTouched = 1000;  ///< pages of memory_ that hold something

inline void append(PageList& pages, const std::vector<vmm::PageRange>& ranges) {
  for (const vmm::PageRange& range : ranges) {
    for (vmm::PageIndex page = range.first; page < range.end(); ++page) pages.push_back(page);
  }
}

/// What a channel was given to send.
struct Given {
  PageList data, absent;

  void take(const Chunk& chunk) {
    append(data, chunk.data);
    append(absent, chunk.absent);
  }
};

/// How many the calling thread may run on.
inline int processors() {
  cpu_set_t set;
  return ::sched_getaffinity(0, sizeof(set), &set) < 0 ? 0 : CPU_COUNT(&set);
}

class PageServing : public ::testing::Test {
 protected:
  PageServing() {
    for (vmm::PageIndex page = 0; page < kTouched; ++page) {
      memory_.pages({page, 1})[page % vmm::kPageSize] = std::byte{1};
    }
  }

  void make(const std::vector<vmm::PageRange>& missing, Prepaging prepaging = Prepaging::linear,
            bool digests = false) {
    vmm::PageSet pages(memory_.page_count());
    for (const vmm::PageRange& range : missing) pages.set(range);
    server_ = std::make_unique<PageServer>(shared_, vmm::AtomicPageSet(pages), prepaging, digests);
  }
  /// Opens the fault connection.
  void connect() {
    peer_ = std::make_unique<FaultPeer>();
    failed_ = std::promise<std::exception_ptr>();
    server_->serve(peer_->socket(context_),
                   [this](std::exception_ptr failure) { failed_.set_value(failure); });
  }
  [[nodiscard]] std::string failure() { return reason_of(failed_); }
  wire::SinglePage answer(wire::FrameType type = wire::FrameType::page) {
    payload_ = peer_->receive(type).value_or(wire::Bytes(16));
    return wire::decode_page(payload_, memory_.page_count());
  }
  Given drain(Round& round) {
    Given given;
    while (const auto chunk = round.next_chunk()) given.take(*chunk);
    return given;
  }

  boost::asio::io_context context_;
  // In a file: no huge pages, so that neighbours of a page stay untouched.
  vmm::GuestMemory memory_{16U << 20, vmm::Backing::memfd};
  RateLimiter limiter_{0};
  PageCounters counters_;
  ActiveChannels one_ = ActiveChannels::all(1);
  PageSender::Shared shared_{memory_, limiter_,     counters_, Compression::automatic,
                             one_,    kPeerDeadline};
  std::promise<std::exception_ptr> failed_;
  wire::Bytes payload_;
  std::unique_ptr<FaultPeer> peer_;
  std::unique_ptr<PageServer> server_;
};

}  // namespace migration

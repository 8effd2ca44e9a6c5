#include "migration/postcopy/missing_page_sink.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <thread>

#include "migration/base/page_content.hpp"
#include "migration/net/buffered_reader.hpp"
#include "tests/migration/missing_pages_fixture.hpp"
#include "vmm/bytes/byte_writer.hpp"
#include "vmm/memory/huge_page.hpp"

namespace migration {
namespace {

using Ranges = std::vector<vmm::PageRange>;

/// What comes behind the list of ranges of page frames, at the end of a socket pair. Each sink has
/// a thread of its own, as a channel's has: it changes how the thread is scheduled.
class PuttingMissingPages : public PageInstalling {
 protected:
  template <typename Put>
  void put(Put put) {
    std::exception_ptr failure;
    std::thread([&] {
      try {
        MissingPageSink sink(*installer_, watch_);
        put(sink);
      } catch (...) {
        failure = std::current_exception();
      }
    }).join();
    if (failure) std::rethrow_exception(failure);
  }
  void put_raw(const Ranges& ranges, std::size_t bytes) {
    put([&](PageSink& sink) { sink.put_raw(ranges, in_, bytes); });
  }
  /// From a thread of its own, as the pair holds less than a block.
  void put_raw_of(const Ranges& ranges, const std::vector<std::byte>& sent, std::size_t bytes) {
    const std::jthread sender([&] { peer_.send(sent); });
    put_raw(ranges, bytes);
  }
  [[nodiscard]] static std::vector<std::byte> joined(std::vector<std::byte> first,
                                                     const std::vector<std::byte>& second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
  }
  [[nodiscard]] static std::vector<std::byte> digest_bytes(int value) {
    std::vector<std::byte> bytes;
    vmm::ByteWriter(bytes).u64(digest_of(vmm::pages_of(value)));
    return bytes;
  }
  void expect_page(vmm::PageIndex page, int value) {
    EXPECT_TRUE(std::ranges::equal(memory_.pages({page, 1}), vmm::pages_of(value))) << page;
  }

  static constexpr std::uint64_t kBlock = vmm::kHugePagePages;
  FaultWatch watch_;
  boost::asio::io_context context_;
  FaultPeer peer_;
  net::Stream stream_{peer_.socket(context_)};
  net::BufferedReader in_{stream_};
};

TEST_F(PuttingMissingPages, InstallsRawPages) {
  make();
  peer_.send(joined(vmm::pages_of(1, 2), vmm::pages_of(2)));
  put_raw({{4, 2}, {9, 1}}, 3 * vmm::kPageSize);
  expect_page(4, 1);
  expect_page(5, 1);
  expect_page(9, 2);
  EXPECT_EQ(missing_->count(), memory_.page_count() - 3);
}

TEST_F(PuttingMissingPages, InstallsACompressedBlock) {
  make();
  std::vector<std::byte> block(1000);
  const int size = LZ4_compress_default(reinterpret_cast<const char*>(vmm::pages_of(7, 4).data()),
                                        reinterpret_cast<char*>(block.data()), 4 * vmm::kPageSize,
                                        static_cast<int>(block.size()));
  block.resize(static_cast<std::size_t>(size));
  peer_.send(block);
  const Ranges ranges{{4, 3}, {9, 1}};
  put([&](PageSink& sink) { sink.put_compressed(ranges, in_, block.size(), BlockFormat::lz4); });
  expect_page(6, 7);
  expect_page(9, 7);
}

TEST_F(PuttingMissingPages, ComparesPagesWithTheDigestsBeforeThem) {
  make({{0, 10}}, true);
  const std::size_t bytes = wire::kDigestBytes + vmm::kPageSize;
  peer_.send(joined(digest_bytes(1), vmm::pages_of(1)));
  put_raw({{4, 1}}, bytes);
  expect_page(4, 1);
  peer_.send(joined(digest_bytes(2), vmm::pages_of(1)));
  EXPECT_THROW(put_raw({{5, 1}}, bytes), wire::ProtocolError);
  EXPECT_TRUE(missing_->test(5));
}

TEST_F(PuttingMissingPages, InstallsWhatPagesShare) {
  make({{0, 20}}, true);
  const Ranges ranges{{4, 2}, {9, 1}};
  peer_.send(joined(digest_bytes(1), vmm::pages_of(1)));
  put([&](PageSink& sink) { sink.put_alike(ranges, in_, wire::kDigestBytes + vmm::kPageSize); });
  for (const vmm::PageIndex page : {4U, 5U, 9U}) expect_page(page, 1);
  peer_.send(joined(digest_bytes(2), vmm::pages_of(1)));
  EXPECT_THROW(put([&](PageSink& sink) {
                 sink.put_alike(Ranges{{10, 1}}, in_, wire::kDigestBytes + vmm::kPageSize);
               }),
               wire::ProtocolError);
  EXPECT_TRUE(missing_->test(10));
}

TEST_F(PuttingMissingPages, RefusesWhatRefersToPagesThatTheGuestMayHaveWritten) {
  make();
  const Ranges ranges{{4, 1}};
  EXPECT_THROW(put([&](PageSink& sink) { sink.put_deltas(ranges, in_, 11); }), wire::ProtocolError);
  EXPECT_THROW(put([&](PageSink& sink) { sink.put_same(ranges, in_, wire::kSameBytes); }),
               wire::ProtocolError);
  EXPECT_TRUE(missing_->test(4));
}

TEST_F(PuttingMissingPages, RefusesAFrameThatItsPagesDoNotFill) {
  make();
  peer_.send(vmm::pages_of(1, 2));
  EXPECT_THROW(put_raw({{4, 1}}, 2 * vmm::kPageSize), wire::ProtocolError);
  EXPECT_THROW(put_raw({{4, 3}}, 2 * vmm::kPageSize), wire::ProtocolError);
  EXPECT_EQ(missing_->count(), memory_.page_count());
}

TEST_F(PuttingMissingPages, RefusesAFrameThatIsShorterThanItsDigests) {
  make({{0, 10}}, true);
  const Ranges ranges{{4, 2}};
  EXPECT_THROW(put([&](PageSink& sink) { sink.put_compressed(ranges, in_, 15, BlockFormat::lz4); }),
               wire::ProtocolError);
}

TEST_F(PuttingMissingPages, InstallsABlockThatIsMostlyData) {
  make();
  put_raw_of({{kBlock, 300}}, vmm::pages_of(3, 300), 300 * vmm::kPageSize);
  expect_page(kBlock, 3);
  expect_page(kBlock + 299, 3);
  EXPECT_EQ(missing_->count(), memory_.page_count() - 300);
}

TEST_F(PuttingMissingPages, ABlockOfWhichAPartComesCanBePutAgainFromAnotherLink) {
  if (!userfault_->can_protect()) GTEST_SKIP() << "this kernel lacks UFFDIO_WRITEPROTECT (5.7)";
  memory_ = vmm::GuestMemory(vmm::kMinMemory, vmm::Backing::memfd);
  overlay_ = std::make_unique<FileOverlay>(memory_, userfault_);
  make();
  peer_.send(vmm::pages_of(3, 10));
  peer_.hang_up();
  EXPECT_THROW(put_raw({{kBlock, kBlock}}, kBlock * vmm::kPageSize), std::system_error);
  EXPECT_EQ(missing_->count(), memory_.page_count());
  // By now the file has what is of no use, of which nothing is to be seen.
  install({kBlock, 1}, vmm::pages_of(9));
  install_zero({kBlock + 1, kBlock - 1});
  expect_page(kBlock, 9);
  expect_page(kBlock + 1, 0);
  expect_page(2 * kBlock - 1, 0);
}

}  // namespace
}  // namespace migration

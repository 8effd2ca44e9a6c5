#include "migration/postcopy/page_fetcher.hpp"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <system_error>

#include "tests/migration/fault_peer.hpp"
#include "tests/vmm/memory/userfault_fixture.hpp"

namespace migration {
namespace {

/// All that takes part in a fetch, but for the channels.
class PageFetching : public ::testing::Test {
 protected:
  void SetUp() override {
    try {
      userfault_ = std::make_shared<const vmm::Userfault>();
    } catch (const std::system_error& error) {
      GTEST_SKIP() << error.what();
    }
    fetcher_ = std::make_unique<PageFetcher>(
        memory_, userfault_, nullptr, false, kPeerDeadline,
        PageFetcher::Callbacks{[this](bool) { complete_.set_value(); }, [](std::exception_ptr) {}});
  }
  [[nodiscard]] bool wait_complete() {
    return complete_.get_future().wait_for(kPeerDeadline) == std::future_status::ready;
  }

  boost::asio::io_context context_;
  vmm::GuestMemory memory_{vmm::kMinMemory};
  std::promise<void> complete_;
  std::list<vmm::Reader> readers_;
  FaultPeer peer_;
  std::shared_ptr<const vmm::Userfault> userfault_;
  std::unique_ptr<PageFetcher> fetcher_;
};

TEST_F(PageFetching, IsOverOnceAllIsToldAndNothingIsMissing) {
  EXPECT_TRUE(fetcher_->has_all());
  EXPECT_EQ(fetcher_->missing(), 1U);
  fetcher_->told_all();
  EXPECT_TRUE(wait_complete());
  EXPECT_EQ(fetcher_->missing(), 0U);
}

TEST_F(PageFetching, ServesAPageAndTakesAnotherFromAChannel) {
  fetcher_->expect({{5, 1}, {9, 1}});
  fetcher_->told_all();
  EXPECT_EQ(fetcher_->missing(), 2U);
  EXPECT_EQ(fetcher_->expected().count(), 2U);
  const auto sink = fetcher_->make_sink();
  const vmm::PageRange zero{9, 1};
  sink->put_zero({&zero, 1});
  EXPECT_EQ(fetcher_->missing_pages().count(), 1U);
  fetcher_->connect(peer_.socket(context_));
  EXPECT_TRUE(fetcher_->connected());
  vmm::Reader& reader = readers_.emplace_back(memory_.pages({5, 1}).data());
  EXPECT_EQ(peer_.receive_request(), 5U);
  peer_.send_page(5, wire::PageEncoding::raw, vmm::pages_of(42));
  EXPECT_EQ(reader.value(), std::byte{42});
  EXPECT_TRUE(wait_complete());
  EXPECT_TRUE(fetcher_->has_all());
  EXPECT_EQ(fetcher_->latencies().count(), 1U);
}

}  // namespace
}  // namespace migration

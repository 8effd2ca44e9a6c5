#pragma once

#include <gtest/gtest.h>
#include <lz4.h>

#include <atomic>
#include <chrono>
#include <future>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "migration/postcopy/fault_loop.hpp"
#include "migration/postcopy/missing_pages.hpp"
#include "migration/postcopy/page_installer.hpp"
#include "tests/migration/fault_peer.hpp"
#include "tests/vmm/memory/userfault_fixture.hpp"

namespace migration {

/// RAM with missing pages, and nobody who serves faults. Skipped, with the reason, where
/// userfaultfd is not permitted.
class PageInstalling : public ::testing::Test {
 protected:
  void SetUp() override {
    try {
      userfault_ = std::make_shared<const vmm::Userfault>();
    } catch (const std::system_error& error) {
      GTEST_SKIP() << error.what();
    }
  }

  void make(const std::vector<vmm::PageRange>& missing, bool digests = false) {
    missing_.emplace(memory_.page_count());
    installer_.emplace(memory_, userfault_, std::move(overlay_), digests, *missing_, [this] {
      ++all_here_;
      when_all_are_here();
    });
    installer_->expect(missing, false);
  }
  void make() { make({{0, memory_.page_count()}}); }
  virtual void when_all_are_here() {}

  /// As a channel does it.
  void install(vmm::PageRange range, const std::vector<std::byte>& data,
               const std::vector<std::uint64_t>& digests = {}) {
    installer_->install({&range, 1}, data, digests);
  }
  void install_zero(vmm::PageRange range) { installer_->install_zero({&range, 1}); }
  vmm::Reader& read(vmm::PageIndex page) {
    return readers_.emplace_back(memory_.pages({page, 1}).data());
  }

  std::atomic<int> all_here_ = 0;
  vmm::GuestMemory memory_{vmm::kMinMemory};
  std::unique_ptr<FileOverlay> overlay_;
  std::optional<MissingPages> missing_;
  std::list<vmm::Reader> readers_;
  // These go first: readers that still wait then go on.
  std::shared_ptr<const vmm::Userfault> userfault_;
  std::optional<PageInstaller> installer_;
};

/// The same with the loop that serves faults, and the source at the other end of a socket pair.
class FaultServing : public PageInstalling {
 protected:
  void make(const std::vector<vmm::PageRange>& missing, bool digests = false) {
    PageInstalling::make(missing, digests);
    FaultLoop::Callbacks callbacks;
    callbacks.complete = [this](bool file_again) {
      if (++completed_ == 1) complete_.set_value(file_again);
    };
    callbacks.failed = [this](std::exception_ptr why) {
      if (++failures_ == 1) failed_.set_value(why);
    };
    loop_.emplace(memory_, userfault_, *missing_, *installer_, timeout_, std::move(callbacks));
  }
  void make() { make({{0, memory_.page_count()}}); }
  void when_all_are_here() override { loop_->finish(); }

  void connect() {
    peer_ = std::make_unique<FaultPeer>();
    loop_->connect(peer_->socket(context_));
  }
  void send_page(vmm::PageIndex page, int value, std::uint64_t digest = 0) {
    peer_->send_page(page, wire::PageEncoding::raw, vmm::pages_of(value), digest);
  }
  /// Without that it was asked for.
  void send_early(vmm::PageIndex page, int value, std::uint64_t digest = 0) {
    peer_->send_page(page, wire::PageEncoding::raw, vmm::pages_of(value), digest,
                     wire::FrameType::early);
  }

  /// Why the connection failed the first time.
  [[nodiscard]] std::string failure() { return reason_of(failed_); }
  [[nodiscard]] bool complete() const { return completed_ > 0; }
  /// Whether all came in time, and RAM is its file again if it is one.
  [[nodiscard]] bool wait_complete() {
    auto file_again = complete_.get_future();
    return file_again.wait_for(kPeerDeadline) == std::future_status::ready && file_again.get();
  }

  static std::vector<std::byte> compressed(const std::vector<std::byte>& page) {
    std::vector<std::byte> out(static_cast<std::size_t>(LZ4_compressBound(vmm::kPageSize)));
    const int size = LZ4_compress_default(
        reinterpret_cast<const char*>(page.data()), reinterpret_cast<char*>(out.data()),
        static_cast<int>(page.size()), static_cast<int>(out.size()));
    out.resize(static_cast<std::size_t>(size));
    return out;
  }

  boost::asio::io_context context_;
  std::chrono::milliseconds timeout_ = kPeerDeadline;
  std::atomic<int> completed_ = 0, failures_ = 0;
  std::promise<bool> complete_;
  std::promise<std::exception_ptr> failed_;
  std::unique_ptr<FaultPeer> peer_;
  std::optional<FaultLoop> loop_;
};

}  // namespace migration

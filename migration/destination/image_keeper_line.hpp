#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "migration/net/connection.hpp"
#include "vmm/memory/page_set.hpp"

namespace migration::destination {

/// The connection to a source that keeps the image of the VM: it is told what the guest changes
/// here, and says which pages it has dropped from the image.
///
/// The receiver's thread calls, but for what is marked.
class ImageKeeperLine {
 public:
  struct Callbacks {
    std::function<void()> came;  ///< it knows nothing yet
    /// What becomes of these pages is of no interest any more. Each page is told once.
    std::function<void(std::vector<vmm::PageRange>)> dropped;
  };

  ImageKeeperLine(boost::asio::io_context& context, Callbacks callbacks);

  /// There will be a keeper, of the image of a VM with so many pages.
  void expect(std::uint64_t ram_pages);
  /// The keeper listens at `connection` from now on.
  void connect(std::shared_ptr<net::Connection> connection);
  void disconnect();
  /// A `dropped` frame. ProtocolError when it is not sound.
  void on_dropped(std::span<const std::byte> payload);

  // Any thread.
  /// Pages that may have changed. Nobody hears of it while no keeper listens.
  void tell_changed(std::vector<wire::Hashes> pages);
  /// Whether there is one, and all that it was told is with the kernel.
  [[nodiscard]] bool listens() const { return listens_ && telling_ == 0; }

 private:
  boost::asio::awaitable<void> send_changed(std::vector<wire::Hashes> pages);

  boost::asio::io_context& context_;
  const Callbacks callbacks_;
  std::shared_ptr<net::Connection> connection_;
  vmm::PageSet dropped_;  ///< since the keeper came
  std::atomic<bool> listens_ = false;
  std::atomic<unsigned> telling_ = 0;  ///< so often, and it is not yet with the kernel
};

}  // namespace migration::destination

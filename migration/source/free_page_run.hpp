#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <memory>

#include "migration/pages/free_pages.hpp"
#include "migration/policy/page_account.hpp"
#include "vmm/machine/machine.hpp"

namespace migration::source {

/// The guest is asked for its free pages, at the start of a migration. It holds them until end().
class FreePageRun {
 public:
  FreePageRun(boost::asio::io_context& context, vmm::Machine& machine);
  /// The machine is there, or end() was called.
  ~FreePageRun() { end(); }
  FreePageRun(const FreePageRun&) = delete;
  FreePageRun& operator=(const FreePageRun&) = delete;

  /// Asks a guest that can be asked, with the log running from now on, and waits for its answer as
  /// long as that pays. `cap`: bytes per second that may be sent; 0: no cap.
  boost::asio::awaitable<void> begin(std::uint64_t cap);
  /// The guest may use all of them again. No more are told.
  void end();

  /// What it tells; null when it was not asked.
  [[nodiscard]] FreePages* pages() { return pages_.get(); }
  /// The same where there are no rounds: tells what has to travel instead of all of RAM.
  void settle(PageAccount& account);

 private:
  boost::asio::awaitable<vmm::PageSet> arm();
  boost::asio::awaitable<void> wait(std::uint64_t cap);
  void heard();

  boost::asio::io_context& context_;
  vmm::Machine& machine_;
  boost::asio::steady_timer timer_;
  std::unique_ptr<FreePages> pages_;
  bool asked_ = false;  ///< and not ended
};

}  // namespace migration::source

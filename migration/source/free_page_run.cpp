#include "migration/source/free_page_run.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <utility>

namespace migration::source {

namespace asio = boost::asio;

namespace {

using Clock = std::chrono::steady_clock;

/// Pages that are taken out of the log at a time, 64 MiB: others of this thread have their turn in
/// between.
constexpr std::uint64_t kArmStep = 16384;

}  // namespace

FreePageRun::FreePageRun(asio::io_context& context, vmm::Machine& machine)
    : context_(context), machine_(machine), timer_(context) {}

asio::awaitable<void> FreePageRun::begin(std::uint64_t cap) {
  vmm::PageSet touched = co_await arm();
  pages_ = std::make_unique<FreePages>(machine_.memory(), std::move(touched),
                                       [this] { asio::post(context_, [this] { heard(); }); });
  asked_ = true;
  machine_.ask_for_free_pages(*pages_);
  co_await wait(cap);
}

/// What the guest writes after it was asked is in the log: so all of RAM is protected before.
/// Returns what was ever touched.
asio::awaitable<vmm::PageSet> FreePageRun::arm() {
  vmm::DirtyLog& log = machine_.dirty_log();
  if (!log.active()) log.start();
  const std::uint64_t count = machine_.memory().page_count();
  vmm::PageSet touched(count);
  for (vmm::PageIndex first = 0; first < count; first += kArmStep) {
    log.clear_touched({first, std::min(kArmStep, count - first)}, touched);
    co_await asio::post(context_, asio::use_awaitable);
  }
  co_return touched;
}

asio::awaitable<void> FreePageRun::wait(std::uint64_t cap) {
  const auto start = Clock::now();
  FreePageWait policy(cap);
  while (policy.goes_on(Clock::now() - start, pages_->so_far())) {
    timer_.expires_after(FreePageWait::kWindow);
    boost::system::error_code woken;
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
  }
}

void FreePageRun::heard() {
  timer_.cancel();
  if (FreePageWait::too_dear(pages_->so_far())) end();
}

void FreePageRun::end() {
  if (std::exchange(asked_, false)) machine_.end_free_pages();
}

void FreePageRun::settle(PageAccount& account) {
  end();
  if (!pages_ || pages_->so_far().pages == 0) return;
  vmm::PageSet must_send = pages_->touched();
  vmm::PageSet free(must_send.pages());
  for (const vmm::PageRange& range : pages_->in({0, free.pages()})) free.set(range);
  free &= must_send;
  must_send -= free;
  account.without(std::move(free), std::move(must_send));
}

}  // namespace migration::source

#include "migration/postcopy/page_fetcher.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <future>
#include <optional>
#include <system_error>
#include <utility>

#include "migration/base/elapsed.hpp"
#include "migration/pages/page_codec.hpp"
#include "migration/wire/encode.hpp"
#include "vmm/os/scheduling.hpp"

namespace migration {

using wire::FrameType;
using wire::ProtocolError;

namespace {

/// Faults taken off the queue at a time: there are at most as many as threads that touch RAM.
constexpr std::size_t kFaults = 32;
/// Deadlines are looked at so many times within one.
constexpr int kLooks = 4;
/// Answers read at a time.
constexpr std::size_t kReadAhead = std::size_t{64} << 10;

vmm::UniqueFd make_eventfd() {
  vmm::UniqueFd fd(::eventfd(0, EFD_CLOEXEC));
  if (fd.get() < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  return fd;
}

}  // namespace

PageFetcher::PageFetcher(vmm::GuestMemory& memory, std::shared_ptr<const vmm::Userfault> userfault,
                         std::unique_ptr<FileOverlay> covered, bool digests,
                         std::chrono::milliseconds timeout, Callbacks callbacks)
    : memory_(memory),
      userfault_(std::move(userfault)),
      covered_(std::move(covered)),
      digests_(digests),
      timeout_(timeout),
      callbacks_(std::move(callbacks)),
      expected_(memory.page_count()),
      missing_(memory.page_count()),
      touched_(memory.page_count()),
      wake_(make_eventfd()),
      in_(kReadAhead),
      page_(vmm::kPageSize) {
  if (!covered_) userfault_->register_missing(memory_.pages({0, memory_.page_count()}));
  thread_ = vmm::Thread(
      vmm::ThreadRole::faults, [this] { run(); }, vmm::nothing_escapes);
}

PageFetcher::~PageFetcher() {
  post([this] { leaving_ = true; });
  thread_.join();
}

void PageFetcher::post(std::function<void()> task) {
  {
    const std::lock_guard lock(tasks_mutex_);
    tasks_.push_back(std::move(task));
  }
  ::eventfd_write(wake_.get(), 1);
}

void PageFetcher::run_there(const std::function<void()>& task) {
  std::packaged_task<void()> there(task);
  auto done = there.get_future();
  post([&] { there(); });
  done.get();
}

void PageFetcher::run() {
  vmm::wake_first();
  const int look = static_cast<int>(timeout_.count() / kLooks) + 1;
  while (!leaving_) {
    std::array<pollfd, 3> fds{{{wake_.get(), POLLIN, 0}, {userfault_->fd(), POLLIN, 0}, {}}};
    if (stream_) fds[2] = {stream_->fd(), POLLIN, 0};
    static_cast<void>(::poll(fds.data(), stream_ ? 3 : 2, look));
    try {
      if (stream_ && fds[2].revents != 0) take_answers();
      if (fds[1].revents != 0) {
        take_faults();
        // On a short way the answers may be there by now.
        if (stream_) take_answers();
      }
      check_deadline();
    } catch (...) {
      fail(std::current_exception());
    }
    if (fds[0].revents == 0) continue;
    eventfd_t ignored = 0;
    ::eventfd_read(wake_.get(), &ignored);
    std::vector<std::function<void()>> tasks;
    {
      const std::lock_guard lock(tasks_mutex_);
      tasks.swap(tasks_);
    }
    for (const auto& task : tasks) {
      try {
        task();
      } catch (...) {
        fail(std::current_exception());
      }
    }
  }
}

void PageFetcher::expect(const std::vector<vmm::PageRange>& pages, bool untouched) {
  std::vector<vmm::PageRange> news;  // what is told again takes no time
  for (const vmm::PageRange& range : pages) {
    const std::uint64_t count = range.count - missing_.count(range);
    if (count == 0) continue;
    left_ += count;
    missing_.put(range);
    expected_.put(range);
    news.push_back(range);
  }
  if (!untouched && !news.empty()) memory_.discard(news);
}

void PageFetcher::told_all() {
  if (left_ == 0) post([this] { finish(); });
}

void PageFetcher::connect(net::Socket socket) {
  auto stream = std::make_unique<net::Stream>(std::move(socket), timeout_);
  run_there([&] {
    stream_ = std::move(stream);
    in_used_ = 0;
    connected_ = true;
    std::vector<vmm::PageIndex> pages;
    {
      const std::lock_guard lock(mutex_);
      for (Waiting& waiting : waiting_) {
        waiting.asked = Clock::now();
        pages.push_back(waiting.page);
      }
    }
    try {
      give_zeros();
      for (const vmm::PageIndex page : pages) ask(page);
    } catch (...) {
      fail(std::current_exception());
    }
  });
}

void PageFetcher::disconnect() {
  run_there([this] {
    connected_ = false;
    stream_ = nullptr;
  });
}

void PageFetcher::abandon() {
  abandoned_ = true;
  post([this] {
    const std::lock_guard lock(mutex_);
    for (const Waiting& waiting : waiting_) give_zero(waiting.page);
    waiting_.clear();
  });
}

LatencyHistogram PageFetcher::latencies() const {
  const std::lock_guard lock(mutex_);
  return latencies_;
}

void PageFetcher::take_faults() {
  std::array<std::byte*, kFaults> addresses{};
  const std::size_t count = userfault_->read_faults(addresses);
  for (std::byte* const address : std::span(addresses).first(count)) {
    try {
      faulted(memory_.page_at(address));
    } catch (...) {
      // The others have been taken off the queue too: nobody will tell of them again.
      fail(std::current_exception());
    }
  }
}

void PageFetcher::faulted(vmm::PageIndex page) {
  switch (wait_for(page)) {
    // Without the lock, which the channels take for each run of pages that they install: on a short
    // way the source answers before this returns.
    case Wait::first: return ask(page);
    case Wait::again: return;
    case Wait::none: break;
  }
  // A page that is not missing was never touched at the source, or was zero there; or it is there
  // by now, and whoever waits has only to look again.
  touched_.put(page);
  unserved_.push_back(page);
  give_zeros();
}

/// One that cannot be given, for want of room say, is given once the link is taken up again.
void PageFetcher::give_zeros() {
  while (!unserved_.empty()) {
    give_zero(unserved_.back());
    unserved_.pop_back();
  }
}

PageFetcher::Wait PageFetcher::wait_for(vmm::PageIndex page) {
  if (!missing_.test(page) || abandoned_) return Wait::none;
  const auto now = Clock::now();
  const std::lock_guard lock(mutex_);
  // It may have landed meanwhile. Whoever lands it looks, under this lock, for who waits.
  if (!missing_.test(page)) return Wait::none;
  if (std::ranges::find(waiting_, page, &Waiting::page) != waiting_.end()) return Wait::again;
  waiting_.push_back({page, now, now});
  return Wait::first;
}

void PageFetcher::ask(vmm::PageIndex page) {
  if (!stream_) return;
  request_.clear();
  wire::put_request(request_, page, choice_.ask_compressed());
  iovec part{request_.data(), request_.size()};
  stream_->write({&part, 1});
}

void PageFetcher::take_answers() {
  in_used_ += stream_->read_ready(std::span(in_).subspan(in_used_));
  std::size_t at = 0;
  while (in_used_ - at >= wire::kHeaderBytes) {
    const auto rest = std::span<const std::byte>(in_).subspan(at, in_used_ - at);
    const wire::FrameHeader header = wire::decode_header(rest.first<wire::kHeaderBytes>());
    const bool early = header.type == FrameType::early;
    if (header.type != FrameType::page && !early) {
      throw ProtocolError("the source sent something else than a page on the fault connection");
    }
    const std::size_t size = wire::kHeaderBytes + header.payload;
    if (rest.size() < size) break;
    take_page(
        wire::decode_page(rest.subspan(wire::kHeaderBytes, header.payload), memory_.page_count()),
        early);
    if (!early) watch_.served();
    at += size;
  }
  std::copy(in_.begin() + static_cast<std::ptrdiff_t>(at),
            in_.begin() + static_cast<std::ptrdiff_t>(in_used_), in_.begin());
  in_used_ -= at;
}

void PageFetcher::fail(std::exception_ptr why) {
  connected_ = false;
  stream_ = nullptr;
  if (!finished_) callbacks_.failed(why);
}

void PageFetcher::take_page(const wire::SinglePage& answer, bool early) {
  const vmm::PageRange range{answer.page, 1};
  std::optional<Clock::time_point> asked;
  {
    const std::lock_guard lock(mutex_);
    const auto waiting = std::ranges::find(waiting_, answer.page, &Waiting::page);
    if (waiting != waiting_.end()) asked = waiting->asked;
  }
  if (!asked && !early) throw ProtocolError("the source sent a page that nobody asked for");
  if (answer.encoding == wire::PageEncoding::zero) {
    std::ranges::fill(page_, std::byte{0});
    if (digests_) check_digest(answer.page, page_, answer.digest);
    return install_zero(std::span(&range, 1));
  }
  check_missing(range);
  const bool compressed = answer.encoding == wire::PageEncoding::lz4;
  if (compressed) PageCodec::unpack(answer.data, page_);
  const std::span<const std::byte> page =
      compressed ? std::span<const std::byte>(page_) : answer.data;
  if (digests_) check_digest(answer.page, page, answer.digest);
  put(range, page);
  if (!early) choice_.answered(compressed, us_since(*asked));
}

std::vector<vmm::PageIndex> PageFetcher::landed(vmm::PageRange range) {
  const auto now = Clock::now();
  std::vector<vmm::PageRange> taken;
  missing_.take(range, taken);
  std::vector<vmm::PageIndex> awaited;
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(waiting_, [&](const Waiting& waiting) {
      if (waiting.page < range.first || waiting.page >= range.end()) return false;
      latencies_.add(1000 * ms_between(waiting.since, now));
      awaited.push_back(waiting.page);
      return true;
    });
  }
  std::uint64_t count = 0;
  for (const vmm::PageRange& run : taken) count += run.count;
  if (covered_) flush(range);
  if (count > 0 && left_.fetch_sub(count) == count) post([this] { finish(); });
  return awaited;
}

void PageFetcher::finish() {
  if (finished_) return;
  const bool settled = !covered_ || covered_->flush_all();
  // Where the file shows nothing is registered, which the kernel does not mind.
  userfault_->unregister(memory_.pages({0, memory_.page_count()}));
  finished_ = true;
  callbacks_.complete(settled);
}

void PageFetcher::check_deadline() {
  if (!stream_) return;
  const std::lock_guard lock(mutex_);
  const bool late = std::ranges::any_of(
      waiting_, [this](const Waiting& waiting) { return Clock::now() - waiting.asked > timeout_; });
  if (!late) return;
  throw std::system_error(ETIMEDOUT, std::generic_category(),
                          "the source does not send a page that is waited for");
}

}  // namespace migration

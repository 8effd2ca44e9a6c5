#include "migration/postcopy/fault_loop.hpp"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
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

FaultLoop::FaultLoop(const vmm::GuestMemory& memory,
                     std::shared_ptr<const vmm::Userfault> userfault, MissingPages& missing,
                     PageInstaller& installer, std::chrono::milliseconds timeout,
                     Callbacks callbacks)
    : memory_(memory),
      userfault_(std::move(userfault)),
      missing_(missing),
      installer_(installer),
      timeout_(timeout),
      callbacks_(std::move(callbacks)),
      wake_(make_eventfd()),
      in_(kReadAhead),
      page_(vmm::kPageSize),
      thread_(
          vmm::ThreadRole::faults, [this] { run(); }, vmm::nothing_escapes) {}

FaultLoop::~FaultLoop() {
  post([this] { leaving_ = true; });
  thread_.join();
}

void FaultLoop::post(std::function<void()> task) {
  {
    const vmm::Lock lock(tasks_mutex_);
    tasks_.push_back(std::move(task));
  }
  ::eventfd_write(wake_.get(), 1);
}

void FaultLoop::run_there(const std::function<void()>& task) {
  std::packaged_task<void()> there(task);
  auto done = there.get_future();
  post([&] { there(); });
  done.get();
}

void FaultLoop::run() {
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
    if (fds[0].revents != 0) run_tasks();
  }
}

void FaultLoop::run_tasks() {
  eventfd_t ignored = 0;
  ::eventfd_read(wake_.get(), &ignored);
  std::vector<std::function<void()>> tasks;
  {
    const vmm::Lock lock(tasks_mutex_);
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

void FaultLoop::connect(net::Socket socket) {
  auto stream = std::make_unique<net::Stream>(std::move(socket), timeout_);
  run_there([&] {
    stream_ = std::move(stream);
    in_used_ = 0;
    connected_ = true;
    const std::vector<vmm::PageIndex> pages = missing_.ask_again();
    try {
      resolve_zeros();
      for (const vmm::PageIndex page : pages) ask(page);
    } catch (...) {
      fail(std::current_exception());
    }
  });
}

void FaultLoop::disconnect() {
  run_there([this] {
    connected_ = false;
    stream_ = nullptr;
  });
}

void FaultLoop::abandon() {
  abandoned_ = true;
  post([this] {
    const std::vector<vmm::PageIndex> waiting = missing_.forget_waiting();
    zeros_.insert(zeros_.end(), waiting.begin(), waiting.end());
    resolve_zeros();
  });
}

void FaultLoop::take_faults() {
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

void FaultLoop::faulted(vmm::PageIndex page) {
  switch (abandoned_ ? MissingPages::Wait::none : missing_.wait_for(page)) {
    // Without a lock, which the channels take for each run of pages that they install: on a short
    // way the source answers before this returns.
    case MissingPages::Wait::first: return ask(page);
    case MissingPages::Wait::again: return;
    case MissingPages::Wait::none: break;
  }
  // A page that is not missing was never touched at the source, or was zero there; or it is there
  // by now, and whoever waits has only to look again.
  zeros_.push_back(page);
  resolve_zeros();
}

/// One that cannot be given, for want of room say, is given once the link is taken up again.
void FaultLoop::resolve_zeros() {
  while (!zeros_.empty()) {
    installer_.resolve_zero(zeros_.back());
    zeros_.pop_back();
  }
}

void FaultLoop::ask(vmm::PageIndex page) {
  if (!stream_) return;
  request_.clear();
  wire::put_request(request_, page, choice_.ask_compressed());
  iovec part{request_.data(), request_.size()};
  stream_->write({&part, 1});
}

void FaultLoop::take_answers() {
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

void FaultLoop::take_page(const wire::SinglePage& answer, bool early) {
  const vmm::PageRange range{answer.page, 1};
  const auto asked = missing_.asked(answer.page);
  if (!asked && !early) throw ProtocolError("the source sent a page that nobody asked for");
  if (answer.encoding == wire::PageEncoding::zero) {
    std::ranges::fill(page_, std::byte{0});
    installer_.check_digest(answer.page, page_, answer.digest);
    return installer_.install_zero({&range, 1});
  }
  const bool compressed = answer.encoding == wire::PageEncoding::lz4;
  if (compressed) PageCodec::unpack(answer.data, page_);
  const std::span<const std::byte> page =
      compressed ? std::span<const std::byte>(page_) : answer.data;
  installer_.install({&range, 1}, page, {&answer.digest, 1});
  if (!early) choice_.answered(compressed, us_since(*asked));
}

void FaultLoop::check_deadline() const {
  if (!stream_ || !missing_.waits_longer_than(timeout_)) return;
  throw std::system_error(ETIMEDOUT, std::generic_category(),
                          "the source does not send a page that is waited for");
}

void FaultLoop::fail(std::exception_ptr why) {
  connected_ = false;
  stream_ = nullptr;
  if (!installer_.finished()) callbacks_.failed(why);
}

void FaultLoop::finish() {
  post([this] { complete(); });
}

void FaultLoop::complete() {
  if (installer_.finished()) return;
  callbacks_.complete(installer_.finish());
}

}  // namespace migration

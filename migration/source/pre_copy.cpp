#include "migration/source/pre_copy.hpp"

#include <fmt/format.h>

#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "migration/base/usage.hpp"

namespace migration::source {

namespace asio = boost::asio;
using net::Frame;
using wire::FrameType;

namespace {

constexpr double kStateBytesPerCpu = 16.0 * 1024;

}  // namespace

PreCopy::PreCopy(asio::io_context& context, const Parts& parts)
    : parts_(parts),
      free_pages_(context, parts.machine),
      driver_({.mode = parts.options.mode,
               .max_downtime = parts.options.max_downtime,
               .max_rounds = parts.options.max_rounds,
               .hot_last = parts.options.hot_last,
               .throttle = parts.options.throttle,
               .stop_policy = parts.options.stop_policy,
               .state_bytes = kStateBytesPerCpu * parts.machine.config().cpus}),
      timer_(context) {}

asio::awaitable<bool> PreCopy::run(bool may_switch, Drain& drain) {
  vmm::DirtyLog& log = parts_.machine.dirty_log();
  if (!log.active()) log.start();
  if (may_switch) driver_.allow_post_copy();
  auto kind = parts_.pages.compared() ? PreCopyDriver::Kind::given : PreCopyDriver::Kind::discovers;
  for (auto round = first_round(free_pages_.pages());;) {
    parts_.journal.phase(fmt::format("round {}", round->number()));
    co_await send_round(round, kind);
    parts_.check_guest();
    free_pages_.end();
    parts_.pages.left_out(round->left_out());
    parts_.pages.must_send(round->left());
    vmm::PageSet dirty = parts_.pages.to_send(log.read());
    parts_.pages.written(dirty);
    const PreCopyDriver::Next next = decide(*round, dirty.count());
    Step step = next.decision.step;
    if (step == Step::watch) step = co_await watch(dirty);
    if (step == Step::stop && co_await drain.within(parts_.options.max_downtime)) co_return false;
    if (step == Step::post_copy) co_return true;
    if (step == Step::throttle) parts_.machine.throttle(next.decision.throttle);
    kind = PreCopyDriver::Kind::given;
    round = std::make_shared<PreCopyRound>(driver_.next_round(), parts_.machine.memory(), &log,
                                           parts_.pages.take_to_send(std::move(dirty)));
  }
}

/// What the guest writes while it is watched is added to what is dirty.
asio::awaitable<Step> PreCopy::watch(vmm::PageSet& dirty) {
  vmm::DirtyLog& log = parts_.machine.dirty_log();
  const vmm::PageRange all{0, dirty.pages()};
  parts_.journal.phase("waiting for the guest to write less");
  log.clear(dirty, all);
  Step step = Step::watch;
  for (PreCopyDriver::Time from = parts_.journal.elapsed(); step == Step::watch;) {
    timer_.expires_after(driver_.watch_window());
    co_await timer_.async_wait(asio::use_awaitable);
    parts_.check_guest();
    co_await parts_.link.control().drained();  // throws where the link is lost meanwhile
    const PreCopyDriver::Time to = parts_.journal.elapsed();
    const vmm::PageSet written = log.read();
    log.clear(written, all);
    dirty |= written;
    step = driver_.watched({.from = from,
                            .to = to,
                            .cost = parts_.journal.elapsed() - to,
                            .written = written.count(),
                            .dirty_pages = dirty.count(),
                            .cap = parts_.link.limiter().rate()});
    from = to;
  }
  parts_.pages.must_send(dirty);
  parts_.journal.write([&](MigrationReport& report) { report.stop_wait = driver_.stop_wait(); });
  co_return step;
}

/// Of what differs from the image that the destination has, if it has one.
std::shared_ptr<PreCopyRound> PreCopy::first_round(FreePages* free) {
  vmm::GuestMemory& memory = parts_.machine.memory();
  vmm::DirtyLog* const log = &parts_.machine.dirty_log();
  if (free != nullptr) {
    return std::make_shared<PreCopyRound>(driver_.next_round(), memory, *log, *free);
  }
  if (!parts_.pages.compared()) {
    return std::make_shared<PreCopyRound>(driver_.next_round(), memory, log);
  }
  return std::make_shared<PreCopyRound>(driver_.next_round(), memory, log,
                                        parts_.pages.take_to_send());
}

PreCopyDriver::Next PreCopy::decide(const PreCopyRound& round, std::uint64_t dirty_pages) {
  parts_.journal.write([&](MigrationReport& report) {
    report.rounds.back().dirtied = dirty_pages;
    report.pages.held_back += round.held_back();
  });
  parts_.journal.account(parts_.pages);
  PreCopyDriver::Next next = driver_.decide({.dirty_pages = dirty_pages,
                                             .held_back = round.held_back(),
                                             .data_pages = sent().data_pages,
                                             .cap = parts_.link.limiter().rate()});
  parts_.journal.write([&](MigrationReport& report) {
    if (next.switched) report.switched = next.switched;
    report.stop_wait = driver_.stop_wait();
  });
  return next;
}

void PreCopy::look_at_writes() {
  vmm::DirtyLog& log = parts_.machine.dirty_log();
  if (!copying_ || !log.active()) return;
  const auto so_far = [this] {
    return PreCopyDriver::SoFar{copying_->taken_up(), copying_->count(),
                                resident_bytes(parts_.machine.memory()) / vmm::kPageSize};
  };
  auto from = parts_.journal.elapsed();
  if (driver_.wants_sample(from, so_far())) {
    copying_->watch_writes();
    driver_.sampled(from, parts_.journal.elapsed());
  }
  from = parts_.journal.elapsed();
  if (!driver_.wants_look(from)) return;
  const vmm::PageSet dirty = log.read();
  const auto to = parts_.journal.elapsed();
  if (driver_.looked(from, to, dirty, so_far(), sent())) copying_->stop();
}

asio::awaitable<void> PreCopy::send_round(std::shared_ptr<PreCopyRound> round,
                                          PreCopyDriver::Kind kind) {
  driver_.begin(kind, parts_.journal.elapsed(), sent());
  if (const auto all = round->all(); all && parts_.pages.selective()) {
    parts_.journal.must_travel(*all);
  }
  copying_ = round;
  parts_.link.start(round);
  const Frame landed = co_await parts_.link.expect(FrameType::landed);
  if (wire::decode_round(landed.payload) != round->number()) {
    throw wire::ProtocolError("the destination acknowledged another round than was sent");
  }
  copying_ = nullptr;
  parts_.pages.handed_out(round->handed_out());
  const RoundReport sent_now = driver_.landed(parts_.journal.elapsed(), sent());
  parts_.journal.write([&](MigrationReport& report) {
    report.rounds.push_back(sent_now);
    report.pages.resent = parts_.link.pages_sent() - parts_.pages.sent();
  });
}

PreCopyDriver::Sent PreCopy::sent() const {
  const PageCounters& counters = parts_.link.counters();
  return {.pages = parts_.link.pages_sent(),
          .data_pages = counters.data_pages(),
          .wire_bytes = counters.wire_bytes};
}

std::uint64_t PreCopy::take_rest() {
  vmm::GuestMemory& memory = parts_.machine.memory();
  const std::uint32_t number = driver_.next_round();
  if (parts_.options.mode == Mode::stop_and_copy && !parts_.pages.selective()) {
    rest_ = std::make_shared<PreCopyRound>(number, memory, nullptr);
  } else {
    rest_ = std::make_shared<PreCopyRound>(number, memory, nullptr, parts_.take_to_send());
  }
  return rest_->all().value_or(resident_bytes(memory) / vmm::kPageSize);
}

asio::awaitable<void> PreCopy::send_rest(const std::function<void()>& all_told) {
  if (!parts_.options.verify) all_told();
  co_await send_round(rest_, PreCopyDriver::Kind::last);
  parts_.journal.reached(Journal::Moment::landed);
  if (parts_.options.verify) {
    co_await parts_.send_digests(nullptr);
    all_told();
  }
  parts_.journal.account(parts_.pages);
}

MemoryTransfer::LastWord PreCopy::last_word() const {
  return {FrameType::last_round, rest_->number()};
}

void PreCopy::finish() {
  copying_ = nullptr;
  rest_ = nullptr;
}

std::optional<Journal::UnderWay> PreCopy::under_way() const {
  if (!copying_) return std::nullopt;
  const std::uint64_t sent = parts_.link.pages_sent() - driver_.sent_before().pages;
  return Journal::UnderWay{copying_->all(), sent + copying_->left_out_so_far(), driver_.measured()};
}

}  // namespace migration::source

#include <fmt/format.h>

#include <utility>

#include "migration/base/usage.hpp"
#include "migration/source/source.hpp"

/// The source's rounds of pre-copy, while the guest runs.
namespace migration {

namespace asio = boost::asio;
using net::Frame;
using wire::FrameType;

asio::awaitable<bool> OutgoingMigration::Source::pre_copy() {
  vmm::DirtyLog& log = machine_->dirty_log();
  if (!log.active()) log.start();
  if (no_post_copy_.empty()) driver_.allow_post_copy();
  auto kind = reuses() ? PreCopyDriver::Kind::given : PreCopyDriver::Kind::discovers;
  auto round = reuses()
                   ? std::make_shared<PreCopyRound>(driver_.next_round(), machine_->memory(), &log,
                                                    pages_.take_unsent())
                   : std::make_shared<PreCopyRound>(driver_.next_round(), machine_->memory(), &log);
  for (;;) {
    phase(fmt::format("round {}", round->number()));
    co_await send_round(round, kind);
    check_guest();
    pages_.keep_unsent(round->left());
    vmm::PageSet dirty = pages_.to_send(log.harvest());
    pages_.written(dirty);
    const std::uint64_t dirty_pages = dirty.count();
    {
      const std::lock_guard lock(mutex_);
      report_.rounds.back().dirtied = dirty_pages;
      report_.pages.held_back += round->held_back();
      count_pages();
    }
    PreCopyDriver::Next next = driver_.decide({.dirty_pages = dirty_pages,
                                               .held_back = round->held_back(),
                                               .data_pages = sent().data_pages,
                                               .cap = limiter_.rate()});
    if (next.switched) {
      const std::lock_guard lock(mutex_);
      report_.switched = std::move(next.switched);
      co_return true;
    }
    if (next.decision.step == Step::stop) co_return false;
    if (next.decision.step == Step::throttle) machine_->throttle(next.decision.throttle);
    kind = PreCopyDriver::Kind::given;
    round = std::make_shared<PreCopyRound>(driver_.next_round(), machine_->memory(), &log,
                                           pages_.take_unsent(std::move(dirty)));
  }
}

/// Within a round, now and then: what the driver wants to know of the guest's writes.
void OutgoingMigration::Source::look_at_writes() {
  // A migration that has just failed has no log any more.
  if (!copying_ || !machine_ || !machine_->dirty_log().active()) return;
  const auto so_far = [this] {
    return PreCopyDriver::SoFar{copying_->taken_up(), copying_->count(),
                                resident_bytes() / vmm::kPageSize};
  };
  auto from = now();
  if (driver_.wants_sample(from, so_far())) {
    copying_->watch_writes();
    driver_.sampled(from, now());
  }
  from = now();
  if (!driver_.wants_look(from)) return;
  const vmm::PageSet dirty = machine_->dirty_log().harvest();
  const auto to = now();
  if (driver_.looked(from, to, dirty, so_far(), sent())) copying_->stop();
}

asio::awaitable<void> OutgoingMigration::Source::send_round(std::shared_ptr<PreCopyRound> round,
                                                            PreCopyDriver::Kind kind) {
  driver_.begin(kind, now(), sent());
  if (reuses() && !to_travel_) to_travel_ = round->all();
  copying_ = round;
  for (const auto& sender : senders_) sender->start(round);
  const Frame landed = co_await expect(FrameType::landed);
  if (wire::decode_round(landed.payload) != round->number()) {
    throw wire::ProtocolError("the destination acknowledged another round than was sent");
  }
  copying_ = nullptr;
  pages_.handed_out(round->handed_out());
  const RoundReport sent_now = driver_.landed(now(), sent());
  const std::lock_guard lock(mutex_);
  report_.rounds.push_back(sent_now);
  report_.pages.resent = pages_sent() - pages_.sent();
}

PreCopyDriver::Sent OutgoingMigration::Source::sent() const {
  return {.pages = pages_sent(),
          .data_pages = counters_.raw + counters_.compressed,
          .wire_bytes = counters_.wire_bytes};
}

}  // namespace migration

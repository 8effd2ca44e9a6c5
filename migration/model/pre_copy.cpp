#include "migration/model/pre_copy.hpp"

#include <utility>

namespace migration::model {

namespace {

PreCopyDriver::Settings settings_of(const Scenario& scenario) {
  PreCopyDriver::Settings settings = scenario.settings;
  settings.state_bytes = scenario.guest.state_bytes;
  return settings;
}

}  // namespace

PreCopy::PreCopy(const Scenario& scenario, Copying& copying)
    : scenario_(scenario),
      copying_(copying),
      handed_out_(copying.guest().pages()),
      account_(copying.guest().pages()),
      driver_(settings_of(scenario)) {
  driver_.allow_post_copy();
  copying_.each_tick([this] { tick(); });
}

PreCopyDriver::SoFar PreCopy::so_far() const {
  return {round_->rest().first, round_->count(), copying_.guest().used()};
}

/// The source's thread does this while its channels send on.
void PreCopy::tick() {
  if (round_ == nullptr) return;
  Guest& guest = copying_.guest();
  const auto now = copying_.now();
  const auto looked = now + to_time(scenario_.hosts.look_seconds);
  if (driver_.wants_sample(now, so_far())) {
    if (!round_->watching()) {
      round_->watch();
      vmm::PageSet touched(guest.pages());
      guest.clear_touched(round_->rest(), touched);
    } else {
      vmm::PageSet written = guest.log();
      guest.clear(written, round_->rest());
      round_->sampled(std::move(written));
    }
    driver_.sampled(now, looked);
  }
  if (driver_.wants_look(now) &&
      driver_.looked(now, looked, guest.log(), so_far(), copying_.sent())) {
    round_->stop();
  }
}

/// A page's bit is cleared before the page is read. Of a stopped guest nothing need be.
void PreCopy::take_out_of_log(RoundPages& round, vmm::PageRange chunk) {
  if (round.discovers()) {
    copying_.guest().clear_touched(chunk, round.pages());
  } else if (!stopped_) {
    copying_.guest().clear(round.pages(), chunk);
  }
}

/// What is written from now on is a reason to send the page again, and nothing else is.
void PreCopy::note_versions(vmm::PageRange pages) {
  for (vmm::PageIndex page = pages.first; page < pages.end(); ++page) {
    const std::uint32_t version = copying_.guest().version(page);
    if (std::exchange(handed_out_[page], version) == version) ++needless_;
  }
}

void PreCopy::send_round(RoundPages& round, PreCopyDriver::Kind kind) {
  driver_.begin(kind, copying_.now(), copying_.sent());
  round_ = &round;
  while (const auto chunk = round.claim()) {
    take_out_of_log(round, *chunk);
    const std::vector<vmm::PageRange> runs = round.hand_out(*chunk);
    for (const vmm::PageRange& run : runs) note_versions(run);
    for (const vmm::PageRange& run : runs) copying_.send(run, driver_.round());
  }
  copying_.pass(scenario_.hosts.round_seconds);
  copying_.pass_round_trip();  // the pages there, and the word that they landed
  round_ = nullptr;
  account_.handed_out(round.handed_out());
  rounds_.push_back(driver_.landed(copying_.now(), copying_.sent()));
}

void PreCopy::run() {
  Guest& guest = copying_.guest();
  auto kind = PreCopyDriver::Kind::discovers;
  std::optional<RoundPages> round;
  if (scenario_.changed) {
    // The log has run since the VM came: it knows all that was written.
    kind = PreCopyDriver::Kind::given;
    vmm::PageSet touched(guest.pages());
    guest.clear_touched({0, guest.pages()}, touched);
    round.emplace(*scenario_.changed, scenario_.chunk);
  } else {
    round.emplace(guest.pages(), scenario_.chunk);
  }
  for (;;) {
    send_round(*round, kind);
    account_.must_send(round->left());
    vmm::PageSet dirty = account_.to_send(guest.log());
    rounds_.back().dirtied = dirty.count();
    held_back_ += round->held_back();
    PreCopyDriver::Next next = driver_.decide({.dirty_pages = rounds_.back().dirtied,
                                               .held_back = round->held_back(),
                                               .data_pages = copying_.sent().data_pages,
                                               .cap = scenario_.link.cap});
    last_ = next.decision;
    switched_ = std::move(next.switched);
    if (next.decision.step == Step::watch) last_.step = watch(dirty);
    if (switched_ || last_.step == Step::stop) return;
    copying_.throttle(next.decision.throttle);
    kind = PreCopyDriver::Kind::given;
    round.emplace(account_.take_to_send(std::move(dirty)), scenario_.chunk);
  }
}

/// What the guest writes while it is watched is added to what is dirty.
Step PreCopy::watch(vmm::PageSet& dirty) {
  Guest& guest = copying_.guest();
  const vmm::PageRange all{0, guest.pages()};
  guest.clear(dirty, all);
  Step step = Step::watch;
  for (auto from = copying_.now(); step == Step::watch;) {
    copying_.pass(to_seconds(driver_.watch_window()));
    const vmm::PageSet written = guest.log();
    guest.clear(written, all);
    dirty |= written;
    const auto to = copying_.now();
    copying_.pass(scenario_.hosts.look_seconds);
    step = driver_.watched({.from = from,
                            .to = to,
                            .cost = copying_.now() - to,
                            .written = written.count(),
                            .dirty_pages = dirty.count(),
                            .cap = scenario_.link.cap});
    from = to;
  }
  account_.must_send(dirty);
  return step;
}

vmm::PageSet PreCopy::take_rest() { return account_.take_to_send(copying_.guest().log()); }

void PreCopy::send_rest() {
  stopped_ = true;
  const bool all = scenario_.settings.mode == Mode::stop_and_copy && !scenario_.changed;
  RoundPages rest = all ? RoundPages(copying_.guest().pages(), scenario_.chunk)
                        : RoundPages(take_rest(), scenario_.chunk);
  send_round(rest, PreCopyDriver::Kind::last);
}

}  // namespace migration::model

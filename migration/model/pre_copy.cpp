#include "migration/model/pre_copy.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "migration/model/guest.hpp"
#include "migration/policy/page_account.hpp"

namespace migration::model {

namespace {

/// Pages that are read at one moment.
constexpr std::uint64_t kBatch = 16;
/// Frame headers and the like, for a batch.
constexpr std::uint64_t kBatchBytes = 24;
/// Of the offer and the handover, with their answers; the driver sees them in no round.
constexpr PreCopyDriver::Time kTick = PreCopyDriver::kAskEvery;

PreCopyDriver::Time to_time(double seconds) {
  return PreCopyDriver::Time(static_cast<std::int64_t>(seconds * 1e9));
}

double seconds(PreCopyDriver::Time time) { return static_cast<double>(time.count()) * 1e-9; }

PreCopyDriver::Settings settings_of(const Scenario& scenario) {
  PreCopyDriver::Settings settings = scenario.settings;
  settings.state_bytes = scenario.guest.state_bytes;
  return settings;
}

/// What the destination has of each page.
class Destination {
 public:
  explicit Destination(std::uint64_t pages) : pages_(pages) {}

  /// Whether it has it already, as it is.
  [[nodiscard]] bool has(const Guest& guest, vmm::PageIndex page) const {
    return pages_[page] == guest.version(page);
  }
  void take(const Guest& guest, vmm::PageIndex page) { pages_[page] = guest.version(page); }

 private:
  std::vector<std::uint32_t> pages_;  ///< versions; 0: nothing, and so zero
};

class Migration {
 public:
  explicit Migration(const Scenario& scenario)
      : scenario_(scenario),
        guest_(scenario.guest, scenario.seed),
        there_(scenario.guest.pages),
        handed_out_(scenario.guest.pages),
        account_(scenario.guest.pages),
        driver_(settings_of(scenario)) {
    driver_.allow_post_copy();
  }

  PreCopyOutcome run() {
    pre_copy();
    hand_over();
    outcome_.total_seconds = seconds(now_);
    return std::move(outcome_);
  }

 private:
  void pre_copy();
  void hand_over();
  void send_last_pages();
  void leave_missing();
  void send_round(RoundPages& round, PreCopyDriver::Kind kind);
  void take_out_of_log(RoundPages& round, vmm::PageRange chunk);
  void note_versions(vmm::PageRange pages);
  void send(vmm::PageRange pages);
  /// Time goes by, and the guest runs unless it is stopped.
  void pass(double seconds);
  void tick();
  void count_differences(const vmm::PageSet& missing);
  [[nodiscard]] PreCopyDriver::SoFar so_far() const;
  [[nodiscard]] double rate() const;

  const Scenario& scenario_;
  Guest guest_;
  Destination there_;
  std::vector<std::uint32_t> handed_out_;  ///< the version of each page when it last was
  PageAccount account_;
  PreCopyDriver driver_;
  PreCopyDriver::Time now_{};
  PreCopyDriver::Time next_tick_ = kTick;
  PreCopyDriver::Sent sent_;
  RoundPages* copying_ = nullptr;  ///< the round that is under way
  unsigned throttle_ = 0;
  bool stopped_ = false;
  PreCopyOutcome outcome_;
};

double Migration::rate() const {
  const Link& link = scenario_.link;
  if (link.cap == 0) return link.bytes_per_second;
  return std::min(link.bytes_per_second, static_cast<double>(link.cap));
}

PreCopyDriver::SoFar Migration::so_far() const {
  return {copying_->rest().first, copying_->count(), guest_.used()};
}

void Migration::pass(double duration) {
  const PreCopyDriver::Time end = now_ + to_time(duration);
  while (now_ < end) {
    now_ = std::min(end, next_tick_);
    if (!stopped_) guest_.run_until(seconds(now_), throttle_);
    if (now_ == next_tick_) tick();
  }
}

/// The source's thread does this while its channels send on.
void Migration::tick() {
  next_tick_ += kTick;
  if (copying_ == nullptr) return;
  const PreCopyDriver::Time looked = now_ + to_time(scenario_.hosts.look_seconds);
  if (driver_.wants_sample(now_, so_far())) {
    if (!copying_->watching()) {
      copying_->watch();
      vmm::PageSet touched(guest_.pages());
      guest_.clear_touched(copying_->rest(), touched);
    } else {
      vmm::PageSet written = guest_.log();
      guest_.clear(written, copying_->rest());
      copying_->sampled(std::move(written));
    }
    driver_.sampled(now_, looked);
  }
  if (driver_.wants_look(now_) && driver_.looked(now_, looked, guest_.log(), so_far(), sent_)) {
    copying_->stop();
  }
}

void Migration::send(vmm::PageRange pages) {
  for (vmm::PageIndex first = pages.first; first < pages.end(); first += kBatch) {
    const vmm::PageIndex end = std::min(first + kBatch, pages.end());
    std::uint64_t data = 0;
    for (vmm::PageIndex page = first; page < end; ++page) {
      if (!guest_.zero(page)) ++data;
      there_.take(guest_, page);
    }
    const auto bytes =
        static_cast<std::uint64_t>(static_cast<double>(data) * scenario_.guest.page_bytes) +
        kBatchBytes;
    sent_.pages += end - first;
    sent_.data_pages += data;
    sent_.wire_bytes += bytes;
    pass(std::max(static_cast<double>(bytes) / rate(),
                  static_cast<double>(end - first) * scenario_.hosts.page_seconds));
  }
}

/// A page's bit is cleared before the page is read. Of a stopped guest nothing is.
void Migration::take_out_of_log(RoundPages& round, vmm::PageRange chunk) {
  if (stopped_) return;
  if (round.discovers()) {
    guest_.clear_touched(chunk, round.pages());
  } else {
    guest_.clear(round.pages(), chunk);
  }
}

/// What is written from now on is a reason to send the page again, and nothing else is.
void Migration::note_versions(vmm::PageRange pages) {
  for (vmm::PageIndex page = pages.first; page < pages.end(); ++page) {
    const std::uint32_t version = guest_.version(page);
    if (std::exchange(handed_out_[page], version) == version) ++outcome_.needless;
  }
}

void Migration::send_round(RoundPages& round, PreCopyDriver::Kind kind) {
  driver_.begin(kind, now_, sent_);
  copying_ = &round;
  while (const auto chunk = round.claim()) {
    take_out_of_log(round, *chunk);
    const std::vector<vmm::PageRange> runs = round.hand_out(*chunk);
    for (const vmm::PageRange& run : runs) note_versions(run);
    for (const vmm::PageRange& run : runs) send(run);
  }
  pass(2 * scenario_.link.latency_seconds);  // the pages there, and the word that they landed
  copying_ = nullptr;
  account_.handed_out(round.handed_out());
  outcome_.rounds.push_back(driver_.landed(now_, sent_));
}

void Migration::pre_copy() {
  std::optional<RoundPages> round(std::in_place, guest_.pages(), scenario_.chunk);
  auto kind = PreCopyDriver::Kind::discovers;
  for (;;) {
    send_round(*round, kind);
    account_.must_send(round->left());
    vmm::PageSet dirty = account_.to_send(guest_.log());
    outcome_.rounds.back().dirtied = dirty.count();
    outcome_.held_back += round->held_back();
    PreCopyDriver::Next next = driver_.decide({.dirty_pages = outcome_.rounds.back().dirtied,
                                               .held_back = round->held_back(),
                                               .data_pages = sent_.data_pages,
                                               .cap = scenario_.link.cap});
    outcome_.why = next.decision.why;
    outcome_.predicted_downtime_seconds = next.decision.downtime_seconds;
    outcome_.switched = std::move(next.switched);
    if (outcome_.switched || next.decision.step == Step::stop) return;
    throttle_ = next.decision.throttle;
    kind = PreCopyDriver::Kind::given;
    round.emplace(account_.take_to_send(std::move(dirty)), scenario_.chunk);
  }
}

void Migration::hand_over() {
  const PreCopyDriver::Time start = now_;
  pass(scenario_.hosts.pause_seconds);
  stopped_ = true;
  pass(scenario_.hosts.save_seconds + scenario_.guest.state_bytes / rate());
  if (outcome_.switched) {
    leave_missing();
  } else {
    send_last_pages();
  }
  // The destination restores while the word that all landed travels; then `commit` and its answer.
  pass(scenario_.hosts.restore_seconds + 2 * scenario_.link.latency_seconds);
  outcome_.downtime_seconds = seconds(now_ - start);
  outcome_.wire_bytes = sent_.wire_bytes + static_cast<std::uint64_t>(scenario_.guest.state_bytes);
}

void Migration::send_last_pages() {
  RoundPages round(account_.take_to_send(guest_.log()), scenario_.chunk);
  send_round(round, PreCopyDriver::Kind::last);
  count_differences(vmm::PageSet(guest_.pages()));
}

/// For post-copy to bring: this is where it would begin.
void Migration::leave_missing() {
  const vmm::PageSet missing = account_.take_to_send(guest_.log());
  pass(2 * scenario_.link.latency_seconds);
  outcome_.missing = missing.count();
  count_differences(missing);
}

void Migration::count_differences(const vmm::PageSet& missing) {
  for (vmm::PageIndex page = 0; page < guest_.pages(); ++page) {
    if (!there_.has(guest_, page) && !missing.test(page)) ++outcome_.different;
  }
}

}  // namespace

PreCopyOutcome run_pre_copy(const Scenario& scenario) {
  assert(scenario.settings.mode != Mode::post_copy &&
         scenario.settings.mode != Mode::stop_and_copy);
  return Migration(scenario).run();
}

}  // namespace migration::model

#include "migration/model/copying.hpp"

#include <algorithm>
#include <utility>

#include "migration/model/run.hpp"

namespace migration::model {

namespace {

/// Pages that are read at one moment.
constexpr std::uint64_t kBatch = 16;
/// Frame headers and the like, for a batch.
constexpr double kBatchBytes = 24;

}  // namespace

PreCopyDriver::Time to_time(double seconds) {
  return PreCopyDriver::Time(static_cast<std::int64_t>(seconds * 1e9));
}

double to_seconds(PreCopyDriver::Time time) { return static_cast<double>(time.count()) * 1e-9; }

Copying::Copying(const Scenario& scenario, std::stop_token stop)
    : scenario_(scenario),
      stop_(std::move(stop)),
      guest_(make_guest(scenario)),
      bases_(scenario.deltas.bases),
      there_(guest_->pages()) {
  if (!scenario.changed) return;
  for (vmm::PageIndex page = 0; page < there_.size(); ++page) {
    if (!scenario.changed->test(page)) there_[page] = guest_->version(page);
  }
}

double Copying::seconds() const { return to_seconds(now_); }

double Copying::rate() const {
  const Link& link = scenario_.link;
  if (link.cap == 0) return link.bytes_per_second;
  return std::min(link.bytes_per_second, static_cast<double>(link.cap));
}

void Copying::pass(double duration) {
  const Time end = now_ + to_time(duration);
  while (now_ < end) {
    if (stop_.stop_requested()) throw Stopped();
    now_ = std::min(end, next_tick_);
    if (!stopped_) guest_->run_until(std::max(0.0, seconds() - waited_), throttle_);
    if (now_ != next_tick_) continue;
    next_tick_ += PreCopyDriver::kAskEvery;
    if (tick_) tick_();
  }
}

void Copying::pass_round_trip() { pass(2 * scenario_.link.latency_seconds); }

void Copying::start_guest() {
  stopped_ = false;
  throttle_ = 0;
}

void Copying::send(vmm::PageRange pages, std::uint32_t round) {
  for (vmm::PageIndex first = pages.first; first < pages.end(); first += kBatch) {
    const vmm::PageIndex end = std::min(first + kBatch, pages.end());
    std::uint64_t data = 0;
    std::uint64_t deltas = 0;
    double bytes = kBatchBytes;
    for (vmm::PageIndex page = first; page < end; ++page) {
      if (!guest_->zero(page)) {
        const bool delta = bases_.send(page, round);
        ++(delta ? deltas : data);
        bytes += delta ? scenario_.deltas.page_bytes : guest_->page_bytes(page);
      }
      there_[page] = guest_->version(page);
    }
    sent_.pages += end - first;
    sent_.data_pages += data + deltas;
    sent_.wire_bytes += static_cast<std::uint64_t>(bytes);
    const Hosts& hosts = scenario_.hosts;
    pass(std::max(bytes / rate(), static_cast<double>(end - first) * hosts.page_seconds +
                                      static_cast<double>(data) * hosts.data_seconds +
                                      static_cast<double>(deltas) * hosts.delta_seconds));
  }
}

void Copying::send_bytes(double bytes) {
  sent_.wire_bytes += static_cast<std::uint64_t>(bytes);
  pass(bytes / rate());
}

std::uint64_t Copying::different(const vmm::PageSet& missing) const {
  std::uint64_t pages = 0;
  for (vmm::PageIndex page = 0; page < there_.size(); ++page) {
    if (there_[page] != guest_->version(page) && !missing.test(page)) ++pages;
  }
  return pages;
}

}  // namespace migration::model

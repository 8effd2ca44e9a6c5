#include <unistd.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "vmm/ferry/say.hpp"
#include "vmm/ferry/session.hpp"

/// What `ferry info` tells.
namespace ferry {

using migration::IncomingMigration;
using migration::Outcome;
using nlohmann::json;

namespace {

/// Pages that are still to come, and how long the guest waited for those that it touched.
json fetching_json(const IncomingMigration::Status::Fetching& fetching) {
  const migration::LatencyHistogram& waits = fetching.latencies;
  json histogram = json::array();
  for (const auto& bucket : waits.buckets()) {
    histogram.push_back({{"up_to_us", bucket.upper_us}, {"count", bucket.count}});
  }
  return {{"missing", fetching.missing},
          {"faults",
           {{"count", waits.count()},
            {"p50_us", waits.percentile(50)},
            {"p99_us", waits.percentile(99)},
            {"max_us", waits.max()},
            {"histogram", std::move(histogram)}}}};
}

}  // namespace

std::string Session::state() const {
  if (lent()) {
    switch (outgoing_->live().outcome) {
      case Outcome::in_doubt: return "in-doubt";
      case Outcome::completed: return "gone";
      default: return "migrating";
    }
  }
  if (machine_) return machine_->running() ? "running" : "paused";
  if (keeper_) return "keeper";
  return incoming_ ? incoming_->status().state : "gone";
}

std::string Session::owner() const {
  if (lent()) return outgoing_->live().owner;
  if (const auto status = fetching(); status && status->missing > 0) {
    return incoming_->status().detail;
  }
  if (machine_) {
    return machine_->running() ? "this process runs the VM" : "this process has the VM, paused";
  }
  if (keeper_) return last_report_->owner + "; its image is kept here for its return";
  return incoming_ ? incoming_->status().detail : "the VM has left this process";
}

/// Post-copy: what the VM that arrived here still lacks.
std::optional<IncomingMigration::Status::Fetching> Session::fetching() const {
  if (!incoming_ || !machine_) return std::nullopt;
  return incoming_->status().fetching;
}

json Session::info() const {
  json arrival = nullptr;
  if (const auto status = fetching()) arrival = fetching_json(*status);
  json arrived_by = nullptr;
  if (incoming_) {
    if (const auto report = incoming_->status().report) arrived_by = migration::to_json(*report);
  }
  json migration = nullptr;
  if (lent()) {
    migration = migration::to_json(outgoing_->live());
  } else if (last_report_) {
    migration = migration::to_json(*last_report_);
  }
  return {{"state", state()},
          {"owner", owner()},
          {"id", id_},
          {"name", name_},
          {"cpus", cpus_},
          {"memory", memory_bytes_},
          {"pid", ::getpid()},
          {"version", FERRY_VERSION},
          {"messages_dropped", messages().dropped()},
          {"arrival", std::move(arrival)},
          {"arrived_by", std::move(arrived_by)},
          {"migration", std::move(migration)}};
}

}  // namespace ferry

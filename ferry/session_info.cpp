#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "ferry/say.hpp"
#include "ferry/session.hpp"

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
          {"link_lost", fetching.link_lost},
          {"faults",
           {{"count", waits.count()},
            {"p50_us", waits.percentile(50)},
            {"p99_us", waits.percentile(99)},
            {"max_us", waits.max()},
            {"histogram", std::move(histogram)}}}};
}

json receiving_json(const IncomingMigration::Status::Receiving& receiving) {
  return {{"phase", fmt::format("round {}", receiving.round)},
          {"round", receiving.round},
          {"pages", receiving.pages},
          {"wire_bytes", receiving.bytes}};
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
  if (machine_) {
    const auto status = fetching();
    const bool away = status && (status->link_lost || status->waits_for_room);
    if (away || (incoming_ && (exit_status_ || incoming_->status().unheard))) {
      return incoming_->status().detail;
    }
    return fmt::format(
        "this process {}{}", machine_->running() ? "runs the VM" : "has the VM, paused",
        status && status->missing > 0 ? "; pages that it lacks are still at the source" : "");
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
  json listening = nullptr;
  json receiving = nullptr;
  IncomingMigration::Status::Receiving vm{id_, name_, cpus_, memory_bytes_};
  if (incoming_) {
    const IncomingMigration::Status status = incoming_->status();
    if (status.listening) listening = migration::to_string(*status.listening);
    if (status.receiving && id_.empty()) {
      vm = *status.receiving;
      receiving = receiving_json(vm);
    }
  }
  return {{"state", state()},
          {"owner", owner()},
          {"id", vm.id},
          {"name", vm.name},
          {"cpus", vm.cpus},
          {"memory", vm.memory_bytes},
          {"pid", ::getpid()},
          {"version", FERRY_VERSION},
          {"messages_dropped", messages().dropped()},
          {"listening", std::move(listening)},
          {"receiving", std::move(receiving)},
          {"arrival", std::move(arrival)},
          {"arrived_by", std::move(arrived_by)},
          {"migration", std::move(migration)}};
}

}  // namespace ferry

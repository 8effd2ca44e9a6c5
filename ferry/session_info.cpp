#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "ferry/leaving.hpp"
#include "ferry/say.hpp"
#include "ferry/session.hpp"

/// What `ferry info` tells.
namespace ferry {

using migration::DestinationMigration;
using nlohmann::json;

namespace {

/// Pages that are still to come, and how long the guest waited for those that it touched.
json fetching_json(const DestinationMigration::Status::Fetching& fetching) {
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

json receiving_json(const DestinationMigration::Status::Receiving& receiving) {
  return {{"phase", fmt::format("round {}", receiving.round)},
          {"round", receiving.round},
          {"pages", receiving.pages},
          {"wire_bytes", receiving.bytes}};
}

}  // namespace

std::string Session::state() const {
  switch (vm_.place()) {
    case VmPlace::awaited: {
      const auto status = arrival_.status();
      return status ? status->state : "gone";
    }
    case VmPlace::here: return vm_.machine()->running() ? "running" : "paused";
    case VmPlace::lent:
    case VmPlace::gone: return std::string(state_of(departure_.leaving()));
    case VmPlace::kept: break;
  }
  return "keeper";
}

std::string Session::owner() const {
  switch (vm_.place()) {
    case VmPlace::awaited: {
      const auto status = arrival_.status();
      return status ? status->detail : "the VM has left this process";
    }
    case VmPlace::here: return owner_here();
    case VmPlace::lent:
    case VmPlace::gone: return departure_.live().owner;
    case VmPlace::kept: break;
  }
  return departure_.last_report()->owner + "; its image is kept here for its return";
}

std::string Session::owner_here() const {
  const auto arrival = arrival_.status();
  const auto lacks = arrival ? arrival->fetching : std::nullopt;
  const bool away = lacks && (lacks->link_lost || lacks->waits_for_room);
  if (arrival && (away || end_.begun() || arrival->unheard)) return arrival->detail;
  return fmt::format(
      "this process {}{}", vm_.machine()->running() ? "runs the VM" : "has the VM, paused",
      lacks && lacks->missing > 0 ? "; pages that it lacks are still at the source" : "");
}

json Session::devices_json() const {
  json list = json::array();
  for (const auto& known : devices_) {
    const auto device = known.lock();
    if (!device) continue;
    if (auto about = device->about(); !about.empty()) {
      list.push_back({{"id", device->id()}, {"about", std::move(about)}});
    }
  }
  return list;
}

json Session::info() const {
  const auto arrival = arrival_.status();
  json fetching = nullptr;
  if (const auto lacks = arrival_.fetching()) fetching = fetching_json(*lacks);
  json arrived_by = nullptr;
  if (arrival && arrival->report) arrived_by = migration::to_json(*arrival->report);
  json migration = nullptr;
  if (vm_.with_migration()) {
    migration = migration::to_json(departure_.live());
  } else if (departure_.last_report()) {
    migration = migration::to_json(*departure_.last_report());
  }
  json balloon = nullptr;
  if (balloon_) {
    const auto size = balloon_->size();
    balloon = {{"target", size.target}, {"actual", size.actual}};
  }
  json listening = nullptr;
  if (arrival && arrival->listening) listening = migration::to_string(*arrival->listening);
  json receiving = nullptr;
  DestinationMigration::Status::Receiving vm;
  if (const auto& config = vm_.config()) {
    vm = {config->id, config->name, config->cpus, config->memory_bytes};
  } else if (arrival && arrival->receiving) {
    vm = *arrival->receiving;
    receiving = receiving_json(vm);
  }
  return {{"state", state()},
          {"owner", owner()},
          {"id", vm.id},
          {"name", vm.name},
          {"cpus", vm.cpus},
          {"memory", vm.memory_bytes},
          {"balloon", std::move(balloon)},
          {"devices", devices_json()},
          {"pid", ::getpid()},
          {"version", FERRY_VERSION},
          {"messages_dropped", messages().dropped()},
          {"listening", std::move(listening)},
          {"receiving", std::move(receiving)},
          {"arrival", std::move(fetching)},
          {"arrived_by", std::move(arrived_by)},
          {"migration", std::move(migration)}};
}

}  // namespace ferry

#include "migration/base/report.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace migration {

namespace {

using nlohmann::json;

constexpr std::array kOutcomes = {Outcome::running, Outcome::completed, Outcome::cancelled,
                                  Outcome::failed, Outcome::in_doubt};

json or_null(const auto& value) { return value ? json(*value) : json(nullptr); }

json rounds_json(const std::vector<RoundReport>& rounds) {
  json list = json::array();
  for (const RoundReport& round : rounds) {
    list.push_back({{"pages", round.pages},
                    {"wire_bytes", round.wire_bytes},
                    {"duration_ms", round.duration_ms},
                    {"dirtied", round.dirtied},
                    {"throttle", round.throttle}});
  }
  return list;
}

json stop_wait_json(const std::optional<MigrationReport::StopWait>& wait) {
  if (!wait) return nullptr;
  return {{"ms", wait->ms},
          {"first_downtime_ms", wait->first_downtime_ms},
          {"downtime_ms", wait->downtime_ms}};
}

json pages_json(const MigrationReport::Pages& pages) {
  return {{"total", pages.total},
          {"unpopulated", pages.unpopulated},
          {"zero", pages.zero},
          {"raw", pages.raw},
          {"compressed", pages.compressed},
          {"zstd", pages.zstd},
          {"delta", pages.delta},
          {"reused", pages.reused},
          {"duplicate", pages.duplicate},
          {"handed_over", pages.handed_over},
          {"free", pages.free},
          {"held_back", pages.held_back},
          {"demand", pages.demand},
          {"pushed", pages.pushed},
          {"resent", pages.resent}};
}

}  // namespace

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::running: return "running";
    case Outcome::completed: return "completed";
    case Outcome::cancelled: return "cancelled";
    case Outcome::failed: return "failed";
    case Outcome::in_doubt: break;
  }
  return "in-doubt";
}

json to_json(const MigrationReport& report) {
  const auto& faults = report.faults;
  const auto& phases = report.phases_ms;
  return {
      {"outcome", to_string(report.outcome)},
      {"error", or_null(report.error)},
      {"owner", report.owner},
      {"mode", report.mode},
      {"switched", or_null(report.switched)},
      {"transport", report.transport},
      {"phase", report.phase},
      {"progress", report.progress},
      {"left_ms", or_null(report.left_ms)},
      {"total_ms", report.total_ms},
      {"downtime_ms", report.downtime_ms},
      {"wire_bytes", report.wire_bytes},
      {"wire_bytes_back", report.wire_bytes_back},
      {"channels", report.channels},
      {"pages", pages_json(report.pages)},
      {"saved_bytes", {{"delta", report.saved.delta}, {"duplicate", report.saved.duplicate}}},
      {"delta_cache_bytes", report.delta_cache_bytes},
      {"rounds", rounds_json(report.rounds)},
      {"stop_wait", stop_wait_json(report.stop_wait)},
      {"faults",
       {{"count", faults.count},
        {"p50_us", faults.p50_us},
        {"p99_us", faults.p99_us},
        {"max_us", faults.max_us}}},
      {"phases_ms",
       {{"drain", phases.drain},
        {"stop", phases.stop},
        {"last_pages", phases.last_pages},
        {"state", phases.state},
        {"restore", phases.restore},
        {"commit", phases.commit},
        {"verify", phases.verify}}},
      {"kept_image",
       {{"pages", report.kept_image.pages},
        {"bytes", report.kept_image.bytes},
        {"error", or_null(report.kept_image.error)}}},
      {"verified", or_null(report.verified)},
      {"cpu_seconds",
       {{"source", report.cpu_seconds_source}, {"destination", report.cpu_seconds_destination}}},
      {"peak_rss_bytes",
       {{"source", report.peak_rss_source}, {"destination", report.peak_rss_destination}}}};
}

MigrationReport report_from_json(const json& from) {
  MigrationReport report;
  const auto outcome = from.at("outcome").get<std::string>();
  const auto* const known = std::ranges::find(
      kOutcomes, outcome, [](Outcome each) { return std::string(to_string(each)); });
  if (known == kOutcomes.end()) throw std::invalid_argument("\"outcome\" is none that there is");
  report.outcome = *known;
  if (!from.at("error").is_null()) report.error = from.at("error").get<std::string>();
  from.at("owner").get_to(report.owner);
  from.at("mode").get_to(report.mode);
  if (const json& why = from.at("switched"); !why.is_null()) why.get_to(report.switched.emplace());
  from.at("transport").get_to(report.transport);
  from.at("phase").get_to(report.phase);
  report.progress = from.value("progress", 0.0);
  if (const auto left = from.find("left_ms"); left != from.end() && !left->is_null()) {
    report.left_ms = left->get<double>();
  }
  from.at("total_ms").get_to(report.total_ms);
  from.at("downtime_ms").get_to(report.downtime_ms);
  from.at("wire_bytes").get_to(report.wire_bytes);
  from.at("wire_bytes_back").get_to(report.wire_bytes_back);
  report.channels = from.value("channels", 0U);
  const json& pages = from.at("pages");
  pages.at("total").get_to(report.pages.total);
  pages.at("unpopulated").get_to(report.pages.unpopulated);
  pages.at("zero").get_to(report.pages.zero);
  pages.at("raw").get_to(report.pages.raw);
  pages.at("compressed").get_to(report.pages.compressed);
  // Not in the report of a peer that knows of none.
  report.pages.zstd = pages.value("zstd", std::uint64_t{0});
  report.pages.delta = pages.value("delta", std::uint64_t{0});
  report.pages.handed_over = pages.value("handed_over", std::uint64_t{0});
  if (const auto saved = from.find("saved_bytes"); saved != from.end()) {
    report.saved.delta = saved->value("delta", std::uint64_t{0});
    report.saved.duplicate = saved->value("duplicate", std::uint64_t{0});
  }
  report.delta_cache_bytes = from.value("delta_cache_bytes", std::uint64_t{0});
  pages.at("resent").get_to(report.pages.resent);
  pages.at("held_back").get_to(report.pages.held_back);
  pages.at("demand").get_to(report.pages.demand);
  pages.at("pushed").get_to(report.pages.pushed);
  pages.at("free").get_to(report.pages.free);
  pages.at("reused").get_to(report.pages.reused);
  pages.at("duplicate").get_to(report.pages.duplicate);
  const json& faults = from.at("faults");
  report.faults = {faults.at("count"), faults.at("p50_us"), faults.at("p99_us"),
                   faults.at("max_us")};
  for (const json& round : from.at("rounds")) {
    report.rounds.push_back({round.at("pages"), round.at("wire_bytes"), round.at("duration_ms"),
                             round.at("dirtied"), round.at("throttle")});
  }
  if (const auto wait = from.find("stop_wait"); wait != from.end() && !wait->is_null()) {
    report.stop_wait = {wait->at("ms"), wait->at("first_downtime_ms"), wait->at("downtime_ms")};
  }
  const json& phases = from.at("phases_ms");
  phases.at("drain").get_to(report.phases_ms.drain);
  phases.at("stop").get_to(report.phases_ms.stop);
  phases.at("last_pages").get_to(report.phases_ms.last_pages);
  phases.at("state").get_to(report.phases_ms.state);
  phases.at("restore").get_to(report.phases_ms.restore);
  phases.at("commit").get_to(report.phases_ms.commit);
  phases.at("verify").get_to(report.phases_ms.verify);
  const json& kept = from.at("kept_image");
  report.kept_image = {kept.at("pages"), kept.at("bytes")};
  if (kept.contains("error") && !kept.at("error").is_null()) {
    report.kept_image.error = kept.at("error").get<std::string>();
  }
  if (!from.at("verified").is_null()) report.verified = from.at("verified").get<bool>();
  from.at("cpu_seconds").at("source").get_to(report.cpu_seconds_source);
  from.at("cpu_seconds").at("destination").get_to(report.cpu_seconds_destination);
  from.at("peak_rss_bytes").at("source").get_to(report.peak_rss_source);
  from.at("peak_rss_bytes").at("destination").get_to(report.peak_rss_destination);
  return report;
}

}  // namespace migration

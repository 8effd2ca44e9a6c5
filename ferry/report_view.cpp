#include "ferry/report_view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>

#include "ferry/units.hpp"
#include "migration/policy/progress.hpp"

namespace ferry {

namespace {

using migration::MigrationReport;

constexpr std::size_t kBarWidth = 28;
/// Of a terminal that does not tell.
constexpr std::size_t kUsualColumns = 80;

std::uint64_t pages_sent(const MigrationReport& report) {
  return report.pages.zero + report.pages.raw + report.pages.compressed + report.pages.delta;
}

/// As many of its parts, which commas separate, as fit without what aligns them; else `least`.
std::string shortened(std::string line, std::size_t columns, std::string_view least) {
  if (line.size() <= columns) return line;
  const auto blanks = [](char left, char right) { return left == ' ' && right == ' '; };
  line.erase(std::unique(line.begin(), line.end(), blanks), line.end());
  if (line.size() <= columns) return line;
  const std::size_t comma = line.rfind(", ", columns);
  return comma != std::string::npos ? line.substr(0, comma) : std::string(least.substr(0, columns));
}

void row(std::string& table, std::string_view name, const std::string& value) {
  fmt::format_to(std::back_inserter(table), "  {:<14}{}\n", name, value);
}

}  // namespace

namespace {

double fraction_done(const MigrationReport& report) {
  return std::clamp(report.progress / migration::Progress::kDone, 0.0, 1.0);
}

std::string percent_done(const MigrationReport& report) {
  return fmt::format("{:3} %", static_cast<unsigned>(fraction_done(report) * 100));
}

std::string time_left(const MigrationReport& report) {
  return report.left_ms ? fmt::format(", {:.1f} s left", *report.left_ms / 1000) : "";
}

std::string progress_words(const MigrationReport& report) {
  const double seconds = report.total_ms / 1000;
  const auto rate =
      seconds > 0 ? static_cast<std::uint64_t>(static_cast<double>(report.wire_bytes) / seconds)
                  : 0;
  std::string line =
      fmt::format("{:<10} {:>10} sent, {:>10}/s, {}", report.phase, format_bytes(report.wire_bytes),
                  format_bytes(rate), format_milliseconds(report.total_ms));
  line += time_left(report);
  if (!report.rounds.empty()) {
    const migration::RoundReport& last = report.rounds.back();
    line += fmt::format(", {} pages dirtied meanwhile", format_count(last.dirtied));
    if (last.throttle > 0) line += fmt::format(", guest slowed by {} %", last.throttle);
  }
  return line;
}

}  // namespace

std::string progress_line(const MigrationReport& report) {
  return percent_done(report) + ' ' + progress_words(report);
}

/// The last column stays free: some terminals go on to the next line with it.
std::string progress_bar(const MigrationReport& report, std::size_t columns) {
  const std::size_t room = (columns == 0 ? kUsualColumns : columns) - 1;
  const std::string percent = percent_done(report);
  const std::size_t width = std::min(kBarWidth, room / 4);
  const auto filled = static_cast<std::size_t>(fraction_done(report) * static_cast<double>(width));
  const std::string bar = fmt::format("[{}{}] {} ", std::string(filled, '='),
                                      std::string(width - filled, ' '), percent);
  if (bar.size() > room) return percent.substr(0, room);
  return bar + shortened(progress_words(report), room - bar.size(), report.phase);
}

namespace {

void add_downtime(std::string& table, const MigrationReport& report) {
  const auto& phases = report.phases_ms;
  if (report.downtime_ms <= 0) return;
  row(table, "downtime",
      fmt::format(
          "{} (stop {:.2f}, last pages {:.2f}, state {:.2f}, restore {:.2f}, commit {:.2f})",
          format_milliseconds(report.downtime_ms), phases.stop, phases.last_pages, phases.state,
          phases.restore, phases.commit));
}

void add_stop_wait(std::string& table, const std::optional<MigrationReport::StopWait>& wait) {
  if (!wait) return;
  row(table, "waited",
      fmt::format("{} for the guest to write less: a stop of {} became one of {}, by prediction",
                  format_milliseconds(wait->ms), format_milliseconds(wait->first_downtime_ms),
                  format_milliseconds(wait->downtime_ms)));
}

void add_pages(std::string& table, const MigrationReport::Pages& pages) {
  row(table, "pages",
      fmt::format("{} in all: {}{} zero, {} raw, {} compressed{}{}", format_count(pages.total),
                  // Not known before the first round has ended.
                  pages.unpopulated > 0
                      ? fmt::format("{} never touched, ", format_count(pages.unpopulated))
                      : "",
                  format_count(pages.zero), format_count(pages.raw), format_count(pages.compressed),
                  pages.zstd > 0 ? fmt::format(" ({} by zstd)", format_count(pages.zstd)) : "",
                  pages.delta > 0 ? fmt::format(", {} deltas", format_count(pages.delta)) : ""));
  if (pages.held_back > 0) {
    row(table, "held back",
        fmt::format("{} pages that the guest wrote again and again, from the first round",
                    format_count(pages.held_back)));
  }
  if (pages.handed_over > 0) {
    row(table, "handed over", "the memory itself, to a process of this host");
  }
  if (pages.reused + pages.duplicate > 0) {
    row(table, "not sent",
        fmt::format("{} pages reused, {} had elsewhere", format_count(pages.reused),
                    format_count(pages.duplicate)));
  }
}

void add_free(std::string& table, const MigrationReport::Pages& pages) {
  if (pages.free == 0) return;
  row(table, "left out",
      fmt::format("{} pages that the guest does without", format_count(pages.free)));
}

void add_post_copy(std::string& table, const MigrationReport& report) {
  if (report.pages.demand + report.pages.pushed == 0) return;
  row(table, "post-copy",
      fmt::format("{} pages waited for, {} pushed", format_count(report.pages.demand),
                  format_count(report.pages.pushed)));
  if (report.faults.count == 0) return;
  row(table, "faults",
      fmt::format("{}: half within {:.0f} us, 99 % within {:.0f} us, all within {:.0f} us",
                  format_count(report.faults.count), report.faults.p50_us, report.faults.p99_us,
                  report.faults.max_us));
}

void add_kept_image(std::string& table, const MigrationReport::KeptImage& kept) {
  if (kept.error) row(table, "kept image", "none: " + *kept.error);
  if (kept.pages == 0) return;
  row(table, "kept image",
      fmt::format("{} pages, {}", format_count(kept.pages), format_bytes(kept.bytes)));
}

/// The destination says what it took at the end only.
void add_usage(std::string& table, const MigrationReport& report) {
  const bool both = report.peak_rss_destination > 0;
  row(table, "CPU time",
      fmt::format("{:.2f} s source", report.cpu_seconds_source) +
          (both ? fmt::format(", {:.2f} s destination", report.cpu_seconds_destination) : ""));
  row(table, "peak memory",
      fmt::format("{} source", format_bytes(report.peak_rss_source)) +
          (both ? fmt::format(", {} destination", format_bytes(report.peak_rss_destination)) : ""));
}

void add_rounds(std::string& table, const std::vector<migration::RoundReport>& rounds) {
  if (rounds.empty()) return;
  table += "  round        pages       on wire          time       dirtied\n";
  for (std::size_t index = 0; index < rounds.size(); ++index) {
    const migration::RoundReport& round = rounds[index];
    fmt::format_to(std::back_inserter(table), "  {:>5} {:>12} {:>13} {:>13} {:>13}{}\n", index + 1,
                   format_count(round.pages), format_bytes(round.wire_bytes),
                   format_milliseconds(round.duration_ms), format_count(round.dirtied),
                   round.throttle > 0 ? fmt::format("  slowed by {} %", round.throttle) : "");
  }
}

}  // namespace

std::string report_table(const MigrationReport& report) {
  std::string table;
  row(table, "outcome",
      fmt::format("{} ({} over {})", migration::to_string(report.outcome), report.mode,
                  report.transport));
  const bool goes_on = report.outcome == migration::Outcome::running ||
                       report.outcome == migration::Outcome::in_doubt;
  if (goes_on) {
    row(table, "phase",
        fmt::format("{}; {} % done", report.phase, static_cast<unsigned>(report.progress)) +
            time_left(report));
  }
  if (report.error) row(table, "error", *report.error);
  row(table, "owner", report.owner);
  return table + figures_table(report);
}

std::string figures_table(const MigrationReport& report) {
  std::string table;
  const bool completed = report.outcome == migration::Outcome::completed;
  if (!completed && pages_sent(report) == 0) return table;
  if (report.switched) row(table, "switched", "to post-copy: " + *report.switched);
  row(table, "total", format_milliseconds(report.total_ms));
  add_downtime(table, report);
  add_stop_wait(table, report.stop_wait);
  row(table, "on the wire",
      fmt::format("{} sent, {} back", format_bytes(report.wire_bytes),
                  format_bytes(report.wire_bytes_back)));
  add_pages(table, report.pages);
  add_free(table, report.pages);
  add_post_copy(table, report);
  add_kept_image(table, report.kept_image);
  if (report.verified) {
    row(table, "verified",
        fmt::format("{}, in {}", *report.verified ? "every byte of RAM and state" : "no",
                    format_milliseconds(report.phases_ms.verify)));
  }
  add_usage(table, report);
  add_rounds(table, report.rounds);
  return table;
}

namespace {

void add_receiving(std::string& table, const nlohmann::json& receiving) {
  row(table, "receiving",
      fmt::format("{}; {} pages have landed, {}", receiving.at("phase").get<std::string>(),
                  format_count(receiving.at("pages").get<std::uint64_t>()),
                  format_bytes(receiving.at("wire_bytes").get<std::uint64_t>())));
}

void add_arrival(std::string& table, const nlohmann::json& arrival) {
  const auto& faults = arrival.at("faults");
  const auto count = faults.at("count").get<std::uint64_t>();
  row(table, "arrival",
      fmt::format("{} pages missing; ", format_count(arrival.at("missing").get<std::uint64_t>())) +
          (count == 0 ? "no faults"
                      : fmt::format("{} faults, half within {:.0f} us, 99 % within {:.0f} us",
                                    format_count(count), faults.at("p50_us").get<double>(),
                                    faults.at("p99_us").get<double>())));
  if (arrival.value("link_lost", false)) {
    row(table, "link", "lost: the source is expected to come back");
  }
}

/// Null also where whoever answers does not know the field.
nlohmann::json part(const nlohmann::json& info, const char* name) {
  return info.value(name, nlohmann::json(nullptr));
}

}  // namespace

std::string info_table(const nlohmann::json& info) {
  std::string table;
  row(table, "state", info.at("state").get<std::string>());
  row(table, "owner", info.at("owner").get<std::string>());
  if (const auto id = info.at("id").get<std::string>(); !id.empty()) {
    row(table, "name", info.at("name").get<std::string>());
    row(table, "id", id);
    row(table, "machine",
        fmt::format("{} vCPU, {} of memory", info.at("cpus").get<unsigned>(),
                    format_bytes(info.at("memory").get<std::uint64_t>())));
  }
  if (const auto balloon = part(info, "balloon"); !balloon.is_null()) {
    row(table, "balloon",
        fmt::format("{} of {} that the guest is asked for",
                    format_bytes(balloon.at("actual").get<std::uint64_t>()),
                    format_bytes(balloon.at("target").get<std::uint64_t>())));
  }
  for (const auto& device : info.value("devices", nlohmann::json::array())) {
    row(table, device.at("id").get<std::string>(), device.at("about").get<std::string>());
  }
  if (const auto listening = part(info, "listening"); !listening.is_null()) {
    row(table, "listening", "on " + listening.get<std::string>());
  }
  if (const auto receiving = part(info, "receiving"); !receiving.is_null()) {
    add_receiving(table, receiving);
  }
  if (const auto arrival = part(info, "arrival"); !arrival.is_null()) add_arrival(table, arrival);
  row(table, "process", fmt::format("{}", info.at("pid").get<int>()));
  if (const auto& migration = info.at("migration"); !migration.is_null()) {
    table += "migration:\n" + report_table(migration::report_from_json(migration));
  }
  if (const auto report = part(info, "arrived_by"); !report.is_null()) {
    const MigrationReport arrival = migration::report_from_json(report);
    table += fmt::format("arrived by {} over {}:\n", arrival.mode, arrival.transport) +
             figures_table(arrival);
  }
  return table;
}

}  // namespace ferry

#include "vmm/ferry/report_view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>

#include "vmm/ferry/units.hpp"

namespace ferry {

namespace {

using migration::MigrationReport;

constexpr unsigned kBarWidth = 28;

std::uint64_t pages_sent(const MigrationReport& report) {
  return report.pages.zero + report.pages.raw + report.pages.compressed;
}

/// Of the pages that the guest has, which are all of them until the first round has found out.
double fraction_sent(const MigrationReport& report) {
  const auto& pages = report.pages;
  const auto all =
      static_cast<double>(pages.total - pages.unpopulated - pages.reused - pages.duplicate);
  const auto sent = static_cast<double>(pages_sent(report) - report.pages.resent);
  return all <= 0 ? 1 : std::min(sent / all, 1.0);
}

void row(std::string& table, std::string_view name, const std::string& value) {
  fmt::format_to(std::back_inserter(table), "  {:<14}{}\n", name, value);
}

}  // namespace

std::string progress_line(const MigrationReport& report) {
  const double seconds = report.total_ms / 1000;
  const auto rate =
      seconds > 0 ? static_cast<std::uint64_t>(static_cast<double>(report.wire_bytes) / seconds)
                  : 0;
  std::string line =
      fmt::format("{:<10} {:>10} sent, {:>10}/s, {}", report.phase, format_bytes(report.wire_bytes),
                  format_bytes(rate), format_milliseconds(report.total_ms));
  if (!report.rounds.empty()) {
    const migration::RoundReport& last = report.rounds.back();
    line += fmt::format(", {} pages dirtied meanwhile", format_count(last.dirtied));
    if (last.throttle > 0) line += fmt::format(", guest slowed by {} %", last.throttle);
  }
  return line;
}

std::string progress_bar(const MigrationReport& report) {
  const double fraction = fraction_sent(report);
  const auto filled = static_cast<unsigned>(fraction * kBarWidth);
  return fmt::format("[{}{}] {:3.0f} % {}", std::string(filled, '='),
                     std::string(kBarWidth - filled, ' '), fraction * 100, progress_line(report));
}

std::string report_table(const MigrationReport& report) {
  std::string table;
  row(table, "outcome",
      fmt::format("{} ({} over {})", migration::to_string(report.outcome), report.mode,
                  report.transport));
  if (report.error) row(table, "error", *report.error);
  row(table, "owner", report.owner);
  if (report.switched) row(table, "switched", "to post-copy: " + *report.switched);
  row(table, "total", format_milliseconds(report.total_ms));
  const auto& phases = report.phases_ms;
  if (report.downtime_ms > 0) {
    row(table, "downtime",
        fmt::format("{} (stop {:.2f}, last pages {:.2f}, state {:.2f}, restore {:.2f}, commit "
                    "{:.2f})",
                    format_milliseconds(report.downtime_ms), phases.stop, phases.last_pages,
                    phases.state, phases.restore, phases.commit));
  }
  row(table, "on the wire",
      fmt::format("{} sent, {} back", format_bytes(report.wire_bytes),
                  format_bytes(report.wire_bytes_back)));
  row(table, "pages",
      fmt::format("{} in all: {} never touched, {} zero, {} raw, {} compressed",
                  format_count(report.pages.total), format_count(report.pages.unpopulated),
                  format_count(report.pages.zero), format_count(report.pages.raw),
                  format_count(report.pages.compressed)));
  if (report.pages.held_back > 0) {
    row(table, "held back",
        fmt::format("{} pages that the guest wrote again and again, from the first round",
                    format_count(report.pages.held_back)));
  }
  if (report.pages.reused + report.pages.duplicate > 0) {
    row(table, "not sent",
        fmt::format("{} pages reused, {} had elsewhere", format_count(report.pages.reused),
                    format_count(report.pages.duplicate)));
  }
  if (report.pages.demand + report.pages.pushed > 0) {
    row(table, "post-copy",
        fmt::format("{} pages waited for, {} pushed", format_count(report.pages.demand),
                    format_count(report.pages.pushed)));
    row(table, "faults",
        fmt::format("{}: half within {:.0f} us, 99 % within {:.0f} us, all within {:.0f} us",
                    format_count(report.faults.count), report.faults.p50_us, report.faults.p99_us,
                    report.faults.max_us));
  }
  if (report.kept_image.pages > 0) {
    row(table, "kept image",
        fmt::format("{} pages, {}", format_count(report.kept_image.pages),
                    format_bytes(report.kept_image.bytes)));
  }
  if (report.verified) {
    row(table, "verified",
        fmt::format("{}, in {}", *report.verified ? "every byte of RAM and state" : "no",
                    format_milliseconds(phases.verify)));
  }
  row(table, "CPU time",
      fmt::format("{:.2f} s source, {:.2f} s destination", report.cpu_seconds_source,
                  report.cpu_seconds_destination));
  row(table, "peak memory",
      fmt::format("{} source, {} destination", format_bytes(report.peak_rss_source),
                  format_bytes(report.peak_rss_destination)));
  if (!report.rounds.empty()) {
    table += "  round        pages       on wire          time       dirtied\n";
  }
  for (std::size_t index = 0; index < report.rounds.size(); ++index) {
    const migration::RoundReport& round = report.rounds[index];
    fmt::format_to(std::back_inserter(table), "  {:>5} {:>12} {:>13} {:>13} {:>13}{}\n", index + 1,
                   format_count(round.pages), format_bytes(round.wire_bytes),
                   format_milliseconds(round.duration_ms), format_count(round.dirtied),
                   round.throttle > 0 ? fmt::format("  slowed by {} %", round.throttle) : "");
  }
  return table;
}

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
  if (const auto& arrival = info.at("arrival"); !arrival.is_null()) {
    const auto& faults = arrival.at("faults");
    row(table, "arrival",
        fmt::format("{} pages missing; {} faults, half within {:.0f} us, 99 % within {:.0f} us",
                    format_count(arrival.at("missing").get<std::uint64_t>()),
                    format_count(faults.at("count").get<std::uint64_t>()),
                    faults.at("p50_us").get<double>(), faults.at("p99_us").get<double>()));
  }
  row(table, "process", fmt::format("{}", info.at("pid").get<int>()));
  if (const auto& migration = info.at("migration"); !migration.is_null()) {
    table += "migration:\n" + report_table(migration::report_from_json(migration));
  }
  return table;
}

}  // namespace ferry

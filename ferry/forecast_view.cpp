#include "ferry/forecast_view.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>

#include "ferry/units.hpp"
#include "vmm/memory/guest_address.hpp"

namespace ferry {

using nlohmann::json;

namespace {

std::uint64_t whole(const json& value) { return static_cast<std::uint64_t>(value.get<double>()); }

void named(std::string& table, std::string_view name, const std::string& value) {
  fmt::format_to(std::back_inserter(table), "  {:<14}{}\n", name, value);
}

std::string mode_line(const std::string& name, const json& mode) {
  const json& range = mode.at("downtime_ms_range");
  return fmt::format("  {:<10} {:>12} {:>12} {:>12} - {:<12} {:>12} {:>6}  {:<9} {:>8.1f}\n", name,
                     format_milliseconds(mode.at("total_ms").get<double>()),
                     format_milliseconds(mode.at("downtime_ms").get<double>()),
                     format_milliseconds(range.at(0).get<double>()),
                     format_milliseconds(range.at(1).get<double>()),
                     format_bytes(mode.at("wire_bytes").get<std::uint64_t>()),
                     mode.at("rounds").get<std::uint64_t>(),
                     mode.at("converges").get<bool>() ? "yes" : "no",
                     mode.at("joules").get<double>());
}

}  // namespace

std::string forecast_table(const json& forecast) {
  std::string table;
  named(table, "link",
        fmt::format("{}/s, {} there", format_bytes(whole(forecast.at("bandwidth"))),
                    format_milliseconds(forecast.at("latency_ms").get<double>())));
  named(table, "pages",
        fmt::format("{} in use, {:.0f} % of them zero; of the others {:.0f} % have a duplicate",
                    format_count(whole(forecast.at("used_pages"))),
                    100 * forecast.at("zero_share").get<double>(),
                    100 * forecast.at("duplicate_share").get<double>()));
  named(table, "writes",
        fmt::format("{} pages in a second, {} in ten",
                    format_count(whole(forecast.at("dirty_pages_per_s"))),
                    format_count(whole(forecast.at("working_set_pages")))));
  named(table, "compression",
        forecast.at("compressed").get<bool>() ? "where pages shrink" : "none");
  table +=
      "  mode              total     downtime            from - to                  bytes rounds  "
      "converges   joules\n";
  for (const auto& [name, mode] : forecast.at("modes").items()) table += mode_line(name, mode);
  named(table, "energy", "by " + forecast.at("energy").at("source").get<std::string>());
  named(table, "choice",
        fmt::format("{}: {}", forecast.at("choice").get<std::string>(),
                    forecast.at("why").get<std::string>()));
  return table;
}

}  // namespace ferry

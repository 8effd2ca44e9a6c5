#include "ferry/forecast_request.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

namespace ferry {
namespace {

using nlohmann::json;

json with(const char* field, const json& value) {
  json request = {{"max_bandwidth", 1e6}};
  request[field] = value;
  return request;
}

TEST(ForecastRequest, NeedsALink) {
  EXPECT_THROW(static_cast<void>(forecast_request_from_json(json::object())),
               std::invalid_argument);
  EXPECT_THROW(static_cast<void>(forecast_request_from_json({{"max_bandwidth", 0}})),
               std::invalid_argument);
  EXPECT_FALSE(forecast_request_from_json({{"max_bandwidth", 1}}).probes);
  EXPECT_TRUE(forecast_request_from_json({{"to", "unix:/a"}}).probes);
}

TEST(ForecastRequest, RefusesWhatIsOutOfBounds) {
  const std::string long_text(300, 'x');
  const json sound = {{"joules_per_byte", 0}, {"joules", 1}, {"source", "x"}};
  const auto energy = [&](const char* field, const json& value) {
    json changed = sound;
    changed[field] = value;
    return with("energy", changed);
  };
  ASSERT_NO_THROW(static_cast<void>(forecast_request_from_json(with("energy", sound))));
  const json wrong[] = {
      with("to", 1),
      with("to", "tcp:0.0.0.0:1"),
      with("to", "unix:" + long_text),
      with("to", std::string("unix:/a\0b", 9)),
      with("mode", "fast"),
      with("max_downtime_ms", -1),
      with("max_downtime_ms", 1e300),
      with("max_rounds", 0),
      with("max_rounds", -1),
      with("max_rounds", 1'000'001),
      with("max_rounds", 1.5),
      with("max_rounds", 18'446'744'073'709'551'615ULL),
      with("max_bandwidth", -1),
      with("max_bandwidth", 0.5),
      with("max_bandwidth", 1e16),
      with("max_bandwidth", "fast"),
      with("compression", "all"),
      with("delta_cache", -1),
      with("channels", 0),
      with("channels", 17),
      with("prepaging", 1),
      with("hot_last", 1),
      with("throttle", nullptr),
      with("timeout_ms", 9),
      with("timeout_ms", 1e9),
      with("energy", nullptr),
      with("energy", json::array()),
      with("energy", {{"joules", 1}}),
      energy("more", 1),
      energy("joules", -1),
      energy("joules", 1e300),
      energy("joules", "1"),
      energy("joules_per_byte", 1.5),
      energy("source", ""),
      energy("source", 1),
      energy("source", long_text),
      with("other", 1),
  };
  for (const json& request : wrong) {
    EXPECT_THROW(static_cast<void>(forecast_request_from_json(request)), std::invalid_argument)
        << request;
  }
}

TEST(ForecastRequest, IsReadAsItIsWritten) {
  const json request = {{"to", "unix:/a"}, {"max_rounds", 7}, {"delta_cache", 4096}};
  const ForecastRequest read = forecast_request_from_json(request);
  EXPECT_EQ(read.options.max_rounds, 7U);
  EXPECT_EQ(read.options.delta_cache, 4096U);
  EXPECT_EQ(to_json(forecast_request_from_json(to_json(read))), to_json(read));
}

}  // namespace
}  // namespace ferry

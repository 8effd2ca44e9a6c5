#include "ferry/migrate_request.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

namespace ferry {
namespace {

using migration::MigrateOptions;
using migration::MigrateSettings;
using nlohmann::json;

std::string request_refusal(const json& request) {
  try {
    static_cast<void>(migrate_options_from_json(request));
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST(MigrateRequest, CarriesEveryOption) {
  MigrateOptions options;
  options.to = migration::parse_address("tcp:host:7000");
  options.mode = migration::Mode::stop_and_copy;
  options.max_downtime = std::chrono::microseconds(1500);
  options.max_rounds = 7;
  options.max_bandwidth = 125'000'000;
  options.compression = migration::Compression::lz4;
  options.delta_cache = 0;
  options.channels = 3;
  options.prepaging = migration::Prepaging::linear;
  options.stop_policy = migration::StopPolicy::density;
  options.hot_last = false;
  options.throttle = true;
  options.verify = true;
  options.timeout = std::chrono::milliseconds(750);
  const MigrateOptions back = migrate_options_from_json(to_json(options));
  EXPECT_EQ(back.to, options.to);
  EXPECT_EQ(back.mode, options.mode);
  EXPECT_EQ(back.max_downtime, options.max_downtime);
  EXPECT_EQ(back.max_rounds, options.max_rounds);
  EXPECT_EQ(back.max_bandwidth, options.max_bandwidth);
  EXPECT_EQ(back.compression, options.compression);
  EXPECT_EQ(back.delta_cache, options.delta_cache);
  EXPECT_EQ(back.channels, options.channels);
  EXPECT_EQ(back.prepaging, options.prepaging);
  EXPECT_EQ(back.stop_policy, options.stop_policy);
  EXPECT_FALSE(back.hot_last);
  EXPECT_TRUE(back.throttle);
  EXPECT_TRUE(back.verify);
  EXPECT_EQ(back.timeout, options.timeout);
}

TEST(MigrateRequest, NeedsTheAddressAlone) {
  const MigrateOptions options = migrate_options_from_json({{"to", "unix:/run/b"}});
  EXPECT_EQ(options.to.path, "/run/b");
  EXPECT_EQ(options.max_downtime, MigrateOptions().max_downtime);
  EXPECT_EQ(options.channels, MigrateOptions().channels);
  EXPECT_EQ(options.mode, migration::Mode::automatic);
  EXPECT_EQ(options.prepaging, migration::Prepaging::bubbling);
  EXPECT_TRUE(options.hot_last);
}

TEST(MigrateRequest, LeavesTheNumberOfChannelsOpenUnlessItIsGiven) {
  MigrateOptions options;
  options.to = migration::parse_address("unix:/run/b");
  EXPECT_FALSE(to_json(options).contains("channels"));
  EXPECT_EQ(migrate_options_from_json({{"to", "unix:/b"}, {"channels", "auto"}}).channels,
            std::nullopt);
}

TEST(MigrateRequest, LeavesTheNumberOfRoundsToTheModeUnlessItIsGiven) {
  MigrateOptions options;
  options.to = migration::parse_address("unix:/run/b");
  EXPECT_FALSE(to_json(options).contains("max_rounds"));
  EXPECT_EQ(migrate_options_from_json(to_json(options)).max_rounds, 0U);
}

TEST(MigrateRequest, KnowsEveryModeAndOrderOfPushing) {
  for (const char* mode : {"auto", "pre-copy", "post-copy", "hybrid", "stop-and-copy"}) {
    const auto options = migrate_options_from_json({{"to", "unix:/b"}, {"mode", mode}});
    EXPECT_EQ(migration::to_string(options.mode), mode);
  }
  for (const char* order : {"bubbling", "linear", "none"}) {
    const auto options = migrate_options_from_json({{"to", "unix:/b"}, {"prepaging", order}});
    EXPECT_EQ(migration::to_string(options.prepaging), order);
  }
}

TEST(MigrateRequest, NamesTheFieldThatIsWrong) {
  const std::string to = "unix:/run/b";
  EXPECT_NE(request_refusal(json::object()).find("'to'"), std::string::npos);
  EXPECT_NE(request_refusal({{"to", 7}}).find("'to'"), std::string::npos);
  EXPECT_NE(request_refusal({{"to", to}, {"speed", 1}}).find("'speed'"), std::string::npos);
  EXPECT_NE(request_refusal({{"to", to}, {"mode", "warp"}}).find("'mode'"), std::string::npos);
  EXPECT_NE(request_refusal({{"to", to}, {"channels", 0}}).find("'channels'"), std::string::npos);
  EXPECT_NE(request_refusal({{"to", to}, {"channels", 17}}).find("'channels'"), std::string::npos);
  EXPECT_NE(request_refusal({{"to", to}, {"channels", -1}}).find("'channels'"), std::string::npos);
  EXPECT_NE(request_refusal({{"to", to}, {"channels", 1.5}}).find("'channels'"), std::string::npos);
  EXPECT_NE(request_refusal({{"to", to}, {"channels", "all"}}).find("'channels'"),
            std::string::npos);
  EXPECT_NE(request_refusal({{"to", to}, {"max_rounds", 0}}).find("'max_rounds'"),
            std::string::npos);
  EXPECT_NE(request_refusal({{"to", to}, {"prepaging", "random"}}).find("'prepaging'"),
            std::string::npos);
  EXPECT_NE(request_refusal({{"to", to}, {"max_downtime_ms", -1}}).find("'max_downtime_ms'"),
            std::string::npos);
  EXPECT_NE(request_refusal({{"to", to}, {"max_bandwidth", "1Gbit"}}).find("'max_bandwidth'"),
            std::string::npos);
  EXPECT_NE(request_refusal({{"to", to}, {"verify", 1}}).find("'verify'"), std::string::npos);
  EXPECT_NE(request_refusal({{"to", to}, {"timeout_ms", 0}}).find("'timeout_ms'"),
            std::string::npos);
  EXPECT_NE(request_refusal({{"to", "nowhere"}}).find("nowhere"), std::string::npos);
}

TEST(MigrateRequest, BoundsEveryNumber) {
  const auto with = [](const char* field, const std::string& number) {
    return request_refusal(
        json::parse(R"({"to":"unix:/b",")" + std::string(field) + "\":" + number + "}"));
  };
  for (const char* number : {"0.9", "1e-9", "-1", "-0.5", "1e16", "1e300", "18446744073709551616",
                             "true", "null", "\"1\"", "[1]"}) {
    EXPECT_NE(with("max_bandwidth", number).find("'max_bandwidth'"), std::string::npos) << number;
  }
  for (const char* number : {"0", "-0.0", "1", "1.9", "1e15"}) {
    EXPECT_EQ(with("max_bandwidth", number), "") << number;
  }
  for (const char* field : {"channels", "max_rounds"}) {
    for (const char* number : {"0", "-1", "4294967297", "9223372036854775808", "1e3",
                               "18446744073709551615", "18446744073709551617"}) {
      EXPECT_NE(with(field, number).find(field), std::string::npos) << field << number;
    }
  }
  for (const char* field : {"max_downtime_ms", "timeout_ms"}) {
    for (const char* number : {"-1", "86400001", "1e300", "18446744073709551615"}) {
      EXPECT_NE(with(field, number).find(field), std::string::npos) << field << number;
    }
    EXPECT_EQ(with(field, "86400000"), "");
  }
}

TEST(MigrateRequest, NamesAnAddressThatCannotBeDialled) {
  EXPECT_NE(request_refusal({{"to", "tcp:0.0.0.0:7000"}}).find("listening"), std::string::npos);
  EXPECT_NE(request_refusal({{"to", "tcp:h:0"}}).find("port 0"), std::string::npos);
  EXPECT_THROW(static_cast<void>(migrate_settings_from_json({{"to", "tcp:[::]:1"}})),
               std::invalid_argument);
}

TEST(MigrateRequest, OfResumeAndTheOthersIsAsStrict) {
  EXPECT_FALSE(resume_force_from_json(json::object()));
  EXPECT_TRUE(resume_force_from_json({{"force", true}}));
  EXPECT_THROW(static_cast<void>(resume_force_from_json({{"force", 1}})), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(resume_force_from_json({{"Force", true}})), std::invalid_argument);
  check_no_fields(json::object());
  EXPECT_THROW(check_no_fields({{"x", 1}}), std::invalid_argument);
}

TEST(MigrateRequest, CarriesTheSizeOfABalloon) {
  EXPECT_EQ(balloon_from_json(balloon_to_json(0)), 0U);
  EXPECT_EQ(balloon_from_json(balloon_to_json(64 << 20)), 64U << 20);
  for (const json& unsound :
       {json::object(), json({{"size", 1}}), json({{"target", -1}}), json({{"target", 0.5}}),
        json({{"target", "1M"}}), json({{"target", nullptr}}), json({{"target", UINT64_MAX}})}) {
    EXPECT_THROW(static_cast<void>(balloon_from_json(unsound)), std::invalid_argument) << unsound;
  }
}

TEST(MigrateRequest, CarriesTheSettingsThatAreGiven) {
  MigrateSettings settings;
  settings.max_bandwidth = 0;
  EXPECT_EQ(to_json(settings), json({{"max_bandwidth", 0}}));
  settings.max_downtime = std::chrono::milliseconds(20);
  settings.to = migration::parse_address("tcp:h:1");
  settings.prepaging = migration::Prepaging::none;
  const MigrateSettings back = migrate_settings_from_json(to_json(settings));
  EXPECT_EQ(back.max_bandwidth, settings.max_bandwidth);
  EXPECT_EQ(back.max_downtime, settings.max_downtime);
  EXPECT_EQ(back.to, settings.to);
  EXPECT_EQ(back.prepaging, settings.prepaging);
  EXPECT_THROW(static_cast<void>(migrate_settings_from_json({{"mode", "pre-copy"}})),
               std::invalid_argument);
}

}  // namespace
}  // namespace ferry

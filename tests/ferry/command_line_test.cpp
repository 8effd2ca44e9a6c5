#include <gtest/gtest.h>

#include <filesystem>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/ferry/command_line_fixture.hpp"

namespace ferry {
namespace {

TEST(CommandLine, OfRunHasDefaultsForAllButTheKernel) {
  const auto run = parse_as<RunCommand>({"run", "--kernel", "k.elf"});
  EXPECT_EQ(run.kernel, "k.elf");
  EXPECT_EQ(run.memory_bytes, 256U << 20);
  EXPECT_EQ(run.cpus, 1U);
  EXPECT_EQ(run.serial.kind, SerialChoice::Kind::stdio);
  EXPECT_TRUE(run.initramfs.empty());
  EXPECT_TRUE(run.api_socket.empty());
}

TEST(CommandLine, OfRunTakesEveryOption) {
  const auto run = parse_as<RunCommand>(
      {"run", "--kernel", "k", "--initramfs", "i", "--cmdline", "tick=1 end=byte", "--memory", "1G",
       "--cpus", "16", "--name", "n", "--serial", "file:log", "--api-socket", "s"});
  EXPECT_EQ(run.initramfs, std::vector<std::filesystem::path>{"i"});
  EXPECT_EQ(run.cmdline, "tick=1 end=byte");
  EXPECT_EQ(run.memory_bytes, 1U << 30);
  EXPECT_EQ(run.cpus, 16U);
  EXPECT_EQ(run.name, "n");
  EXPECT_EQ(run.serial.path, "log");
  EXPECT_EQ(run.api_socket, "s");
}

TEST(CommandLine, OfRunTakesNetworks) {
  const auto run = parse_as<RunCommand>({"run", "--kernel", "k", "--net", "tap:tap0", "--net",
                                         "passt:/run/a,b.sock,mac=02:00:00:00:00:0a,id=lan"});
  ASSERT_EQ(run.networks.size(), 2U);
  EXPECT_EQ(run.networks[0].kind, devices::NetworkChoice::Kind::tap);
  EXPECT_EQ(run.networks[0].place, "tap0");
  EXPECT_EQ(run.networks[0].id, "");
  EXPECT_FALSE(run.networks[0].mac);
  EXPECT_EQ(run.networks[1].kind, devices::NetworkChoice::Kind::passt);
  EXPECT_EQ(run.networks[1].place, "/run/a,b.sock");
  EXPECT_EQ(run.networks[1].id, "lan");
  EXPECT_EQ(run.networks[1].mac, (devices::network::MacAddress{2, 0, 0, 0, 0, 10}));
  for (const char* wrong :
       {"tap0", "tap:", "tap:a-name-that-is-too-long", "passt:", "tap:tap0,mac=02:00:00:00:00",
        "tap:tap0,mac=01:00:00:00:00:00", "tap:tap0,id=", "tap:tap0,id=Lan", "bridge:br0"}) {
    EXPECT_NE(refusal({"run", "--kernel", "k", "--net", wrong}).find("--net"), std::string::npos)
        << wrong;
  }
}

TEST(CommandLine, OfReceiveTakesNetworksByTheirIds) {
  const auto receive =
      parse_as<ReceiveCommand>({"receive", "--listen", "tcp:[::1]:0", "--net", "id=net0,tap:tap1",
                                "--net", "id=lan,passt:/run/p.sock"});
  ASSERT_EQ(receive.networks.size(), 2U);
  EXPECT_EQ(receive.networks[0].id, "net0");
  EXPECT_EQ(receive.networks[0].place, "tap1");
  EXPECT_EQ(receive.networks[1].id, "lan");
  EXPECT_EQ(receive.networks[1].kind, devices::NetworkChoice::Kind::passt);
  for (const char* wrong : {"tap:tap0", "id=net0", "id=,tap:tap0", "id=net0,tap:"}) {
    EXPECT_NE(refusal({"receive", "--listen", "tcp:[::1]:0", "--net", wrong}).find("--net"),
              std::string::npos)
        << wrong;
  }
}

TEST(CommandLine, OfRunTakesDisksByPathAndByUri) {
  const auto run = parse_as<RunCommand>(
      {"run", "--kernel", "k", "--disk", "a,b,readonly", "--disk", "nbd:nbd://host/a,b,id=root"});
  ASSERT_EQ(run.disks.size(), 2U);
  EXPECT_EQ(run.disks[0].path, "a,b");
  EXPECT_TRUE(run.disks[0].read_only);
  EXPECT_EQ(run.disks[1].path, "nbd:nbd://host/a,b");
  EXPECT_EQ(run.disks[1].id, "root");
  for (const char* disk : {"nbd:", "nbd:host", "nbd://host/"}) {
    EXPECT_NE(refusal({"run", "--kernel", "k", "--disk", disk}).find("is a URI"), std::string::npos)
        << disk;
  }
}

TEST(CommandLine, OfReceiveNeedsAnAddress) {
  EXPECT_EQ(parse_as<ReceiveCommand>({"receive", "--listen", "tcp:[::1]:0"}).listen.host, "::1");
  EXPECT_NE(refusal({"receive"}).find("--listen"), std::string::npos);
}

TEST(CommandLine, OfMigrateLeavesTheNumberOfChannelsOpen) {
  std::vector<const char*> words{"migrate", "--api-socket", "s", "--to", "unix:/p"};
  EXPECT_EQ(parse_as<MigrateCommand>(words).options.channels, std::nullopt);
  words.insert(words.end(), {"--channels", "auto"});
  EXPECT_EQ(parse_as<MigrateCommand>(words).options.channels, std::nullopt);
}

TEST(CommandLine, OfMigrateTakesEveryOption) {
  const auto command = parse_as<MigrateCommand>(
      {"migrate",       "--api-socket",   "s",      "--to",         "unix:/p", "--mode",
       "stop-and-copy", "--max-downtime", "5ms",    "--max-rounds", "3",       "--max-bandwidth",
       "1Gbit",         "--compression",  "lz4",    "--channels",   "4",       "--throttle",
       "--verify",      "--timeout",      "2s",     "--prepaging",  "linear",  "--json",
       "--no-hot-last", "--stop-policy",  "density"});
  const migration::MigrateOptions& options = command.options;
  EXPECT_EQ(options.to.path, "/p");
  EXPECT_EQ(options.mode, migration::Mode::stop_and_copy);
  EXPECT_EQ(options.max_downtime.count(), 5000);
  EXPECT_EQ(options.max_rounds, 3U);
  EXPECT_EQ(options.max_bandwidth, 125'000'000U);
  EXPECT_EQ(options.compression, migration::Compression::lz4);
  EXPECT_EQ(options.channels, 4U);
  EXPECT_EQ(options.prepaging, migration::Prepaging::linear);
  EXPECT_EQ(options.stop_policy, migration::StopPolicy::density);
  EXPECT_FALSE(options.hot_last);
  EXPECT_TRUE(options.throttle);
  EXPECT_TRUE(options.verify);
  EXPECT_EQ(options.timeout.count(), 2000);
  EXPECT_TRUE(command.json);
}

TEST(CommandLine, OfMigrateKnowsEveryModeAndChoosesByItself) {
  const auto parsed = [](std::vector<const char*> more) {
    std::vector<const char*> words = {"migrate", "--api-socket", "s", "--to", "unix:/p"};
    words.insert(words.end(), more.begin(), more.end());
    return parse_as<MigrateCommand>(words).options;
  };
  EXPECT_EQ(parsed({}).mode, migration::Mode::automatic);
  EXPECT_EQ(parsed({}).prepaging, migration::Prepaging::bubbling);
  EXPECT_TRUE(parsed({}).hot_last);
  EXPECT_EQ(parsed({}).stop_policy, migration::StopPolicy::first_fit);
  for (const char* mode : {"auto", "pre-copy", "post-copy", "hybrid", "stop-and-copy"}) {
    EXPECT_EQ(migration::to_string(parsed({"--mode", mode}).mode), mode);
  }
}

TEST(CommandLine, OfPredictTakesTheOptionsOfAMigration) {
  const auto command = parse_as<PredictCommand>(
      {"predict", "--api-socket", "a", "--to", "tcp:h:1", "--max-bandwidth", "1Gbit",
       "--max-downtime", "5ms", "--max-rounds", "7", "--compression", "none", "--channels", "2",
       "--no-hot-last", "--throttle", "--json"});
  EXPECT_TRUE(command.request.probes);
  EXPECT_TRUE(command.json);
  const migration::MigrateOptions& options = command.request.options;
  EXPECT_EQ(options.to.host, "h");
  EXPECT_EQ(options.max_bandwidth, 125'000'000U);
  EXPECT_EQ(options.max_downtime, std::chrono::milliseconds(5));
  EXPECT_EQ(options.max_rounds, 7U);
  EXPECT_EQ(options.channels, 2U);
  EXPECT_FALSE(options.hot_last);
  EXPECT_TRUE(options.throttle);
}

TEST(CommandLine, OfPredictNeedsALink) {
  EXPECT_NE(refusal({"predict", "--api-socket", "a"}).find("--max-bandwidth"), std::string::npos);
}

TEST(CommandLine, OfSetTakesEveryOption) {
  const auto settings = parse_as<SetCommand>({"set", "--api-socket", "s", "--max-downtime", "5ms",
                                              "--to", "unix:/p", "--prepaging", "none"})
                            .settings;
  EXPECT_EQ(settings.max_downtime->count(), 5000);
  EXPECT_EQ(settings.to->path, "/p");
  EXPECT_EQ(settings.prepaging, migration::Prepaging::none);
}

TEST(CommandLine, OfSetNeedsSomethingToSet) {
  EXPECT_EQ(parse_as<SetCommand>({"set", "--api-socket", "s", "--max-bandwidth", "0"})
                .settings.max_bandwidth,
            0U);
  EXPECT_FALSE(refusal({"set", "--api-socket", "s"}).empty());
}

TEST(CommandLine, OfSetTakesABalloonAlone) {
  EXPECT_EQ(parse_as<SetCommand>({"set", "--api-socket", "s", "--balloon", "64M"}).balloon,
            std::uint64_t{64} << 20);
  EXPECT_EQ(parse_as<SetCommand>({"set", "--api-socket", "s", "--balloon", "0"}).balloon, 0U);
  EXPECT_FALSE(
      refusal({"set", "--api-socket", "s", "--balloon", "64M", "--max-downtime", "5ms"}).empty());
}

TEST(CommandLine, OfRunReportsFreePagesByABalloonAlone) {
  const auto run =
      parse_as<RunCommand>({"run", "--kernel", "k", "--free-page-reporting", "--balloon"});
  EXPECT_TRUE(run.balloon);
  EXPECT_TRUE(run.free_page_reporting);
  EXPECT_FALSE(parse_as<RunCommand>({"run", "--kernel", "k", "--balloon"}).free_page_reporting);
  EXPECT_NE(refusal({"run", "--kernel", "k", "--free-page-reporting"}).find("--balloon"),
            std::string::npos);
}

TEST(CommandLine, OfTheOtherCommandsNamesTheSocket) {
  using Verb = ControlCommand::Verb;
  EXPECT_EQ(parse_as<ControlCommand>({"info", "--api-socket", "s"}).verb, Verb::info);
  EXPECT_EQ(parse_as<ControlCommand>({"pause", "--api-socket", "s"}).verb, Verb::pause);
  EXPECT_EQ(parse_as<ControlCommand>({"stop", "--api-socket", "s"}).verb, Verb::stop);
  EXPECT_EQ(parse_as<ControlCommand>({"cancel", "--api-socket", "s"}).verb, Verb::cancel);
  const auto resume = parse_as<ControlCommand>({"resume", "--api-socket", "s", "--force"});
  EXPECT_EQ(resume.verb, Verb::resume);
  EXPECT_TRUE(resume.force);
  EXPECT_NE(refusal({"pause"}).find("--api-socket"), std::string::npos);
}

TEST(CommandLine, OfImagesListsOrDropsWithTheStoreBeforeOrAfter) {
  const auto list = parse_as<ImagesCommand>({"images"});
  EXPECT_EQ(list.image_store, "");
  EXPECT_FALSE(list.drop);
  EXPECT_FALSE(list.json);
  const auto as_json = parse_as<ImagesCommand>({"images", "--image-store", "d", "--json"});
  EXPECT_EQ(as_json.image_store, "d");
  EXPECT_TRUE(as_json.json);
  const auto after = parse_as<ImagesCommand>({"images", "drop", "--image-store", "d", "id"});
  EXPECT_EQ(after.image_store, "d");
  EXPECT_EQ(after.drop, "id");
  const auto before = parse_as<ImagesCommand>({"images", "--image-store", "d", "drop", "id"});
  EXPECT_EQ(before.image_store, "d");
  EXPECT_EQ(before.drop, "id");
}

TEST(CommandLine, OfPlanTakesOneWayToPlan) {
  const auto plan = parse_as<PlanCommand>({"plan", "f", "--policy", "p", "--apply", "--json"});
  EXPECT_EQ(plan.file, "f");
  EXPECT_EQ(plan.policy, "p");
  EXPECT_TRUE(plan.apply && plan.json);
  EXPECT_EQ(parse_as<PlanCommand>({"plan", "--drain", "h", "f", "--drain", "i"}).drain,
            (std::vector<std::string>{"h", "i"}));
  EXPECT_TRUE(parse_as<PlanCommand>({"plan", "f", "--balance"}).balance);
  for (const auto& words : {std::vector{"plan", "f", "--policy", "p", "--balance"},
                            std::vector{"plan", "f", "--drain", "h", "--balance"},
                            std::vector{"plan", "f", "--policy", "p", "--drain", "h"}}) {
    EXPECT_NE(refusal(words).find("--drain"), std::string::npos);
  }
}

TEST(CommandLine, OfPlanRefusesEmptyNames) {
  EXPECT_NE(refusal({"plan", "f", "--drain", ""}).find("--drain: the name is empty"),
            std::string::npos);
  EXPECT_NE(refusal({"plan", "f", "--policy", ""}).find("--policy: the name is empty"),
            std::string::npos);
}

TEST(CommandLine, OfImagesDropNeedsAnId) {
  EXPECT_NE(refusal({"images", "drop"}).find("ID"), std::string::npos);
  EXPECT_NE(refusal({"images", "drop", "a", "b"}), "");
}

std::string printed(const std::vector<const char*>& words) {
  testing::internal::CaptureStdout();
  const bool nothing_to_do = !parse(words);
  std::fflush(stdout);
  std::cout.flush();
  std::string text = testing::internal::GetCapturedStdout();
  EXPECT_TRUE(nothing_to_do);
  return text;
}

const std::vector<std::vector<const char*>> kCommands = {
    {},          {"run"},    {"receive"},        {"migrate"}, {"set"},
    {"info"},    {"pause"},  {"resume"},         {"stop"},    {"cancel"},
    {"predict"}, {"images"}, {"images", "drop"}, {"plan"},    {"help"}};

TEST(CommandLine, HasHelpThatFitsATerminal) {
  for (std::vector<const char*> words : kCommands) {
    words.push_back("--help");
    std::istringstream text(printed(words));
    std::string line;
    while (std::getline(text, line)) EXPECT_LE(line.size(), 80U) << line;
    EXPECT_EQ(text.str().find('{'), std::string::npos) << text.str();
    EXPECT_NE(text.str().find("Usage: ferry"), std::string::npos);
  }
}

TEST(CommandLine, HasTheSameHelpByACommand) {
  for (const std::vector<const char*>& words : kCommands) {
    std::vector<const char*> asked = {"help"};
    asked.insert(asked.end(), words.begin(), words.end());
    std::vector<const char*> option = words;
    option.push_back("--help");
    EXPECT_EQ(printed(asked), printed(option));
  }
  EXPECT_NE(refusal({"help", "fly"}).find("no command 'fly'"), std::string::npos);
  EXPECT_NE(refusal({"help", "run", "drop"}).find("no command 'drop'"), std::string::npos);
}

}  // namespace
}  // namespace ferry

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/ferry/command_line_fixture.hpp"

namespace ferry {
namespace {

TEST(CommandLine, SaysWhatIsWrongWithASocketPathInItsOwnTerms) {
  const std::string long_path(120, 'x');
  for (std::vector<const char*> words : {std::vector<const char*>{"info"},
                                         {"migrate", "--to", "unix:/p"},
                                         {"run", "--kernel", "k"},
                                         {"receive", "--listen", "unix:/p"},
                                         {"set", "--max-downtime", "1ms"},
                                         {"stop"}}) {
    words.push_back("--api-socket");
    words.push_back("");
    EXPECT_NE(refusal(words).find("--api-socket: the path is empty"), std::string::npos);
    words.back() = long_path.c_str();
    EXPECT_NE(
        refusal(words).find("--api-socket: the path has 120 bytes and a socket's may have 107"),
        std::string::npos);
  }
}

TEST(CommandLine, RefusesAStoreWithoutAName) {
  EXPECT_NE(refusal({"images", "--image-store", ""}).find("is empty"), std::string::npos);
  EXPECT_NE(refusal({"run", "--kernel", "k", "--image-store", ""}).find("is empty"),
            std::string::npos);
}

TEST(CommandLine, NamesTheMistakeAndTheHelpForIt) {
  EXPECT_EQ(refusal({}), "a command is missing\nTry 'ferry --help'.");
  EXPECT_EQ(refusal({"-v"}), "'-v' is unknown here, and a command is missing\nTry 'ferry --help'.");
  EXPECT_EQ(refusal({"run", "-k", "g"}),
            "'-k' is unknown here, and --kernel is required\nTry 'ferry run --help'.");
  EXPECT_EQ(refusal({"run", "--kernel", "a", "--kernel", "b"}),
            "--kernel can be given once\nTry 'ferry run --help'.");
  EXPECT_EQ(refusal({"run", "--kernel"}), "--kernel needs a value\nTry 'ferry run --help'.");
  EXPECT_EQ(refusal({"images", "drop"}), "ID is required\nTry 'ferry images drop --help'.");
}

TEST(CommandLine, TakesARelativePathForTheClientsOwn) {
  const std::string here = std::filesystem::current_path().string();
  const auto migrate = parse_as<MigrateCommand>({"migrate", "--api-socket", "s", "--to", "unix:m"});
  EXPECT_EQ(migrate.options.to.path, here + "/m");
  EXPECT_EQ(migrate.api_socket, "s");
  EXPECT_EQ(
      parse_as<SetCommand>({"set", "--api-socket", "s", "--to", "unix:d/m"}).settings.to->path,
      here + "/d/m");
  EXPECT_EQ(parse_as<ReceiveCommand>({"receive", "--listen", "unix:m"}).listen.path, "m");
}

TEST(CommandLine, SaysWhenAPathCannotBeTold) {
  const std::string longest = "unix:" + std::string(107, 'x');
  EXPECT_NE(refusal({"migrate", "--api-socket", "s", "--to", longest.c_str()}).find("107"),
            std::string::npos);
  EXPECT_NE(refusal({"migrate", "--api-socket", "s", "--to", "unix:caf\xe9"}).find("UTF-8"),
            std::string::npos);
}

TEST(CommandLine, RefusesAnAddressThatCannotBeDialled) {
  for (const char* to : {"tcp:0.0.0.0:7000", "tcp:[::]:7000", "tcp:h:0"}) {
    EXPECT_NE(refusal({"migrate", "--api-socket", "s", "--to", to}).find("listening"),
              std::string::npos);
    EXPECT_NE(refusal({"set", "--api-socket", "s", "--to", to}).find("listening"),
              std::string::npos);
  }
  EXPECT_EQ(parse_as<ReceiveCommand>({"receive", "--listen", "tcp:0.0.0.0:0"}).listen.port, 0);
}

TEST(CommandLine, RefusesANameThatIsNoText) {
  const std::string longer(256, 'x');
  for (const char* name : {"", "a\tb", "caf\xe9", "\xc2\x9b", "\x7f", longer.c_str()}) {
    EXPECT_NE(refusal({"run", "--kernel", "k", "--name", name}).find("printable"),
              std::string::npos)
        << name;
  }
  EXPECT_EQ(parse_as<RunCommand>({"run", "--kernel", "k", "--name", "caf\xc3\xa9"}).name,
            "caf\xc3\xa9");
}

TEST(CommandLine, AsksForTheUnitOfABareNumber) {
  EXPECT_NE(refusal({"run", "--kernel", "k", "--memory", "512"}).find("did you mean 512M?"),
            std::string::npos);
  EXPECT_NE(refusal({"receive", "--listen", "unix:b", "--timeout", "30"}).find("30s"),
            std::string::npos);
  EXPECT_NE(refusal({"set", "--api-socket", "s", "--max-downtime", "50"}).find("50ms"),
            std::string::npos);
}

TEST(CommandLine, TellsWhoWantsJsonOfALineThatIsWrong) {
  const auto wants = [](std::vector<const char*> words) {
    words.insert(words.begin(), "ferry");
    return wants_json(static_cast<int>(words.size()), words.data());
  };
  EXPECT_TRUE(wants({"migrate", "--json", "--turbo"}));
  EXPECT_TRUE(wants({"images", "--json"}));
  EXPECT_FALSE(wants({"info", "--api-socket", "s"}));
  EXPECT_FALSE(wants({"run", "--name", "--json"}));  // standard output is the guest's
  EXPECT_FALSE(wants({}));
}

TEST(CommandLine, RefusesWhatItDoesNotKnowAndNamesIt) {
  EXPECT_NE(refusal({"run", "--kernel", "k", "--turbo"}).find("--turbo"), std::string::npos);
  EXPECT_NE(refusal({"fly"}).find("fly"), std::string::npos);
  EXPECT_NE(refusal({}).find("--help"), std::string::npos);
  EXPECT_NE(refusal({"run", "--kernel", "k", "--memory", "lots"}).find("lots"), std::string::npos);
  EXPECT_NE(refusal({"run", "--kernel", "k", "--cpus", "17"}).find("17"), std::string::npos);
  EXPECT_NE(refusal({"run", "--kernel", "k", "--cpus", "0"}).find("--cpus"), std::string::npos);
  EXPECT_NE(refusal({"run", "--kernel", "k", "--serial", "usb"}).find("usb"), std::string::npos);
  EXPECT_NE(refusal({"receive", "--listen", "udp:x:1"}).find("udp:x:1"), std::string::npos);
  EXPECT_NE(
      refusal({"migrate", "--api-socket", "s", "--to", "tcp:h:1", "--mode", "warp"}).find("warp"),
      std::string::npos);
  EXPECT_NE(
      refusal({"migrate", "--api-socket", "s", "--to", "tcp:h:1", "--channels", "17"}).find("17"),
      std::string::npos);
  EXPECT_NE(refusal({"set", "--api-socket", "s", "--prepaging", "random"}).find("random"),
            std::string::npos);
}

}  // namespace
}  // namespace ferry

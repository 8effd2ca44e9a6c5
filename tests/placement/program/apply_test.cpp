#include "placement/program/apply.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <optional>

#include "placement/program/view.hpp"

namespace placement {
namespace {

using Commands = std::vector<std::vector<std::string>>;

Move move(VmIndex vm, HostIndex from, HostIndex to, std::size_t step) {
  Move move;
  move.vm = vm;
  move.from = from;
  move.to = to;
  move.step = step;
  return move;
}

/// Two VMs at host a, receivers at b and c.
Fleet fleet() {
  Fleet fleet;
  for (const char* name : {"a", "b", "c"}) {
    fleet.hosts.emplace_back().name = name;
  }
  for (const char* name : {"v", "w"}) {
    Vm& vm = fleet.vms.emplace_back();
    vm.name = name;
    vm.api_socket = std::string("/") + name;
  }
  fleet.receivers = {{1, "tcp:b:1", "/b1"}, {1, "tcp:b:2", ""}, {2, "tcp:c:1", "/c1"}};
  return fleet;
}

Ran all_ended(const Commands& commands, const Ended& how) {
  return {.ended = std::vector<std::optional<Ended>>(commands.size(), how), .signal = 0};
}

std::string refusal(const Fleet& fleet, const std::vector<Move>& moves) {
  try {
    static_cast<void>(errands_of(fleet, moves));
  } catch (const CannotApply& error) {
    return error.what();
  }
  return "none";
}

TEST(ErrandsOfAPlan, HaveAReceiverEach) {
  const auto errands = errands_of(fleet(), std::vector{move(0, 0, 1, 1), move(1, 0, 1, 2)});
  ASSERT_EQ(errands.size(), 2U);
  EXPECT_EQ(errands[0].api_socket, "/v");
  EXPECT_EQ(errands[0].to, "tcp:b:1");
  EXPECT_EQ(errands[1].api_socket, "/w");
  EXPECT_EQ(errands[1].to, "tcp:b:2");
}

TEST(ErrandsOfAPlan, AskForAVmWhereItIsByThen) {
  const auto errands = errands_of(fleet(), std::vector{move(0, 0, 1, 1), move(0, 1, 2, 2)});
  EXPECT_EQ(errands.at(1).api_socket, "/b1");
  EXPECT_EQ(errands.at(1).to, "tcp:c:1");
}

TEST(ErrandsOfAPlan, AreRefusedForWhatIsMissing) {
  EXPECT_EQ(refusal(fleet(), {move(0, 0, 2, 1), move(1, 0, 2, 1)}),
            "moves to c: 2, receivers there that the file names: 1; each takes one VM");
  Fleet silent = fleet();
  silent.vms[0].api_socket.clear();
  EXPECT_EQ(refusal(silent, {move(0, 0, 2, 1)}),
            "the file names no api_socket by which v at a can be asked");
}

TEST(ErrandsOfAPlan, AreRefusedForAReceiverThatCannotBeDialled) {
  for (const char* listen : {"tcp:0.0.0.0:7000", "tcp:b:0", "tcp:b", "b:7000", "unix:"}) {
    Fleet wrong = fleet();
    wrong.receivers[1].listen = listen;
    EXPECT_EQ(refusal(wrong, {move(0, 0, 1, 1)}), "none");
    const std::string why = refusal(wrong, {move(0, 0, 1, 1), move(1, 0, 1, 2)});
    EXPECT_TRUE(why.starts_with("the receiver at b: address '" + std::string(listen) + "': "))
        << why;
  }
}

TEST(ErrandsOfAPlan, AreRefusedForTwoReceiversThatAreOne) {
  Fleet wrong = fleet();
  wrong.receivers[1].listen = "tcp:b:01";
  EXPECT_EQ(refusal(wrong, {move(0, 0, 1, 1), move(1, 0, 1, 2)}),
            "the receiver at b: another one listens on tcp:b:01 too");
}

TEST(ErrandsOfAPlan, AreRefusedForAnApiSocketOfTwoProcesses) {
  Fleet wrong = fleet();
  wrong.vms[1].api_socket = "/v";
  EXPECT_EQ(refusal(wrong, {move(0, 0, 2, 1)}),
            "the api_socket /v of v at a is that of another process too");
  wrong = fleet();
  wrong.receivers[2].api_socket = "/b1";
  EXPECT_EQ(refusal(wrong, {move(0, 0, 1, 1), move(0, 1, 2, 2)}),
            "the api_socket /b1 of v at b is that of another process too");
}

TEST(ApplyingAPlan, RunsAStepAtOnceAndStepsInTurn) {
  const std::vector<Move> moves = {move(0, 0, 1, 1), move(1, 0, 2, 1), move(0, 1, 2, 2)};
  std::vector<Commands> ran;
  const auto run = [&](const Commands& commands) {
    ran.push_back(commands);
    return all_ended(commands, {0, R"({"wire_bytes": 5})", ""});
  };
  const std::vector<Errand> errands = {{"/v", "tcp:b:1"}, {"/w", "tcp:c:1"}, {"/b1", "tcp:c:2"}};
  std::size_t told = 0;
  const auto [outcomes, signal] =
      apply("/bin/ferry", moves, errands, run, [&](const Move&, const Outcome&) { ++told; });
  EXPECT_EQ(signal, 0);
  ASSERT_EQ(ran.size(), 2U);
  ASSERT_EQ(ran[0].size(), 2U);
  EXPECT_EQ(ran[0][0], (std::vector<std::string>{"/bin/ferry", "migrate", "--api-socket=/v",
                                                 "--to=tcp:b:1", "--mode=pre-copy", "--json"}));
  EXPECT_EQ(told, 3U);
  EXPECT_EQ(outcomes[0].report.at("wire_bytes"), 5);
  EXPECT_EQ(places_after(fleet(), moves, outcomes), (std::vector<HostIndex>{2, 2}));
}

TEST(ApplyingAPlan, StopsAtTheFirstStepThatFailsAndSaysWhatStandsWhere) {
  const std::vector<Move> moves = {move(0, 0, 1, 1), move(1, 0, 2, 2), move(0, 1, 2, 3)};
  std::size_t calls = 0;
  const auto run = [&](const Commands& commands) {
    const bool fails = ++calls == 2;
    return all_ended(commands, {fails ? 1 : 0, "{}", fails ? "ferry: a\nferry: b\x1b\n" : ""});
  };
  const auto outcomes =
      apply("ferry", moves, std::vector<Errand>(3), run, [](const Move&, const Outcome&) {
      }).outcomes;
  EXPECT_EQ(calls, 2U);
  EXPECT_EQ(outcomes[0].kind, Outcome::Kind::moved);
  EXPECT_EQ(outcomes[1].kind, Outcome::Kind::failed);
  EXPECT_EQ(outcomes[1].why, "ferry: b?");
  EXPECT_EQ(outcomes[2].kind, Outcome::Kind::not_begun);
  EXPECT_EQ(standing(fleet(), moves, outcomes),
            "w is at a (its move failed: 'ferry info' says more)\n"
            "v is at b (its move was not begun)\n");
}

TEST(ApplyingAPlan, TellsTheWholeOfTheLastMessage) {
  const auto why = [](const char* said) {
    const auto run = [&](const Commands& commands) { return all_ended(commands, {64, "", said}); };
    return apply("ferry", std::vector{move(0, 0, 1, 1)}, std::vector<Errand>(1), run,
                 [](const Move&, const Outcome&) {})
        .outcomes[0]
        .why;
  };
  EXPECT_EQ(why("ferry: a\nferry: --to: no port\nTry 'ferry migrate --help'.\n"),
            "ferry: --to: no port; Try 'ferry migrate --help'.");
  EXPECT_EQ(why("\ncannot start\n"), "cannot start");
  EXPECT_EQ(why(""), "ferry migrate ended with 64");
}

TEST(ApplyingAPlan, StopsAfterTheStepInWhichASignalComes) {
  const std::vector<Move> moves = {move(0, 0, 1, 1), move(1, 0, 2, 1), move(0, 1, 2, 2)};
  std::size_t calls = 0;
  const auto run = [&](const Commands& commands) {
    ++calls;
    Ran ran = all_ended(commands, {0, "{}", ""});
    ran.ended.back().reset();
    ran.signal = SIGINT;
    return ran;
  };
  std::size_t told = 0;
  const Applied applied = apply("ferry", moves, std::vector<Errand>(3), run,
                                [&](const Move&, const Outcome&) { ++told; });
  EXPECT_EQ(calls, 1U);
  EXPECT_EQ(told, 1U);
  EXPECT_EQ(applied.signal, SIGINT);
  EXPECT_FALSE(applied.all_moved());
  EXPECT_EQ(standing(fleet(), moves, applied.outcomes),
            "w is at a (its move was not begun)\n"
            "v is at b (its move was not begun)\n");
}

}  // namespace
}  // namespace placement

// What is awaited from a peer, for how long, and what of it is read.
#include <array>
#include <vector>

#include "tests/migration/connection_fixture.hpp"

namespace migration::net {
namespace {

using wire::FrameType;
using wire::Role;

class Welcome : public Connections {
 protected:
  /// What the listening side has to say to what the peer sends.
  std::string welcome(FrameType type) {
    begin(welcome_and_read(connect(), type));
    return run();
  }

  static asio::awaitable<void> learn_role(std::shared_ptr<Connection> connection, Role* role) {
    *role = co_await connection->welcome(kLittleTime);
  }

 private:
  static asio::awaitable<void> welcome_and_read(std::shared_ptr<Connection> connection,
                                                FrameType type) {
    static_cast<void>(co_await connection->welcome(kLittleTime));
    static_cast<void>(co_await connection->first_frame(type, "something else"));
  }
};

TEST_F(Welcome, GivesAStrangerThatSaysNothingLittleTime) {
  EXPECT_TRUE(says(welcome(FrameType::offer), "did not say in time"));
}

TEST_F(Welcome, TakesSignsOfLifeForNoFirstFrame) {
  peer_.send(wire::encode_preamble(Role::control));
  every_turn_ = [this] { peer_.send(alive()); };
  EXPECT_TRUE(says(welcome(FrameType::offer), "did not say in time"));
}

TEST_F(Welcome, AwaitsNoFirstFrameThatTrickles) {
  peer_.send(wire::encode_preamble(Role::control));
  peer_.send(header(FrameType::offer, 1000));
  every_turn_ = [this] { peer_.send(std::array{std::byte{'{'}}); };
  EXPECT_TRUE(says(welcome(FrameType::offer), "did not say in time"));
}

TEST_F(Welcome, ReadsAFirstFrameOfOneTypeAndItsSize) {
  peer_.send(wire::encode_preamble(Role::control));
  peer_.send(alive());
  peer_.send(header(FrameType::state, wire::kMaxStateBytes));
  EXPECT_EQ(welcome(FrameType::offer), "something else");
}

TEST_F(Welcome, ReadsNoInquiryThatIsLarge) {
  peer_.send(wire::encode_preamble(Role::inquiry));
  peer_.send(header(FrameType::inquire, wire::kMaxMessageBytes + 1));
  EXPECT_TRUE(says(welcome(FrameType::inquire), "over its limit"));
}

TEST_F(Welcome, TakesAFirstFrameInTimeAndHasAnswered) {
  peer_.send(wire::encode_preamble(Role::inquiry));
  peer_.send(wire::frame_of(FrameType::inquire, wire::encode_round(1)));
  EXPECT_EQ(welcome(FrameType::inquire), "all is well");
  EXPECT_EQ(peer_.receive(wire::kPreambleBytes), wire::encode_preamble(Role::control));
}

TEST_F(Welcome, AnswersAPeerOfAnotherVersionToo) {
  wire::Bytes preamble = wire::encode_preamble(Role::control);
  preamble[8] = std::byte{99};
  peer_.send(preamble);
  EXPECT_TRUE(says(welcome(FrameType::offer), "the peer speaks version 99"));
  EXPECT_EQ(peer_.receive(wire::kPreambleBytes), wire::encode_preamble(Role::control));
}

TEST_F(Welcome, AnswersNoConnectionOfPagesOrFaults) {
  for (const Role role : {Role::pages, Role::faults}) {
    FaultPeer peer;
    const auto connection = std::make_shared<Connection>(peer.socket(context_), kLongTime);
    peer.send(wire::encode_preamble(role));
    Role told{};
    begin(learn_role(connection, &told));
    EXPECT_EQ(run(), "all is well");
    EXPECT_EQ(told, role);
    EXPECT_EQ(connection->bytes_sent(), 0U);
  }
}

class Dialled : public Connections {
 protected:
  std::shared_ptr<Connection> dialled(std::chrono::milliseconds timeout) {
    auto connection = connect(timeout);
    peer_.send(wire::encode_preamble(Role::control));
    return connection;
  }
  /// The types of the frames that come until the connection fails.
  asio::awaitable<void> read_all(std::shared_ptr<Connection> connection) {
    co_await connection->greet(Role::control);
    while (true) types_.push_back((co_await connection->receive()).type);
  }
  static asio::awaitable<void> ask(std::shared_ptr<Connection> connection) {
    co_await connection->greet(Role::control);
    static_cast<void>(co_await connection->answer(kLittleTime));
  }

  std::vector<FrameType> types_;
};

TEST_F(Dialled, SaysItsRoleFirstAndChecksTheAnswer) {
  const auto connection = connect();
  wire::Bytes answer = wire::encode_preamble(Role::control);
  answer[0] = std::byte{'H'};
  peer_.send(answer);
  begin(connection->greet(Role::inquiry));
  EXPECT_TRUE(says(run(), "not Ferry"));
  EXPECT_EQ(peer_.receive(wire::kPreambleBytes), wire::encode_preamble(Role::inquiry));
}

TEST_F(Dialled, GivesAPeerThatDoesNotGreetBackTheTimeout) {
  const auto connection = connect(kLittleTime);
  begin(connection->greet(Role::control));
  EXPECT_TRUE(says(run(), "no sign of life"));
}

TEST_F(Dialled, HasADeadlineForAnAnswerWhateverSignsOfLifeThereAre) {
  every_turn_ = [this] { peer_.send(alive()); };
  begin(ask(dialled(kLittleTime)));
  EXPECT_TRUE(says(run(), "did not answer in time"));
}

TEST_F(Dialled, DoesNotReadWhatGoesTheOtherWay) {
  const auto connection = dialled(kLongTime);
  peer_.send(header(FrameType::state, wire::kMaxStateBytes));
  begin(read_all(connection));
  EXPECT_TRUE(says(run(), "out of turn"));
}

TEST_F(Dialled, LosesAPeerThatIsSilentForTheTimeout) {
  const auto connection = dialled(kLittleTime);
  peer_.send(wire::frame_of(FrameType::prepared, {}));
  begin(read_all(connection));
  EXPECT_TRUE(says(run(), "no sign of life"));
  EXPECT_EQ(types_, std::vector{FrameType::prepared});
}

TEST_F(Dialled, WaitsForAPeerThatShowsSignsOfLifeAndPassesThemOver) {
  const auto connection = dialled(kLittleTime);
  const auto started = Clock::now();
  every_turn_ = [this, started] {
    if (Clock::now() < started + 3 * kLittleTime) peer_.send(alive());
  };
  begin(read_all(connection));
  EXPECT_TRUE(says(run(), "no sign of life"));
  EXPECT_GE(Clock::now() - started, 3 * kLittleTime);
  EXPECT_TRUE(types_.empty());
}

TEST_F(Dialled, SaysThatThePeerClosed) {
  begin(read_all(dialled(kLongTime)));
  every_turn_ = [this] {
    // (A peer that closes with something unread resets the connection.)
    if (!peer_.receive(wire::kPreambleBytes).empty()) peer_.hang_up();
  };
  EXPECT_TRUE(says(run(), "the peer closed the connection"));
}

TEST_F(Dialled, SaysSoWhereThePeerHasClosedBefore) {
  const auto connection = connect();
  peer_.hang_up();
  begin(connection->greet(Role::control));
  EXPECT_EQ(run(), "writing to the peer: Broken pipe");
}

TEST_F(Dialled, CountsTheBytesOfBothWays) {
  const auto connection = dialled(kLongTime);
  peer_.send(wire::frame_of(FrameType::prepared, {}));
  begin(ask(connection));
  EXPECT_EQ(run(), "all is well");
  EXPECT_EQ(connection->bytes_sent(), wire::kPreambleBytes);
  EXPECT_EQ(connection->bytes_received(), wire::kPreambleBytes + wire::kHeaderBytes);
}

}  // namespace
}  // namespace migration::net

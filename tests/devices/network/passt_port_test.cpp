#include "devices/network/passt_port.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <filesystem>
#include <string>
#include <system_error>

#include "tests/devices/network/fake_port.hpp"

namespace devices::network {
namespace {

Bytes frame_of(std::size_t size, int first = 1) {
  Bytes frame(size);
  for (std::size_t i = 0; i < size; ++i) {
    frame[i] = static_cast<std::byte>(static_cast<std::size_t>(first) + i);
  }
  return frame;
}

Bytes framed(const Bytes& frame) {
  Bytes bytes = {std::byte{0}, static_cast<std::byte>(frame.size() >> 16),
                 static_cast<std::byte>(frame.size() >> 8), static_cast<std::byte>(frame.size())};
  bytes.insert(bytes.end(), frame.begin(), frame.end());
  return bytes;
}

class PasstPortTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::temp_directory_path() / ("ferry-passt-" + std::to_string(::getpid()));
    std::filesystem::remove(path_);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.string().copy(address.sun_path, sizeof(address.sun_path) - 1);
    listener_ = vmm::UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    ASSERT_EQ(::listen(listener_.get(), 1), 0);
    port_.emplace(path_, [this](const std::string& what) { told_.push_back(what); });
    port_->open();
    peer_ = vmm::UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  void TearDown() override { std::filesystem::remove(path_); }

  void send(Bytes frame) {
    const std::array<iovec, 2> parts = {{{frame.data(), 5}, {frame.data() + 5, frame.size() - 5}}};
    FrameHeader header;
    header.fill(std::byte{7});  // it goes nowhere
    port_->send(header, parts);
  }
  Bytes receive(std::size_t room = kMostFrame) {
    Bytes bytes(room);
    FrameHeader header;
    header.fill(std::byte{7});
    const std::array<iovec, 2> parts = {{{bytes.data(), 9}, {bytes.data() + 9, room - 9}}};
    const auto got = port_->receive(header, parts);
    EXPECT_TRUE(!got || header == FrameHeader{});
    bytes.resize(got.value_or(0));
    return bytes;
  }
  bool ready() {
    pollfd watched{port_->descriptor(), POLLIN, 0};
    return ::poll(&watched, 1, 0) == 1;
  }
  void write(const Bytes& bytes) {
    ASSERT_EQ(::send(peer_.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
  }
  Bytes read(std::size_t bytes) {
    Bytes got(bytes);
    EXPECT_EQ(::recv(peer_.get(), got.data(), bytes, MSG_WAITALL), static_cast<ssize_t>(bytes));
    return got;
  }

  std::filesystem::path path_;
  vmm::UniqueFd listener_;
  vmm::UniqueFd peer_;
  std::optional<PasstPort> port_;
  std::vector<std::string> told_;
};

TEST_F(PasstPortTest, PutsALengthBeforeEachFrame) {
  send(frame_of(60));
  send(frame_of(300));
  EXPECT_EQ(read(64), framed(frame_of(60)));
  EXPECT_EQ(read(304), framed(frame_of(300)));
  EXPECT_EQ(port_->dropped(), 0U);
}

TEST_F(PasstPortTest, TakesFramesHoweverTheyCome) {
  EXPECT_FALSE(ready());
  Bytes all = framed(frame_of(60));
  for (const Bytes& more : {framed(frame_of(1514, 2)), framed(frame_of(kMostFrame, 3))}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  std::vector<Bytes> frames;
  for (std::size_t at = 0; at < all.size();) {
    const std::size_t size = std::min<std::size_t>(at < 130 ? 1 : 9000, all.size() - at);
    write(Bytes(all.begin() + static_cast<std::ptrdiff_t>(at),
                all.begin() + static_cast<std::ptrdiff_t>(at + size)));
    at += size;
    EXPECT_TRUE(ready());
    for (Bytes frame = receive(); !frame.empty(); frame = receive()) frames.push_back(frame);
    EXPECT_FALSE(ready());
  }
  EXPECT_EQ(frames, (std::vector<Bytes>{frame_of(60), frame_of(1514, 2), frame_of(kMostFrame, 3)}));
}

TEST_F(PasstPortTest, TakesFramesThatFillItsBuffer) {
  for (int i = 0; i < 2; ++i) write(framed(frame_of(kMostFrame, i)));
  EXPECT_EQ(receive(), frame_of(kMostFrame, 0));
  EXPECT_EQ(receive(), frame_of(kMostFrame, 1));
  EXPECT_TRUE(receive().empty());
  write(framed(frame_of(60)));
  EXPECT_EQ(receive(), frame_of(60));
}

TEST_F(PasstPortTest, DropsWhatDoesNotFitAndKeepsTheNext) {
  write(framed(frame_of(200)));
  write(framed(frame_of(3)));
  write(framed(frame_of(100)));
  EXPECT_TRUE(receive(100).empty());
  EXPECT_TRUE(receive(100).empty());
  EXPECT_EQ(port_->dropped(), 2U);
  EXPECT_EQ(receive(100), frame_of(100));
}

TEST_F(PasstPortTest, EndsAFrameThatWentInPartAndDropsOthersMeanwhile) {
  const std::size_t size = 60'000;
  int sent = 0;
  for (; port_->dropped() == 0; ++sent) send(frame_of(size, sent));
  --sent;  // of the last one nothing went
  for (int i = 0; i < sent; ++i) {
    EXPECT_EQ(read(size + 4), framed(frame_of(size, i))) << i;
    EXPECT_TRUE(receive().empty());  // it sends the rest
  }
  EXPECT_FALSE(ready());
  send(frame_of(60));
  EXPECT_EQ(read(64), framed(frame_of(60)));
}

TEST_F(PasstPortTest, TellsOnceThatTheOtherEndHasGone) {
  write(framed(frame_of(60)));
  peer_ = vmm::UniqueFd();
  EXPECT_TRUE(ready());
  EXPECT_EQ(receive(), frame_of(60));
  EXPECT_TRUE(port_->linked());
  EXPECT_TRUE(receive().empty());
  EXPECT_FALSE(port_->linked());
  EXPECT_FALSE(ready());
  send(frame_of(60));
  EXPECT_TRUE(receive().empty());
  EXPECT_EQ(told_.size(), 1U);
  EXPECT_EQ(port_->dropped(), 1U);
}

TEST_F(PasstPortTest, TellsWhenItSendsThatTheOtherEndHasGone) {
  peer_ = vmm::UniqueFd();
  send(frame_of(60));
  EXPECT_FALSE(port_->linked());
  EXPECT_EQ(told_.size(), 1U);
}

TEST_F(PasstPortTest, IsDoneWithAPeerThatSendsALengthOutOfBounds) {
  Bytes bytes(4, std::byte{0xff});
  write(bytes);
  EXPECT_TRUE(receive().empty());
  EXPECT_FALSE(port_->linked());
  ASSERT_EQ(told_.size(), 1U);
  EXPECT_NE(told_.front().find("4294967295"), std::string::npos);
}

TEST_F(PasstPortTest, ConnectsAgainAfterItWasClosed) {
  write(Bytes(3, std::byte{0}));
  EXPECT_TRUE(receive().empty());
  port_->close();
  EXPECT_FALSE(port_->linked());
  port_->open();
  peer_ = vmm::UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  write(framed(frame_of(60)));
  EXPECT_EQ(receive(), frame_of(60));
}

TEST(PasstPort, SaysWhereThereIsNobody) {
  PasstPort port("/nowhere/passt.sock", nullptr);
  try {
    port.open();
    FAIL();
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
    EXPECT_NE(std::string(error.what()).find("/nowhere/passt.sock"), std::string::npos);
  }
}

}  // namespace
}  // namespace devices::network

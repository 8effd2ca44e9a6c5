// A descriptor that goes beside the bytes of an offer.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "tests/migration/connection_fixture.hpp"
#include "vmm/os/unique_fd.hpp"

namespace migration::net {
namespace {

using wire::FrameType;
using wire::Role;

vmm::UniqueFd some_file() { return vmm::UniqueFd(::memfd_create("some", MFD_CLOEXEC)); }

ino_t inode(int file) {
  struct stat status {};
  EXPECT_EQ(::fstat(file, &status), 0);
  return status.st_ino;
}

class Descriptors : public Connections {
 protected:
  /// What the listening side says to an offer.
  std::string take_offer() {
    begin(welcome(connection_));
    return run();
  }

  std::shared_ptr<Connection> connection_ = connect();

 private:
  static asio::awaitable<void> welcome(std::shared_ptr<Connection> connection) {
    static_cast<void>(co_await connection->welcome(kLongTime));
    static_cast<void>(co_await connection->first_frame(FrameType::offer, "something else"));
  }
};

TEST_F(Descriptors, ComeWithAnOffer) {
  const vmm::UniqueFd file = some_file();
  const wire::Bytes offer = wire::frame_of(FrameType::offer, wire::Bytes(1000, std::byte{'x'}));
  peer_.send(wire::encode_preamble(Role::control));
  peer_.send(std::span(offer).first(3));
  peer_.send_with(std::span(offer).subspan(3, 1), std::array{file.get()});
  peer_.send(std::span(offer).subspan(4));
  EXPECT_EQ(take_offer(), "all is well");
  const vmm::UniqueFd came = connection_->take_descriptor();
  ASSERT_GE(came.get(), 0);
  EXPECT_EQ(inode(came.get()), inode(file.get()));
  EXPECT_NE(::fcntl(came.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(Descriptors, NeedNotCome) {
  peer_.send(wire::encode_preamble(Role::control));
  peer_.send(wire::frame_of(FrameType::offer, {}));
  EXPECT_EQ(take_offer(), "all is well");
  EXPECT_LT(connection_->take_descriptor().get(), 0);
}

TEST_F(Descriptors, AreNotTakenBeforeTheOffer) {
  const vmm::UniqueFd file = some_file();
  peer_.send_with(wire::encode_preamble(Role::control), std::array{file.get()});
  peer_.send(wire::frame_of(FrameType::offer, {}));
  EXPECT_EQ(take_offer(), "all is well");
  EXPECT_LT(connection_->take_descriptor().get(), 0);
}

TEST_F(Descriptors, AreOneAtTheMost) {
  const vmm::UniqueFd file = some_file();
  peer_.send(wire::encode_preamble(Role::control));
  peer_.send_with(wire::frame_of(FrameType::offer, {}), std::array{file.get(), file.get()});
  EXPECT_EQ(take_offer(), "the peer sent more than one descriptor");
}

TEST_F(Descriptors, ComeOnce) {
  const vmm::UniqueFd file = some_file();
  const wire::Bytes offer = wire::frame_of(FrameType::offer, {});
  peer_.send(wire::encode_preamble(Role::control));
  peer_.send_with(std::span(offer).first(1), std::array{file.get()});
  peer_.send_with(std::span(offer).subspan(1), std::array{file.get()});
  EXPECT_EQ(take_offer(), "the peer sent a second descriptor");
}

TEST_F(Descriptors, GoWithTheNextFrame) {
  const vmm::UniqueFd file = some_file();
  connection_->attach(file.get());
  connection_->send(FrameType::offer, wire::Bytes(100'000, std::byte{'x'}));
  begin([](std::shared_ptr<Connection> connection) -> asio::awaitable<void> {
    co_await connection->drained();
  }(connection_));
  EXPECT_EQ(run(), "all is well");
  wire::Bytes frame(wire::kHeaderBytes + 100'000);
  const vmm::UniqueFd came = peer_.receive_with(frame);
  ASSERT_GE(came.get(), 0);
  EXPECT_EQ(inode(came.get()), inode(file.get()));
  EXPECT_EQ(frame, wire::frame_of(FrameType::offer, wire::Bytes(100'000, std::byte{'x'})));
}

}  // namespace
}  // namespace migration::net

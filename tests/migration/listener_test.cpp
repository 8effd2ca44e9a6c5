#include "migration/net/listener.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <barrier>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "migration/net/address_error.hpp"

namespace migration::net {
namespace {

namespace fs = std::filesystem;

Endpoint endpoint(const char* ip) { return asio::ip::tcp::endpoint(asio::ip::make_address(ip), 0); }

bool answers(const Endpoint& there) {
  asio::io_context context;
  Socket caller(context);
  boost::system::error_code error;
  caller.connect(there, error);
  return !error;
}

TEST(TcpListener, HearsAtEachAddressOfANameByOnePort) {
  asio::io_context context;
  const Address name = parse_address("tcp:some.name:0");
  const std::vector<Endpoint> both{endpoint("::1"), endpoint("127.0.0.1")};
  Listener listener(context, name, both);
  EXPECT_EQ(listener.address().host, "some.name");
  const std::uint16_t port = listener.address().port;
  EXPECT_NE(port, 0);
  EXPECT_TRUE(answers(asio::ip::tcp::endpoint(asio::ip::make_address("127.0.0.1"), port)));
  if (listener.acceptors().size() < 2) GTEST_SKIP() << "this host has no IPv6";
  EXPECT_TRUE(answers(asio::ip::tcp::endpoint(asio::ip::make_address("::1"), port)));
}

TEST(TcpListener, DoesWithoutAnAddressThatTheHostLacks) {
  asio::io_context context;
  const Address name = parse_address("tcp:some.name:0");
  const std::vector<Endpoint> some{endpoint("192.0.2.77"), endpoint("127.0.0.1")};
  Listener listener(context, name, some);
  EXPECT_EQ(listener.acceptors().size(), 1U);
  EXPECT_THROW(Listener(context, name, std::span(some).first(1)), std::system_error);
}

TEST(TcpListener, DoesNotShareAPortThatIsTakenAtOneAddress) {
  asio::io_context context;
  Listener first(context, parse_address("tcp:127.0.0.1:0"));
  Address name = parse_address("tcp:some.name:0");
  name.port = first.address().port;
  const std::vector<Endpoint> both{
      asio::ip::tcp::endpoint(asio::ip::make_address("127.0.0.2"), name.port),
      asio::ip::tcp::endpoint(asio::ip::make_address("127.0.0.1"), name.port)};
  EXPECT_THROW(Listener(context, name, both), std::system_error);
}

class UnixListener : public testing::Test {
 public:
  UnixListener() : directory_(make_directory()), path_(directory_ + "/x.sock") {}
  ~UnixListener() override { fs::remove_all(directory_); }

 protected:
  static std::string make_directory() {
    std::string name = testing::TempDir() + "ferry-listener-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no directory");
    return name;
  }
  [[nodiscard]] std::unique_ptr<Listener> listen() {
    return std::make_unique<Listener>(context_, parse_address("unix:" + path_));
  }
  std::string refusal() {
    try {
      static_cast<void>(listen());
    } catch (const AddressError& error) {
      return error.what();
    }
    return "listens";
  }
  /// As a process that is killed does.
  void leave_dead_socket(int type = SOCK_STREAM) const {
    const int fd = ::socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(static_cast<char*>(address.sun_path), sizeof(address.sun_path) - 1);
    EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    ::close(fd);
  }
  [[nodiscard]] std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(directory_), fs::directory_iterator()));
  }

  asio::io_context context_;
  const std::string directory_;
  const std::string path_;
};

TEST_F(UnixListener, ReplacesWhatADeadProcessHasLeft) {
  leave_dead_socket();
  const auto listener = listen();
  EXPECT_TRUE(answers(asio::local::stream_protocol::endpoint(path_)));
  EXPECT_EQ(files(), 1U);
}

TEST_F(UnixListener, IsForThisUserAlone) {
  const auto listener = listen();
  struct stat status {};
  ASSERT_EQ(::lstat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST_F(UnixListener, RemovesItsFileAndNoOther) {
  auto first = listen();
  fs::rename(path_, directory_ + "/moved");
  const auto second = listen();
  first.reset();
  EXPECT_TRUE(answers(asio::local::stream_protocol::endpoint(path_)));
  second->close();
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(UnixListener, SaysWhatIsInTheWay) {
  std::ofstream(path_) << "precious";
  EXPECT_NE(refusal().find("a file is there that is no socket"), std::string::npos) << refusal();
  EXPECT_EQ(fs::file_size(path_), 8U);
  fs::remove(path_);
  fs::create_directory(path_);
  EXPECT_NE(refusal().find("a directory is there"), std::string::npos) << refusal();
  fs::remove(path_);
  fs::create_symlink(directory_ + "/gone", path_);
  EXPECT_NE(refusal().find("a file is there that is no socket"), std::string::npos) << refusal();
  fs::remove(path_);
  {
    const auto other = listen();
    EXPECT_NE(refusal().find("in use: another process listens"), std::string::npos) << refusal();
    EXPECT_TRUE(fs::exists(path_));
  }
  EXPECT_EQ(files(), 0U);
}

TEST_F(UnixListener, IsOneOfManyThatStartAtOnce) {
  constexpr int kRounds = 40;
  constexpr int kMany = 4;
  for (int round = 0; round < kRounds; ++round) {
    leave_dead_socket();
    std::barrier start(kMany), end(kMany);
    std::atomic<int> listening = 0, refused = 0;
    std::vector<std::thread> threads;
    threads.reserve(kMany);
    for (int i = 0; i < kMany; ++i) {
      threads.emplace_back([&] {
        asio::io_context context;
        start.arrive_and_wait();
        std::unique_ptr<Listener> listener;
        try {
          listener = std::make_unique<Listener>(context, parse_address("unix:" + path_));
          ++listening;
        } catch (const AddressError&) {
          ++refused;
        }
        end.arrive_and_wait();
      });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(listening, 1);
    ASSERT_EQ(refused, kMany - 1);
    ASSERT_EQ(files(), 0U);
  }
}

}  // namespace
}  // namespace migration::net

#include "devices/storage/nbd_storage.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "tests/devices/storage/nbd_server.hpp"

namespace devices::storage {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

const std::vector<std::string> kMemory = {"memory", "1M"};
constexpr std::uint64_t kDiskSize = 1 << 20;
constexpr std::chrono::seconds kPatience{20};

class NbdStorageTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = NbdServer::missing(); !missing.empty()) GTEST_SKIP() << missing;
  }

  void serve(const std::vector<std::string>& arguments) { server_.emplace(arguments); }
  [[nodiscard]] NbdOptions options(bool read_only = false) const {
    return {.uri = server_->uri(), .read_only = read_only, .id = "some disk"};
  }
  /// Of `arguments`' disk.
  [[nodiscard]] std::string complaint(const std::vector<std::string>& arguments,
                                      bool read_only = false) {
    serve(arguments);
    return what_of([&] { const NbdStorage storage(options(read_only)); });
  }
  [[nodiscard]] std::string disk() const { return "disk 'nbd:" + server_->uri() + "'"; }

  static std::string what_of(const std::function<void()>& act) {
    try {
      act();
    } catch (const std::exception& error) {
      return error.what();
    }
    return "none";
  }
  static std::string read(NbdStorage& storage, std::uint64_t offset, std::size_t bytes) {
    std::string text(bytes, '-');
    iovec part{text.data(), text.size()};
    storage.read(offset, {&part, 1});
    return text;
  }
  static void write(NbdStorage& storage, std::uint64_t offset, std::string text) {
    iovec part{text.data(), text.size()};
    storage.write(offset, {&part, 1});
  }
  /// Whether its server is found to be dead some day.
  static bool fails_at_last(NbdStorage& storage) {
    const auto end = steady_clock::now() + kPatience;
    while (what_of([&] { read(storage, 0, 512); }) == "none") {
      if (steady_clock::now() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }
  /// Whether it is done some day.
  static bool works_again(const std::function<void()>& act) {
    const auto end = steady_clock::now() + kPatience;
    while (what_of(act) != "none") {
      if (steady_clock::now() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }

  std::optional<NbdServer> server_;
};

TEST_F(NbdStorageTest, HasWhatTheServerHas) {
  serve(kMemory);
  const NbdStorage storage(options());
  EXPECT_EQ(storage.size(), kDiskSize);
  EXPECT_EQ(storage.id(), "some disk");
  EXPECT_FALSE(storage.read_only());
  EXPECT_EQ(storage.host_part(), "nbd 1048576 writable ");
}

TEST_F(NbdStorageTest, WritesAndReadsParts) {
  serve(kMemory);
  NbdStorage storage(options());
  storage.acquire();
  std::string first(100, 'a');
  std::string second(412, 'b');
  std::vector<iovec> parts{{first.data(), first.size()}, {second.data(), second.size()}};
  storage.write(kSectorSize, parts);
  EXPECT_EQ(read(storage, 0, 1024), std::string(512, '\0') + first + second);
  std::string third(512, '-');
  std::string fourth(512, '-');
  parts = {{third.data(), third.size()}, {nullptr, 0}, {fourth.data(), fourth.size()}};
  EXPECT_FALSE(storage.try_read(kSectorSize, parts));
  storage.read(kSectorSize, parts);
  EXPECT_EQ(third, first + second);
  EXPECT_EQ(fourth, std::string(512, '\0'));
  storage.release();
}

TEST_F(NbdStorageTest, HasManyRequestsUnderWay) {
  constexpr int kThreads = 8;
  constexpr milliseconds kDelay{500};
  serve({"--filter=delay", "memory", "1M", "delay-read=500ms"});
  NbdStorage storage(options());
  storage.acquire();
  const auto start = steady_clock::now();
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] { EXPECT_EQ(read(storage, 0, 512), std::string(512, '\0')); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LT(steady_clock::now() - start, kDelay * kThreads / 2);
}

TEST_F(NbdStorageTest, SplitsWhatTheServerDoesNotTakeAtOnce) {
  serve({"--filter=blocksize-policy", "memory", "8M", "blocksize-maximum=64K",
         "blocksize-error-policy=error"});
  NbdStorage storage(options());
  storage.acquire();
  std::string text(100 << 10, 'a');
  text += std::string(100 << 10, 'b');
  write(storage, 512, text);
  EXPECT_EQ(read(storage, 512, text.size()), text);
}

TEST_F(NbdStorageTest, SplitsWhatIsLargeForItself) {
  serve({"memory", "8M"});
  NbdStorage storage(options());
  storage.acquire();
  const std::string text = std::string(3 << 20, 'a') + std::string(3 << 20, 'b');
  write(storage, 512, text);
  EXPECT_EQ(read(storage, 512, text.size()), text);
}

TEST_F(NbdStorageTest, ZeroesAndDiscards) {
  for (const char* filter : {"--filter=noparallel", "--filter=nozero"}) {
    serve({filter, "memory", "1M"});
    NbdStorage storage(options());
    storage.acquire();
    write(storage, 0, std::string(kDiskSize, 'd'));
    storage.write_zeroes(512, 1024, false);
    storage.write_zeroes(4096, kDiskSize - 4096, true);
    EXPECT_EQ(read(storage, 0, 4096),
              std::string(512, 'd') + std::string(1024, '\0') + std::string(2560, 'd'));
    EXPECT_EQ(read(storage, 4096, kDiskSize - 4096), std::string(kDiskSize - 4096, '\0'));
    storage.discard(0, kDiskSize);
    storage.flush();
  }
}

TEST_F(NbdStorageTest, DiscardsNothingWhereTheServerCannot) {
  serve({"--filter=readahead", "eval", "get_size=echo 1M", "pread=head -c $3 /dev/zero",
         "pwrite=cat >/dev/null", "flush=:", "can_flush=:"});
  NbdStorage storage(options());
  storage.acquire();
  EXPECT_NO_THROW(storage.discard(0, kDiskSize));
}

TEST_F(NbdStorageTest, SaysWhatFailed) {
  serve(kMemory);
  const std::string file = server_->path("fail");
  server_->kill();
  server_->start(
      {"--filter=error", "memory", "1M", "error=ENOSPC", "error-rate=100%", "error-file=" + file});
  NbdStorage storage(options());
  storage.acquire();
  EXPECT_NO_THROW(read(storage, 0, 512));
  std::ofstream(file) << "now";
  try {
    write(storage, 0, std::string(512, 'a'));
    FAIL();
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), ENOSPC);
    EXPECT_EQ(std::string(error.what()).find(disk() + ": cannot write: the server says no"), 0U)
        << error.what();
  }
  std::filesystem::remove(file);
  EXPECT_NO_THROW(write(storage, 0, std::string(512, 'a')));
}

TEST_F(NbdStorageTest, FindsAServerThatDiedAgain) {
  serve(kMemory);
  NbdStorage storage(options());
  storage.acquire();
  server_->kill();
  const std::string what = what_of([&] { read(storage, 0, 512); });
  EXPECT_EQ(what.find(disk() + ": cannot read: the connection is lost"), 0U) << what;
  server_->start(kMemory);
  EXPECT_TRUE(works_again([&] { read(storage, 0, 512); }));
  EXPECT_NO_THROW(storage.flush());
  EXPECT_NO_THROW(storage.release());
}

TEST_F(NbdStorageTest, FindsADeadServerAgainWhenItIsAcquired) {
  serve(kMemory);
  NbdStorage storage(options());
  server_->kill();
  ASSERT_TRUE(fails_at_last(storage));
  const std::string what = what_of([&] { storage.acquire(); });
  EXPECT_EQ(what.find(disk() + ": cannot acquire: cannot connect"), 0U) << what;
  server_->start(kMemory);
  EXPECT_NO_THROW(storage.acquire());
  EXPECT_NO_THROW(read(storage, 0, 512));
}

TEST_F(NbdStorageTest, TellsOnceThatWritesMayBeLost) {
  serve(kMemory);
  NbdStorage storage(options());
  storage.acquire();
  write(storage, 0, std::string(512, 'a'));
  server_->kill();
  server_->start(kMemory);
  ASSERT_TRUE(works_again([&] { read(storage, 0, 512); }));
  for (int i = 0; i < 2; ++i) {
    const std::string what = what_of([&] { storage.release(); });
    EXPECT_NE(what.find("not flushed may be lost"), std::string::npos) << what;
  }
  const std::string what = what_of([&] { storage.flush(); });
  EXPECT_NE(what.find("not flushed may be lost"), std::string::npos) << what;
  EXPECT_NO_THROW(storage.flush());
  EXPECT_NO_THROW(storage.release());
}

TEST_F(NbdStorageTest, FlushesNothingTwiceAsItIsReleased) {
  serve(kMemory);
  NbdOptions options = this->options();
  options.limit = milliseconds(300);
  NbdStorage storage(options);
  storage.acquire();
  const std::vector<std::function<void()>> changes = {
      [&] { write(storage, 0, std::string(512, 'a')); }, [&] { storage.discard(0, 512); },
      [&] { storage.write_zeroes(0, 512, false); }};
  for (const auto& change : changes) {
    change();
    storage.prepare_release();
    server_->stop();
    EXPECT_NO_THROW(storage.release());
    server_->go_on();
    storage.acquire();
  }
  changes[0]();
  server_->stop();
  EXPECT_NE(what_of([&] { storage.release(); }).find("does not answer"), std::string::npos);
}

TEST_F(NbdStorageTest, TellsNothingOfWritesThatWereFlushed) {
  serve(kMemory);
  NbdStorage storage(options());
  storage.acquire();
  write(storage, 0, std::string(512, 'a'));
  storage.flush();
  server_->kill();
  server_->start(kMemory);
  ASSERT_TRUE(works_again([&] { read(storage, 0, 512); }));
  EXPECT_NO_THROW(storage.flush());
}

TEST_F(NbdStorageTest, TakesNoOtherDiskForIts) {
  serve(kMemory);
  NbdStorage storage(options());
  server_->kill();
  ASSERT_TRUE(fails_at_last(storage));
  server_->start({"memory", "2M"});
  const std::string what = what_of([&] { storage.acquire(); });
  EXPECT_NE(what.find("another disk there now"), std::string::npos) << what;
}

TEST_F(NbdStorageTest, GivesUpAServerThatHangs) {
  // With several threads nbdkit ends when it is to answer on a connection that is gone.
  serve({"--threads=1", "memory", "1M"});
  NbdOptions options = this->options();
  options.limit = milliseconds(300);
  NbdStorage storage(options);
  storage.acquire();
  server_->stop();
  try {
    read(storage, 0, 512);
    FAIL();
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), ETIMEDOUT);
    EXPECT_EQ(std::string(error.what()).find(disk() + ": cannot read: the server does not answer"),
              0U)
        << error.what();
  }
  server_->go_on();
  EXPECT_TRUE(works_again([&] { read(storage, 0, 512); }));
}

TEST_F(NbdStorageTest, EndsWithoutAServerThatHangs) {
  serve(kMemory);
  auto storage = std::make_unique<NbdStorage>(options());
  server_->stop();
  const auto start = steady_clock::now();
  storage.reset();
  EXPECT_LT(steady_clock::now() - start, std::chrono::seconds(10));
}

TEST_F(NbdStorageTest, DoesNotWaitForAServerThatHangsFromTheStart) {
  serve(kMemory);
  { const NbdStorage storage(options()); }  // it runs
  server_->stop();
  NbdOptions options = this->options();
  options.limit = milliseconds(300);
  const std::string what = what_of([&] { const NbdStorage storage(options); });
  EXPECT_EQ(what.find(disk() + ": cannot open: cannot connect: the server does not answer"), 0U)
      << what;
}

TEST_F(NbdStorageTest, SeesWhatAnotherHasFlushed) {
  for (const char* mode : {"emulate", "disable"}) {
    serve({"--filter=multi-conn", "memory", "1M", "multi-conn-mode=" + std::string(mode)});
    NbdStorage source(options());
    NbdStorage target(options());
    source.acquire();
    write(source, 0, std::string(512, 'a'));
    source.release();
    target.acquire();
    EXPECT_EQ(read(target, 0, 512), std::string(512, 'a'));
  }
}

TEST_F(NbdStorageTest, KnowsTheSameDisk) {
  serve(kMemory);
  const NbdStorage storage(options());
  NbdIdentity other = nbd_identity(storage.host_part());
  EXPECT_NO_THROW(storage.check_same(other));
  other.name = "another";
  EXPECT_THROW(storage.check_same(other), std::invalid_argument);
  other = storage.identity();
  other.bytes += kSectorSize;
  EXPECT_THROW(storage.check_same(other), std::invalid_argument);
}

TEST_F(NbdStorageTest, RefusesWhatNoGuestCanUse) {
  EXPECT_EQ(complaint({"--readonly", "memory", "1M"}, true), "none");
  EXPECT_NE(complaint({"--readonly", "memory", "1M"}).find("read-only, it needs less"),
            std::string::npos);
  EXPECT_NE(complaint({"memory", "0"}).find("' is empty: give it a size"), std::string::npos);
  EXPECT_NE(complaint({"memory", "1000"}).find("no multiple of 512"), std::string::npos);
  EXPECT_NE(complaint({"--filter=blocksize-policy", "memory", "1M", "blocksize-minimum=4096",
                       "blocksize-error-policy=error"})
                .find("no less than 4096 bytes"),
            std::string::npos);
  const std::vector<std::string> flushes_nothing = {
      "eval", "get_size=echo 1M", "pread=head -c $3 /dev/zero", "pwrite=cat >/dev/null"};
  EXPECT_NE(complaint(flushes_nothing).find("cannot flush"), std::string::npos);
  EXPECT_EQ(complaint(flushes_nothing, true), "none");
}

TEST_F(NbdStorageTest, RefusesWhatIsNotThere) {
  serve(kMemory);
  server_->kill();
  try {
    const NbdStorage storage(options());
    FAIL();
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), ENOENT);
    EXPECT_EQ(std::string(error.what()).find(disk() + ": cannot open: cannot connect"), 0U)
        << error.what();
  }
  EXPECT_NE(what_of([] {
              const NbdStorage storage({.uri = "gopher://here", .id = {}});
            }).find("disk 'nbd:gopher://here': cannot open"),
            std::string::npos);
}

TEST_F(NbdStorageTest, RefusesAnIdThatIsTooLong) {
  serve(kMemory);
  EXPECT_THROW(NbdStorage({.uri = server_->uri(), .id = std::string(21, 'i')}),
               std::invalid_argument);
}

TEST(NbdIdentity, IsReadAsItIsWrittenAndInNoOtherWay) {
  for (const std::string name : {"", "an export", "a"}) {
    const NbdIdentity identity{.bytes = 1024, .read_only = true, .name = name};
    EXPECT_EQ(to_text(identity), "nbd 1024 read-only " + name);
    EXPECT_EQ(nbd_identity(to_text(identity)), identity);
  }
  for (const std::string& unsound :
       {std::string(), std::string("nbd"), std::string("nbd 1024 read-only"),
        std::string("nbd -1 writable x"), std::string("nbd 1024 so-so x"),
        std::string("nbd 99999999999999999999 writable x"), std::string("nbd  1024 writable x"),
        std::string("disk 1024 writable x"), "nbd 1 writable " + std::string(5000, 'x')}) {
    EXPECT_THROW(static_cast<void>(nbd_identity(unsound)), std::invalid_argument) << unsound;
  }
}

}  // namespace
}  // namespace devices::storage

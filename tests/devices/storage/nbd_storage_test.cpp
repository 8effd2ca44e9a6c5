#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "tests/devices/storage/nbd_storage_fixture.hpp"

namespace devices::storage {
namespace {

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

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "tests/devices/storage/nbd_storage_fixture.hpp"
#include "vmm/os/unique_fd.hpp"

namespace devices::storage {
namespace {

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

TEST_F(NbdStorageTest, IsAcquiredAgainWithoutItsServerByWhoHadIt) {
  const std::vector<std::string> caches = {"--filter=multi-conn", "memory", "1M",
                                           "multi-conn-mode=disable"};
  for (const auto& arguments : {kMemory, caches}) {
    serve(arguments);
    std::vector<std::string> told;
    NbdOptions options = this->options();
    options.limit = milliseconds(1000);
    options.report = [&told](const std::string& what) { told.push_back(what); };
    NbdStorage storage(options);
    storage.acquire();
    write(storage, 0, std::string(512, 'a'));
    storage.release();
    server_->kill();
    ASSERT_TRUE(fails_at_last(storage));
    EXPECT_NO_THROW(storage.acquire());
    ASSERT_EQ(told.size(), 1U);
    EXPECT_NE(told[0].find(disk() + ": cannot acquire: cannot connect"), std::string::npos)
        << told[0];
    EXPECT_NE(what_of([&] { read(storage, 0, 512); }), "none");
    server_->start(arguments);
    EXPECT_TRUE(works_again([&] { read(storage, 0, 512); }));
    EXPECT_NO_THROW(storage.release());
  }
}

TEST_F(NbdStorageTest, WaitsForItsServerWhereItIsAcquiredAgain) {
  serve(kMemory);
  NbdStorage storage(options());
  storage.acquire();
  storage.release();
  server_->kill();
  ASSERT_TRUE(fails_at_last(storage));
  std::thread acquiring([&] { EXPECT_NO_THROW(storage.acquire()); });
  server_->start(kMemory);
  acquiring.join();
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

// A server that tells of a loss once, as kernels do.
TEST_F(NbdStorageTest, TellsTheGuestOfALossThatItHeardItself) {
  serve(kMemory);
  const std::string file = server_->path("fail");
  server_->kill();
  server_->start({"eval", "get_size=echo 1M", "pread=head -c $3 /dev/zero", "pwrite=cat >/dev/null",
                  "flush=if rm " + file + "; then echo EIO >&2; exit 1; fi"});
  NbdStorage storage(options());
  storage.acquire();
  write(storage, 0, std::string(512, 'a'));
  std::ofstream(file) << "now";
  const std::string first = what_of([&] { storage.prepare_release(); });
  EXPECT_NE(first.find("the server says no"), std::string::npos) << first;
  const std::string again = what_of([&] { storage.prepare_release(); });
  EXPECT_NE(again.find("not flushed may be lost"), std::string::npos) << again;
  const std::string told = what_of([&] { storage.flush(); });
  EXPECT_NE(told.find("not flushed may be lost"), std::string::npos) << told;
  EXPECT_NO_THROW(storage.flush());
  EXPECT_NO_THROW(storage.prepare_release());
}

TEST_F(NbdStorageTest, TellsAFlushOfTheGuestThatIsUnderWayOfALossThatItHeardItself) {
  serve(kMemory);
  const std::string gate = server_->path("gate");
  const std::string file = server_->path("fail");
  server_->kill();
  ASSERT_EQ(::mkfifo(gate.c_str(), 0600), 0);
  server_->start({"eval", "thread_model=echo parallel", "get_size=echo 1M",
                  "pread=head -c $3 /dev/zero", "pwrite=cat >/dev/null",
                  "flush=if rm " + file + "; then echo EIO >&2; exit 1; fi; if [ -p " + gate +
                      " ]; then cat " + gate + "; fi"});
  NbdStorage storage(options());
  storage.acquire();
  write(storage, 0, std::string(512, 'a'));
  std::string told;
  std::thread guest([&] { told = what_of([&] { storage.flush(); }); });
  vmm::UniqueFd opened(::open(gate.c_str(), O_WRONLY | O_CLOEXEC));  // it is under way
  std::filesystem::remove(gate);
  std::ofstream(file) << "now";
  const std::string ours = what_of([&] { storage.prepare_release(); });
  opened = vmm::UniqueFd();
  guest.join();
  EXPECT_NE(ours.find("the server says no"), std::string::npos) << ours;
  EXPECT_NE(told.find("not flushed may be lost"), std::string::npos) << told;
  EXPECT_NO_THROW(storage.flush());
  EXPECT_NO_THROW(storage.prepare_release());
}

// A migration that gives up leaves the guest's requests alone.
TEST_F(NbdStorageTest, KeepsAConnectionWhereAFlushOfItsOwnTakesTooLong) {
  serve(kMemory);
  const std::string gate = server_->path("gate");
  server_->kill();
  ASSERT_EQ(::mkfifo(gate.c_str(), 0600), 0);
  server_->start({"eval", "thread_model=echo parallel", "get_size=echo 1M",
                  "pread=head -c $3 /dev/zero", "pwrite=cat >/dev/null",
                  "flush=if [ -p " + gate + " ]; then cat " + gate + "; fi"});
  NbdOptions options = this->options();
  options.limit = milliseconds(3000);
  NbdStorage storage(options);
  storage.acquire();
  write(storage, 0, std::string(512, 'a'));
  std::atomic<bool> over{false};
  std::thread reader([&] {
    while (!over) EXPECT_NO_THROW(read(storage, 0, 512));
  });
  const std::string what = what_of([&] { storage.prepare_release(); });
  EXPECT_NE(what.find("does not answer"), std::string::npos) << what;
  { const vmm::UniqueFd opened(::open(gate.c_str(), O_WRONLY | O_CLOEXEC)); }
  std::filesystem::remove(gate);
  EXPECT_NO_THROW(storage.flush());
  over = true;
  reader.join();
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

}  // namespace
}  // namespace devices::storage

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <string>
#include <thread>

#include "tests/devices/storage/nbd_storage_fixture.hpp"
#include "vmm/os/unique_fd.hpp"

namespace devices::storage {
namespace {

/// A server that hangs in a flush while the gate is there, and notes what it does. On another
/// connection it goes on.
class ASilentServer : public NbdStorageTest {
 protected:
  void SetUp() override {
    NbdStorageTest::SetUp();
    if (IsSkipped()) return;
    serve(kMemory);
    server_->kill();
    gate_ = server_->path("gate");
    log_ = server_->path("log");
  }

  /// `model`: what it does beside what else.
  void start(const std::string& model) {
    ASSERT_EQ(::mkfifo(gate_.c_str(), 0600), 0);
    const std::string hang = "if [ -p " + gate_ + " ]; then cat " + gate_ + "; fi";
    server_->start({"eval", "thread_model=echo " + model, "get_size=echo 1M",
                    "open=echo open >>" + log_ + "; if [ -p " + server_->path("door") +
                        " ]; then cat " + server_->path("door") + "; fi",
                    "pread=echo read >>" + log_ + "; head -c $3 /dev/zero", "pwrite=cat >/dev/null",
                    "flush=" + hang});
    const NbdStorage storage(NbdStorageTest::options());  // it runs
  }
  [[nodiscard]] NbdOptions options(std::chrono::milliseconds limit) const {
    NbdOptions options = NbdStorageTest::options();
    options.limit = limit;
    return options;
  }
  /// With something to flush.
  void hang_in_a_flush_of_ours(NbdStorage& storage) const {
    storage.acquire();
    write(storage, 0, std::string(512, 'a'));
    const std::string what = what_of([&] { storage.prepare_release(); });
    EXPECT_NE(what.find("does not answer"), std::string::npos) << what;
  }
  void open_gate() const {
    { const vmm::UniqueFd opened(::open(gate_.c_str(), O_WRONLY | O_CLOEXEC)); }
    std::filesystem::remove(gate_);
  }
  [[nodiscard]] int times(const std::string& what) const {
    std::ifstream log(log_);
    return static_cast<int>(std::count(std::istream_iterator<std::string>(log),
                                       std::istream_iterator<std::string>(), what));
  }
  /// Whether it has been done so often some day.
  [[nodiscard]] bool wait_for(const std::string& what, int times) const {
    const auto end = steady_clock::now() + kPatience;
    while (this->times(what) < times) {
      if (steady_clock::now() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }

  std::string gate_;
  std::string log_;
};

TEST_F(ASilentServer, IsGivenUpThoughTheGuestAsksForNothing) {
  start("serialize_requests");
  NbdStorage storage(options(std::chrono::milliseconds(1000)));
  hang_in_a_flush_of_ours(storage);
  const int before = times("open");
  EXPECT_TRUE(wait_for("open", before + 1));
  open_gate();
  EXPECT_NO_THROW(read(storage, 0, 512));
  const std::string what = what_of([&] { storage.flush(); });
  EXPECT_NE(what.find("not flushed may be lost"), std::string::npos) << what;
  EXPECT_NO_THROW(storage.flush());
}

TEST_F(ASilentServer, DoesNotFailWhatTheGuestAsksForWhileAnotherConnectionIsMade) {
  start("serialize_requests");
  NbdStorage storage(options(std::chrono::milliseconds(2000)));
  hang_in_a_flush_of_ours(storage);
  const int before = times("open");
  const std::string door = server_->path("door");
  ASSERT_EQ(::mkfifo(door.c_str(), 0600), 0);
  ASSERT_TRUE(wait_for("open", before + 1));
  auto guest =
      std::async(std::launch::async, [&] { return what_of([&] { read(storage, 0, 512); }); });
  EXPECT_EQ(guest.wait_for(std::chrono::milliseconds(200)), std::future_status::timeout);
  { const vmm::UniqueFd opened(::open(door.c_str(), O_WRONLY | O_CLOEXEC)); }
  std::filesystem::remove(door);
  EXPECT_EQ(guest.get(), "none");
  open_gate();
}

TEST_F(ASilentServer, IsWaitedForWhileSomethingOfTheGuestIsUnderWay) {
  start("serialize_requests");
  NbdStorage storage(options(std::chrono::milliseconds(2000)));
  hang_in_a_flush_of_ours(storage);
  std::this_thread::sleep_for(std::chrono::milliseconds(1000));
  auto guest =
      std::async(std::launch::async, [&] { return what_of([&] { read(storage, 0, 512); }); });
  std::this_thread::sleep_for(std::chrono::milliseconds(1400));  // it would have been given up
  open_gate();
  EXPECT_EQ(guest.get(), "none");
  EXPECT_NO_THROW(storage.flush());
}

TEST_F(ASilentServer, IsNoneThatAnswersSomethingElse) {
  start("parallel");
  const std::chrono::milliseconds limit(1000);
  NbdStorage storage(options(limit));
  hang_in_a_flush_of_ours(storage);
  const int before = times("open");
  EXPECT_TRUE(wait_for("read", 1));
  std::this_thread::sleep_for(2 * limit);
  EXPECT_EQ(times("open"), before);
  open_gate();
  EXPECT_NO_THROW(storage.flush());
}

// No other machine has written to it.
TEST_F(ASilentServer, IsNoneThatIsTakenBackWithTheConnectionItHas) {
  start("parallel");
  std::filesystem::remove(gate_);
  NbdStorage storage(options(std::chrono::milliseconds(1000)));
  storage.acquire();
  storage.release();
  const int before = times("open");
  for (int i = 0; i < 3; ++i) {
    storage.acquire();  // as after a migration that failed
    EXPECT_NO_THROW(read(storage, 0, 512));
    storage.release();
  }
  EXPECT_EQ(times("open"), before);
}

}  // namespace
}  // namespace devices::storage

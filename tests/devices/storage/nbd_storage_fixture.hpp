#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "devices/storage/nbd_storage.hpp"
#include "tests/devices/storage/nbd_server.hpp"

namespace devices::storage {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

inline const std::vector<std::string> kMemory = {"memory", "1M"};
inline constexpr std::uint64_t kDiskSize = 1 << 20;
inline constexpr std::chrono::seconds kPatience{20};

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

}  // namespace devices::storage

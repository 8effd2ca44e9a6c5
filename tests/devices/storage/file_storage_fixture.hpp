#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <system_error>

#include "devices/storage/file_storage.hpp"

namespace devices::storage {

inline constexpr std::uint64_t kSize = 64 * kSectorSize;

class FileStorageTest : public testing::Test {
 public:
  FileStorageTest(const FileStorageTest&) = delete;
  FileStorageTest& operator=(const FileStorageTest&) = delete;
  ~FileStorageTest() override { std::filesystem::remove_all(directory_); }

 protected:
  FileStorageTest() : FileStorageTest(testing::TempDir()) {}
  explicit FileStorageTest(const std::string& where) {
    std::string name = where + "/ferry-storage-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    directory_ = name;
    path_ = directory_ / "disk";
    std::ofstream(path_) << std::string(kSize, 'd');
  }

  [[nodiscard]] FileStorage storage(bool read_only = false) const {
    return FileStorage({.path = path_, .read_only = read_only, .id = "some disk"});
  }
  static void write_some(FileStorage& disk) {
    std::string bytes(kSectorSize, 'w');
    iovec part{bytes.data(), bytes.size()};
    disk.write(0, {&part, 1});
  }
  [[nodiscard]] std::string content() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  /// As `content` with `with` at `offset`.
  static std::string changed(std::string content, std::size_t offset, const std::string& with) {
    return content.replace(offset, with.size(), with);
  }
  static std::error_code code_of(const std::function<void()>& act) {
    try {
      act();
    } catch (const std::system_error& error) {
      return error.code();
    }
    return {};
  }
  [[nodiscard]] int error_of_opening(bool read_only = false) const {
    return code_of([&] { static_cast<void>(storage(read_only)); }).value();
  }
  [[nodiscard]] std::string complaint() const {
    try {
      static_cast<void>(storage());
    } catch (const std::exception& error) {
      return error.what();
    }
    return "none";
  }

  std::filesystem::path directory_;
  std::filesystem::path path_;
};

}  // namespace devices::storage

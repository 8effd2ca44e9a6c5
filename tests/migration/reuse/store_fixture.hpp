#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "migration/reuse/image_store.hpp"

namespace migration {

inline const std::string kVm = "0a1b2c3d-0000-4111-8222-333344445555";
inline const std::string kOther = "ffffffff-0000-4111-8222-333344445555";
inline constexpr std::uint64_t kRam = 16U << 20;
inline constexpr std::uint64_t kPages = kRam / vmm::kPageSize;

/// A store below a new directory, in which VMs of 16 MiB are kept: pages 10 to 109 have content.
class StoreFixture : public ::testing::Test {
 public:
  StoreFixture(const StoreFixture&) = delete;
  StoreFixture& operator=(const StoreFixture&) = delete;
  ~StoreFixture() override { std::filesystem::remove_all(directory_); }

 protected:
  explicit StoreFixture(const char* where) {
    std::string name = std::string(where) + "/ferry-store-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    directory_ = name;
    path_ = directory_ / "store";
  }

  ImageStore open(std::uint64_t limit = ImageStore::kUnlimited) {
    return ImageStore(path_, limit, [this](const std::string& text) { told_ += text + '\n'; });
  }
  [[nodiscard]] bool was_told(const std::string& text) const {
    return told_.find(text) != std::string::npos;
  }

  static void fill(vmm::GuestMemory& memory, unsigned seed = 1) {
    for (vmm::PageIndex page = 10; page < 110; ++page) {
      memory.pages({page, 1})[page] = static_cast<std::byte>(page + seed);
    }
  }
  static vmm::GuestMemory full_memory(unsigned seed = 1) {
    vmm::GuestMemory memory(kRam, vmm::Backing::memfd);
    fill(memory, seed);
    return memory;
  }
  static vmm::PageSet pages(std::vector<vmm::PageRange> ranges) {
    vmm::PageSet set(kPages);
    for (const vmm::PageRange& range : ranges) set.set(range);
    return set;
  }
  static vmm::PageSet all() { return pages({{0, kPages}}); }
  static Token token(unsigned number) {
    Token token{};
    token.fill(static_cast<std::byte>(number));
    return token;
  }
  static ImageStore::Kept keep(ImageStore& store, unsigned number = 1,
                               const std::string& vm_id = kVm) {
    vmm::GuestMemory memory = full_memory(number);
    return store.keep({vm_id, "guest", token(number)}, memory, all());
  }

  [[nodiscard]] std::filesystem::path file(const std::string& suffix,
                                           const std::string& vm_id = kVm) const {
    return path_ / (vm_id + suffix);
  }
  [[nodiscard]] std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
      names.push_back(entry.path().filename());
    }
    std::ranges::sort(names);
    return names;
  }
  static std::uint64_t allocated(const std::filesystem::path& path) {
    struct stat status {};
    EXPECT_EQ(::stat(path.c_str(), &status), 0);
    return static_cast<std::uint64_t>(status.st_blocks) * 512;
  }
  static void flip(const std::filesystem::path& path, std::uint64_t at) {
    std::fstream stream(path, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(at));
    const char byte = static_cast<char>(stream.get() ^ 1);
    stream.seekp(static_cast<std::streamoff>(at));
    stream.put(byte);
    stream.close();
    EXPECT_FALSE(stream.fail()) << path;
  }
  std::filesystem::path directory_;
  std::filesystem::path path_;
  std::string told_;
};

}  // namespace migration

#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "migration/reuse/store_files.hpp"

namespace migration {

/// What one process has been promised of room that it shares with others.
struct Promised {
  std::vector<std::string> of;  ///< whose room: names without a line break
  std::uint64_t bytes = 0;
  std::uint64_t taken = 0;  ///< of these by now: whoever measures the room sees them already
  bool operator==(const Promised&) const = default;
};

/// The text of an entry: as long as `of` stays what it is, of the same length whatever the numbers.
[[nodiscard]] std::string encode(const Promised& promised);
/// nullopt for what encode() does not make.
[[nodiscard]] std::optional<Promised> decode_promised(std::string_view text);

/// Bytes of the room `of` that are promised and not taken.
[[nodiscard]] std::uint64_t promised_of(std::span<const Promised> all, std::string_view of);

/// Who has been promised how much, among the processes that use one directory: a file each, which
/// its process holds locked. So what a process has been promised goes with it, however it ends.
class RoomLedger {
 public:
  /// Makes the directory when it is not there. It fails as ImageStore does.
  explicit RoomLedger(const std::filesystem::path& directory);

  class Promise {
   public:
    ~Promise();
    Promise(const Promise&) = delete;
    Promise& operator=(const Promise&) = delete;

    /// So much of it is taken. It is told as well as that can be. One thread at a time.
    void consume(std::uint64_t bytes);

   private:
    friend RoomLedger;
    Promise(std::shared_ptr<const store::Directory> directory, Promised promised);

    std::shared_ptr<const store::Directory> directory_;
    Promised promised_;
    std::string name_;
    vmm::UniqueFd file_;
  };

  /// Writes down `wanted`. Before that `check` is given what the others have, and throws to refuse:
  /// nobody else is promised anything meanwhile. std::system_error or std::runtime_error when the
  /// directory cannot be used.
  [[nodiscard]] std::unique_ptr<Promise> promise(
      Promised wanted, const std::function<void(std::span<const Promised>)>& check) const;

 private:
  [[nodiscard]] std::vector<Promised> all() const;

  std::shared_ptr<const store::Directory> directory_;
};

}  // namespace migration

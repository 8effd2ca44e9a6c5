#pragma once

#include <atomic>
#include <filesystem>
#include <optional>
#include <string>

#include "vmm/os/mutex.hpp"
#include "vmm/os/thread_safety.hpp"
#include "vmm/os/unique_fd.hpp"

namespace devices::storage {

/// A small file beside an image, `IMAGE.ferry`. It names the disk, for two hosts to compare, who
/// wrote to the disk last, and who ran a machine with it last: a lock tells only who has it now. An
/// image in a directory where no file can be made has none, nor has a block device, and nothing is
/// told of them.
///
/// The file is opened anew each time, as another host may have made or changed it. What the host
/// refuses otherwise is a std::system_error that names the file.
class DiskMark {
 public:
  /// What the file says, which docs/storage.md shows.
  struct Content {
    std::string disk;     ///< 32 hexadecimal digits
    std::string writer;   ///< the same
    std::string process;  ///< of the writer, for people
    std::string runner;   ///< 16 hexadecimal digits, or empty: nobody knows
  };

  /// Of the image that is open as `image`.
  explicit DiskMark(int image);

  [[nodiscard]] std::filesystem::path path() const { return path_; }
  /// Nothing when there is no mark, or another file has its name.
  [[nodiscard]] std::optional<Content> read() const;

  /// When the disk has been locked for writing: makes a mark where there can be one and is none.
  /// The process that has written since the last call, if another than this has.
  [[nodiscard]] std::optional<std::string> look_for_writer();

  /// Before the machine runs: this process is noted as the one that ran it last. Not durably: it is
  /// for those under this kernel, and what they read is there for as long as they are.
  void note_runner();
  /// Whether the mark says that this process was the last.
  [[nodiscard]] bool names_this_runner() const;
  /// Whether this process can note itself there, durably, as it will have to: what any mark says is
  /// written once more, and nothing else. std::system_error says what to do where it cannot.
  void try_writing() const;

  /// Before each write. The first is noted, durably on return.
  void claim() {
    if (!claimed_.load(std::memory_order_acquire)) note_writer();
  }

 private:
  [[nodiscard]] vmm::UniqueFd open(int flags) const;
  [[nodiscard]] std::optional<Content> read(const vmm::UniqueFd& file) const;
  void make() const;
  void note_writer();
  void rewrite(const vmm::UniqueFd& file, const Content& content) const;
  [[nodiscard]] std::string runner() const;
  [[noreturn]] void fail(const char* what) const;

  const int image_;
  const std::filesystem::path path_;  ///< empty when there can be none: no file has that name
  const std::string self_;
  std::atomic<bool> claimed_{false};
  std::atomic<bool> runner_noted_{false};
  vmm::Mutex mutex_;
  /// As it was when the disk was last locked, or written to, here.
  std::optional<std::string> writer_ FERRY_GUARDED_BY(mutex_);
};

}  // namespace devices::storage

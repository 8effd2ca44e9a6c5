#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "migration/base/page_hash.hpp"
#include "migration/base/token.hpp"
#include "migration/reuse/manifest.hpp"
#include "migration/reuse/room_ledger.hpp"
#include "migration/reuse/store_files.hpp"
#include "vmm/memory/guest_memory.hpp"
#include "vmm/memory/page_set.hpp"
#include "vmm/os/unique_fd.hpp"

namespace migration {

/// A directory with the kept images of VMs that have left, one for each VM: `<id>.ram` (sparse),
/// `<id>.hashes` (the hash of each page of RAM, in order, then the digest of each), and
/// `<id>.image`, the manifest. Files without a manifest are no image and are removed. Any number of
/// processes and threads may use one directory. Its file system must have O_TMPFILE.
///
/// Each step is durable before the next: data and hashes before the manifest, and the manifest goes
/// (or gives up pages) before data does. So a torn image is no image, and a hole never passes for a
/// zero page.
class ImageStore {
 public:
  /// Told, for people, why an image was not used or was removed. It must not call the store.
  using Message = std::function<void(const std::string&)>;
  static constexpr std::uint64_t kUnlimited = ~std::uint64_t{0};

  /// Makes the directory, of mode 0700, when it is not there. `limit` in bytes on the file system.
  /// `patience`: how long to wait for another process that is at the store; none holds it for more
  /// than some milliseconds, since data is copied and hashed without. `ledger`: where RAM that is
  /// a file here is written down, so that others leave it its room. std::system_error, or
  /// std::runtime_error for a directory of another user's or one that is open to others.
  explicit ImageStore(const std::filesystem::path& directory, std::uint64_t limit = kUnlimited,
                      Message message = {}, std::shared_ptr<const RoomLedger> ledger = nullptr,
                      std::chrono::milliseconds patience = std::chrono::seconds(5));

  /// To watch: a name there goes when an image does.
  [[nodiscard]] std::string path() const { return directory_.path_of(""); }
  /// On a tmpfs, RAM can be a file of the store: a mapping of it works with userfaultfd.
  [[nodiscard]] bool can_hold_ram() const { return tmpfs_; }
  /// A file for RAM, without a name: whatever becomes of this process, nothing is left behind.
  [[nodiscard]] vmm::UniqueFd make_ram(std::uint64_t bytes) const;

  /// RAM of a VM here: a file of the store where that can be, else anonymous memory. Not where the
  /// file system has no room for all of it, without what RAM of others there has been promised: a
  /// write that finds it full would kill the process, or be waited for without end. That is told.
  /// The store promises room for the RAM of one VM: for that which was made or taken last.
  [[nodiscard]] vmm::GuestMemory memory_for(std::uint64_t bytes);
  /// To be asked now and then, while `memory` is a file that memory_for() or claim() gave: whether
  /// there is room for what it has not taken yet. Others than Ferry may have filled the store.
  /// std::runtime_error when the file is not what it was.
  [[nodiscard]] bool has_room_for_rest(const vmm::GuestMemory& memory);
  [[nodiscard]] bool has_room_for(std::uint64_t bytes) const {
    return directory_.available() >= bytes;
  }
  /// RAM is no file here any more, or grows no more.
  void give_up_room() { promise_.reset(); }

  struct Departure {
    std::string vm_id;
    std::string name;
    Token token;
    HashKey key{};  ///< random, of this departure
  };
  struct Kept {
    std::uint64_t pages = 0;
    std::uint64_t bytes = 0;       ///< on the file system
    std::vector<PageHash> hashes;  ///< one for each page of `held`, in order
  };
  /// Keeps RAM, which nobody writes any more: the pages of `held`, of which those that were never
  /// touched are holes. When RAM is a file of this store it becomes the image, other pages are
  /// dropped from it, and `memory` must not be written from then on; otherwise pages are copied.
  /// Evicts the oldest others when over the limit. std::system_error or std::runtime_error when it
  /// cannot: then no image of that VM is left, not an older one either.
  Kept keep(const Departure& departure, vmm::GuestMemory& memory, const vmm::PageSet& held);

  struct Taken {
    Token token{};
    HashKey key{};
    vmm::PageSet held;             ///< pages whose content is that of the departure
    std::vector<PageHash> hashes;  ///< one for each page held, in order
    /// What is held, and nothing else: other pages of a file are missing, and of anonymous memory
    /// missing or zero. It is what memory_for() gives; the file of the image where that is on a
    /// tmpfs, which has a name that the next to come removes when the file is closed; see tidy().
    vmm::GuestMemory memory;
  };
  /// Takes the image of that VM out of the store; from then on it is void, durably. Pages that do
  /// not match their digests are not held. Never throws what the store is the cause of: nullopt,
  /// and a message, when there is no sound image.
  [[nodiscard]] std::optional<Taken> claim(const std::string& vm_id, std::uint64_t memory_bytes);

  /// Gives up pages: void durably, then holes. False when the image of that departure is not there
  /// (any more). Holes take time on a disk, for which it returns only when they are made.
  /// std::system_error or std::runtime_error when it cannot; the image is removed then, if that is
  /// possible at all, unless only the holes of a disk failed. std::invalid_argument for a bitmap of
  /// another size of RAM.
  bool drop_pages(const std::string& vm_id, const Token& token, const vmm::PageSet& pages);

  /// Also false, and a message, for an image that is unsound.
  [[nodiscard]] bool has(const std::string& vm_id, const Token& token) const;

  struct Entry {
    std::string vm_id;
    std::string name;
    Token token{};
    std::int64_t kept_at = 0;  ///< microseconds since 1970
    std::uint64_t memory_bytes = 0;
    std::uint64_t held = 0;     ///< pages
    std::uint64_t dropped = 0;  ///< pages of RAM that are not held (any more)
    std::uint64_t bytes = 0;    ///< on the file system
  };
  /// Oldest first. Unsound ones are told and left out.
  [[nodiscard]] std::vector<Entry> list() const;
  /// False when there was none.
  bool drop(const std::string& vm_id);
  /// Removes what no image and no living process needs, as every operation does but has() and
  /// drop_pages(). Call it when RAM that was taken has gone, to give it back to the host at once.
  void tidy();

 private:
  struct Found;

  [[nodiscard]] vmm::UniqueFd lock() const { return directory_.lock(patience_); }
  void tell(const std::string& text) const;

  // All of these want the lock.
  [[nodiscard]] std::optional<Manifest> read_manifest(const std::string& vm_id) const;
  void write_manifest(const Manifest& manifest) const;
  [[nodiscard]] std::optional<Manifest> sound_manifest(const std::string& vm_id) const;
  [[nodiscard]] std::vector<Entry> entries() const;
  [[nodiscard]] std::uint64_t bytes_of(const std::string& vm_id) const;
  bool remove(const std::string& vm_id) const;
  void remove_quietly(const std::string& vm_id) const;
  void sweep() const;
  void sweep_used(const std::string& name) const;
  void make_room(const std::string& vm_id, std::uint64_t bytes) const;
  [[nodiscard]] std::optional<std::string> adopt(int file, const std::string& vm_id) const;
  [[nodiscard]] std::optional<Found> take_out(const std::string& vm_id, std::uint64_t memory_bytes);
  void read_hashes(Found& found) const;

  void abandon(const std::string& vm_id, const std::optional<std::string>& adopted) const;
  [[nodiscard]] vmm::UniqueFd write_hashes(Manifest& manifest, const std::vector<PageHash>& hashes,
                                           const std::vector<std::uint64_t>& digests) const;
  [[nodiscard]] vmm::UniqueFd copy(const vmm::GuestMemory& memory, const vmm::PageSet& pages) const;
  [[nodiscard]] std::string file_system() const;
  [[nodiscard]] std::uint64_t room_beside(std::span<const Promised> others) const;
  void promise_room(std::uint64_t bytes, std::uint64_t there, const char* what);
  [[nodiscard]] bool promise_ram(std::uint64_t bytes, std::uint64_t there);
  void tell_anonymous(const std::exception& why) const;
  [[nodiscard]] Taken load(Found found);

  std::uint64_t limit_;
  Message message_;
  std::chrono::milliseconds patience_;
  store::Directory directory_;
  bool tmpfs_;
  std::shared_ptr<const RoomLedger> ledger_;
  std::unique_ptr<RoomLedger::Promise> promise_;
};

/// $XDG_STATE_HOME/ferry/images, or ~/.local/state/ferry/images. std::runtime_error when neither
/// XDG_STATE_HOME nor HOME is an absolute path.
[[nodiscard]] std::filesystem::path default_image_store();

}  // namespace migration

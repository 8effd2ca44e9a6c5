#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "migration/destination/destination_migration.hpp"
#include "migration/net/socket.hpp"
#include "migration/postcopy/page_fetcher.hpp"
#include "migration/reuse/image_store.hpp"
#include "migration/wire/decode.hpp"
#include "vmm/memory/userfault.hpp"
#include "vmm/os/mutex.hpp"

namespace migration::destination {

/// Post-copy at the destination: which pages are missing, the connection by which those are asked
/// for that are touched, and whether they find room. There is a PageFetcher from start() until
/// finish().
///
/// The receiver's thread calls, but for status(), and is called.
class Fetch {
 public:
  using Status = DestinationMigration::Status::Fetching;
  struct Callbacks {
    /// Every page is here. Whether RAM that is a file is that file again.
    std::function<void(bool file_again)> complete;
    /// The fault connection.
    std::function<void(std::exception_ptr)> lost;
  };

  /// `store`: where RAM may be; null is none. `timeout`: a page that was asked for and does not
  /// come for so long shows that the link is lost.
  Fetch(boost::asio::io_context& context, std::chrono::milliseconds timeout,
        std::shared_ptr<const ImageStore> store, Callbacks callbacks);
  ~Fetch();
  Fetch(const Fetch&) = delete;
  Fetch& operator=(const Fetch&) = delete;

  /// Why this host cannot take pages after the handover; empty when it can.
  [[nodiscard]] std::string open_userfault();
  /// Whether it can.
  [[nodiscard]] bool possible() const { return userfault_ || fetcher_; }
  [[nodiscard]] bool started() const { return fetcher_ != nullptr; }
  /// From now on whoever touches a page of `memory` that is not there waits. What the machine is to
  /// keep for as long as pages are missing: it must not run on with zero pages when this side ends.
  /// `digests`: pages come with them. `empty`: nothing has been put into RAM.
  [[nodiscard]] std::shared_ptr<const vmm::Userfault> start(vmm::GuestMemory& memory, bool digests,
                                                            bool empty);
  /// Where a channel puts pages from now on. The channel goes before finish().
  [[nodiscard]] std::unique_ptr<PageSink> make_sink() { return fetcher_->make_sink(); }

  /// A `missing` frame, of RAM in which nothing has been written when it is `untouched`.
  /// ProtocolError when it is told again and again.
  void on_missing(const wire::Missing& told, bool untouched);
  /// A `post_copy` frame: all has been told that is missing, and the VM is handed over without it.
  /// std::system_error when there is no room for it here.
  void on_post_copy();
  /// Whether that has come.
  [[nodiscard]] bool post_copy() const { return post_copy_; }

  /// The fault connection.
  [[nodiscard]] bool awaits_connection() const { return !connected_ && !socket_; }
  /// It has come. It is used once all is told that is missing: pages that are may come on it at
  /// once.
  void connect(net::Socket socket);
  [[nodiscard]] bool connected() const { return connected_; }
  /// Nothing that it brought is installed any more on return.
  void disconnect();

  /// While the machine is loaded, which touches pages: when these do not come any more it is ended
  /// by zero pages. False when they do not come: why is on its way.
  [[nodiscard]] bool begin_loading();
  /// False when it was ended so.
  [[nodiscard]] bool end_loading();
  /// The VM will not run here: who waits goes on.
  void abandon();

  [[nodiscard]] std::uint64_t missing() const { return fetcher_ ? fetcher_->missing() : 0; }
  /// The source is not needed any more, be RAM as any other or not yet.
  [[nodiscard]] bool has_all() const { return fetcher_ && fetcher_->has_all(); }
  [[nodiscard]] vmm::PageSet missing_pages() const { return fetcher_->missing_pages(); }
  /// Pages that were told to be missing.
  [[nodiscard]] vmm::PageSet expected() const { return fetcher_->expected(); }
  [[nodiscard]] LatencyHistogram latencies() const;
  /// With has_all(): tries once more to make RAM as any other.
  void complete_again() { fetcher_->told_all(); }
  /// After `complete`.
  void finish();

  /// Whether there is room for some of what is missing, or all of it.
  [[nodiscard]] bool has_room() const;
  void set_waits_for_room(bool waits);

  /// For people; none when the VM came without post-copy. Any thread.
  [[nodiscard]] std::optional<Status> status() const;

 private:
  std::unique_ptr<FileOverlay> cover(vmm::GuestMemory& memory) const;
  void connect_if_told();
  void check_room() const;
  void connection_lost(unsigned connection, std::exception_ptr failure);

  boost::asio::io_context& context_;
  const std::chrono::milliseconds timeout_;
  const std::shared_ptr<const ImageStore> store_;
  const Callbacks callbacks_;
  std::shared_ptr<const vmm::Userfault> userfault_;  ///< until there is a fetcher
  std::optional<net::Socket> socket_;                ///< until all is told that is missing
  bool connected_ = false;
  /// The fault connection's number: what is heard of an earlier one means nothing.
  std::atomic<unsigned> connection_ = 0;
  std::uint64_t ram_pages_ = 0;
  std::uint64_t pages_told_ = 0;  ///< what `missing` frames were about
  std::atomic<bool> loading_ = false;

  /// Guards what follows for status(). The receiver's thread alone changes it, holding the lock,
  /// and so looks at it without.
  mutable vmm::Mutex mutex_;
  bool post_copy_ = false;
  bool waits_for_room_ = false;
  LatencyHistogram latencies_;  ///< of a fetch that is over
  std::unique_ptr<PageFetcher> fetcher_;
};

}  // namespace migration::destination

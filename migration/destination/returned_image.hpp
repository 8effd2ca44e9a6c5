#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "migration/base/copy.hpp"
#include "migration/base/options.hpp"
#include "migration/net/connection.hpp"
#include "migration/pages/page_target.hpp"
#include "migration/reuse/held_hashes.hpp"
#include "migration/reuse/image_store.hpp"
#include "migration/wire/encode.hpp"
#include "migration/wire/messages.hpp"

namespace migration::destination {

/// Memory reuse at the destination: the image that the VM left here when it went away, as RAM for
/// its return. The source finds out, or is told, which pages of it still hold.
class ReturnedImage {
 public:
  /// `store`: null is none.
  ReturnedImage(std::shared_ptr<ImageStore> store, std::function<void(const std::string&)> message);

  /// RAM of that VM; the image is in it, if there is one and the source has not said Reuse::off. It
  /// is out of the store from now on, whatever comes of the migration.
  [[nodiscard]] vmm::GuestMemory make_ram(const std::string& vm_id, std::uint64_t bytes,
                                          Reuse wanted);
  /// Chooses how the image in RAM is used, as the source wants it; `accept` says so.
  void use(const wire::Offer& offer, PageTarget& target, wire::Accept& accept);
  /// Tells the source what is held, as `accept` says.
  boost::asio::awaitable<void> send(std::shared_ptr<net::Connection> link, wire::Accept accept);
  /// The VM is not taken after all.
  void drop();

  /// Whether RAM is an image's, in part at least.
  [[nodiscard]] bool used() const { return image_.has_value(); }

  /// Whether the source may have pages compared.
  [[nodiscard]] bool compares() const { return hashes_.has_value(); }
  /// Which of the pages that the source suspects to have changed are here as they are there: the
  /// payload of a `held` frame. ProtocolError for pages that were compared before.
  [[nodiscard]] wire::Bytes compare(const wire::Hashes& theirs);
  void stop_comparing() { hashes_.reset(); }

  /// Whether the source may have pages copied.
  [[nodiscard]] bool copies() const { return image_ && !copies_over_; }
  /// Pages that lie elsewhere in the image; an empty list says that there are no more.
  /// ProtocolError when it is too many.
  void copy(std::span<const Copy> copies, PageTarget& target);

 private:
  const std::shared_ptr<ImageStore> store_;
  const std::function<void(const std::string&)> message_;
  std::optional<ImageStore::Taken> image_;  ///< what is used of it
  std::optional<HeldHashes> hashes_;        ///< of it
  vmm::PageIndex compared_ = 0;             ///< up to which the source has had hashes compared
  std::uint64_t pages_copied_ = 0;          ///< as the source has asked for
  bool copies_over_ = false;
};

}  // namespace migration::destination

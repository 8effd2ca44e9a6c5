#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "migration/base/address.hpp"
#include "migration/base/token.hpp"
#include "migration/net/connection.hpp"
#include "migration/reuse/held_hashes.hpp"
#include "migration/reuse/image_store.hpp"

namespace migration {

/// Keeps the image of a VM that has left, for its return: it gives up what the guest changes over
/// there, until somebody takes the image, or drops or evicts it. It may live for days, and has
/// nothing of the migration that made the image.
class ImageKeeper {
 public:
  struct Image {
    std::shared_ptr<ImageStore> store;
    std::string vm_id;
    Token token{};  ///< of the handover by which the VM left
    HeldHashes hashes;
  };
  /// Who has the VM now.
  struct Peer {
    Address to;
    std::string incarnation;
    std::chrono::milliseconds timeout;
  };
  using Message = std::function<void(const std::string&)>;

  ImageKeeper(boost::asio::io_context& loop, Image image, Peer peer, Message message);

  /// Hears over `control` what changes, and dials anew when that is lost. Returns when the image is
  /// not this process's to keep any more.
  boost::asio::awaitable<void> run(std::shared_ptr<net::Connection> control);
  /// Where to look for the VM from now on.
  void look_at(Address to);

 private:
  boost::asio::awaitable<void> connect();
  boost::asio::awaitable<void> watch_store();
  void take_changes(const net::Frame& frame);
  void drop_soon();
  void drop_pages();
  void release();

  boost::asio::io_context& loop_;
  Image image_;
  Peer peer_;
  Message message_;
  std::shared_ptr<net::Connection> control_;
  std::shared_ptr<net::Connection> asking_;  ///< until it is known that the VM is there
  bool kept_ = true;
  vmm::PageSet to_drop_;   ///< changed over there, and not yet dropped from the image
  bool dropping_ = false;  ///< to_drop_ is being gathered
  vmm::PageSet dropped_;   ///< dropped since the connection was made
  boost::asio::steady_timer drop_timer_;
  boost::asio::steady_timer retry_;
};

}  // namespace migration

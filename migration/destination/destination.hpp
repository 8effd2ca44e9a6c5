#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "migration/destination/awaited_word.hpp"
#include "migration/destination/destination_migration.hpp"
#include "migration/destination/door.hpp"
#include "migration/destination/farewell.hpp"
#include "migration/destination/fetch.hpp"
#include "migration/destination/image_keeper_line.hpp"
#include "migration/destination/link.hpp"
#include "migration/destination/machine_loader.hpp"
#include "migration/destination/ownership.hpp"
#include "migration/destination/page_channels.hpp"
#include "migration/destination/returned_image.hpp"
#include "migration/destination/status_board.hpp"
#include "migration/wire/messages.hpp"
#include "vmm/os/thread.hpp"

namespace migration {

/// The destination's role, in one thread with one event loop; each page channel has a thread of its
/// own. It takes one VM in its life and then goes on answering what became of it.
///
/// Who owns the VM is settled by the rules of handover::DestinationSide, and by nothing else: what
/// has happened is told to them (`happened`), and what they say is done (`act`). The rest here is
/// the story of the VM: whoever connects comes in by the Door; an offer makes the machine; pages
/// come by the PageChannels; with all of RAM the MachineLoader loads; the source's word starts the
/// guest. In post-copy pages are missing when the VM arrives: a link that is lost is taken up again
/// until the Fetch has them all.
class DestinationMigration::Destination {
 public:
  Destination(ReceiveOptions options, MachineFactory factory, Callbacks callbacks);
  ~Destination();

  // Any thread.
  std::string force_resume();
  void decline(std::function<void()> done);
  void tell_changed(std::vector<wire::Hashes> pages) {
    image_keeper_.tell_changed(std::move(pages));
  }
  [[nodiscard]] bool image_keeper_listens() const { return image_keeper_.listens(); }
  [[nodiscard]] Status status() const;

 private:
  using Stage = destination::Ownership::Stage;
  using Event = destination::Ownership::Event;
  using ConnectionPtr = destination::Link::ConnectionPtr;

  // destination.cpp
  [[nodiscard]] destination::Door::Callbacks door_callbacks();
  [[nodiscard]] destination::PageChannels::Callbacks channel_callbacks();
  void cannot_listen(const std::system_error& error);
  void escaped(const std::exception_ptr& failure);
  boost::asio::awaitable<void> serve(ConnectionPtr connection, wire::Role role);
  /// The connection is the link to the source from now on. `talk` is what is said on it; what that
  /// throws is a loss of the link.
  boost::asio::awaitable<void> serve_link(ConnectionPtr connection,
                                          boost::asio::awaitable<void> talk);
  /// As link_lost(); what that throws is a loss of the link too.
  void lose_link(const std::exception_ptr& failure);
  boost::asio::awaitable<void> serve_control(ConnectionPtr connection);
  boost::asio::awaitable<void> serve_channel(ConnectionPtr connection);
  boost::asio::awaitable<void> on_offer(const wire::Offer& offer, vmm::UniqueFd descriptor,
                                        wire::Accept& accept);
  /// As far as this host has what the machine needs of it, for an offer that waits that long.
  boost::asio::awaitable<BuildMachine> open_host(vmm::MachineConfig config,
                                                 std::chrono::milliseconds timeout);
  /// Of a VM that was offered: what came with the offer, or new.
  [[nodiscard]] vmm::GuestMemory make_ram(const vmm::MachineConfig& config,
                                          vmm::UniqueFd& descriptor);
  boost::asio::awaitable<void> take_vm(ConnectionPtr connection, wire::Accept accept);
  void drop_machine();
  /// So that a source that keeps the image can be told what the guest changes.
  void track_changes();

  // receiving.cpp
  void on_frame(const net::Frame& frame);
  void on_copies(const net::Frame& frame);
  void round_landed(std::uint32_t round);
  void page_connection_lost(const std::exception_ptr& failure);
  /// Whether the page connections are needed.
  [[nodiscard]] bool taking_pages() const;
  [[nodiscard]] bool awaits_connections() const;
  /// For a channel, as things are.
  [[nodiscard]] std::unique_ptr<PageSink> make_sink();
  void prepare_if_complete();
  [[nodiscard]] std::optional<std::string> compare_ram();

  // handover.cpp
  [[nodiscard]] Stage stage() const { return ownership_.stage(); }
  [[nodiscard]] bool allows(Event event) const { return ownership_.allows(event); }
  /// The VM is here, and lacks pages.
  [[nodiscard]] bool fetching() const;
  [[nodiscard]] bool is_whole() const;
  /// Tells the rules what has happened, and does what they say.
  void happened(Event event);
  /// The same; `why` is for people, and for the source if that is told.
  void happened(Event event, Failure why);
  void follow(const destination::Ownership::Change& change);
  void act(handover::Action action);
  void entered(Stage stage);
  void tell_status(wire::VmStatus status);
  [[nodiscard]] static Failure failure_of(const std::exception_ptr& failure);
  void link_lost(const Failure& failure);
  void give_back();
  void start_guest();
  void run_guest();
  void await_word();
  /// Whether this process has slept: then what it has read is not obeyed.
  bool slept();
  void stay_to_answer();
  boost::asio::awaitable<void> drop_guest();
  boost::asio::awaitable<void> take_leave();

  // inquiry.cpp
  boost::asio::awaitable<void> serve_inquiry(ConnectionPtr connection);
  boost::asio::awaitable<void> answer_inquiry(ConnectionPtr connection);
  /// Until the source has said all that it has to say.
  boost::asio::awaitable<void> listen_to_source(ConnectionPtr connection);
  boost::asio::awaitable<void> listen_to_image_keeper(ConnectionPtr connection);
  /// Takes bytes that mean nothing, so that somebody learns what the link carries.
  boost::asio::awaitable<void> serve_probe(ConnectionPtr connection);
  [[nodiscard]] bool awaits_words() const;
  [[nodiscard]] bool has_image_keeper() const;
  void on_word(const net::Frame& frame, Event event);

  // post_copy.cpp
  void start_fetch();
  void on_missing(const net::Frame& frame);
  void on_post_copy(const net::Frame& frame);
  boost::asio::awaitable<void> serve_faults(ConnectionPtr connection);
  void faults_lost(const std::exception_ptr& failure);
  void finish_again();
  void all_here();
  /// Those of a link that is lost.
  void drop_page_connections();
  void fetch_link_lost();
  void take_up_link(const ConnectionPtr& connection);
  boost::asio::awaitable<void> wait_for_room(ConnectionPtr connection);
  boost::asio::awaitable<void> tell_what_is_missing(ConnectionPtr connection);
  [[nodiscard]] wire::Running running_now() const;
  [[nodiscard]] const char* is_here() const;
  void tell_progress();
  void watch_patience();

  boost::asio::io_context context_{1};
  const ReceiveOptions options_;
  const MachineFactory factory_;
  const Callbacks callbacks_;
  const std::string incarnation_;
  destination::StatusBoard board_;
  destination::Ownership ownership_;  ///< an operator's word advances it in another thread
  destination::Door door_;
  destination::Link link_;
  destination::AwaitedWord word_;
  destination::Farewell farewell_;
  destination::ReturnedImage image_;
  destination::ImageKeeperLine image_keeper_;

  bool opening_ = false;  ///< what an offered VM needs of the host

  // The one VM.
  wire::Offer offer_;
  Failure failure_;  ///< the last one
  bool arrived_ = false;
  bool local_ = false;                     ///< RAM is the source's (docs/decisions/0035)
  std::unique_ptr<vmm::Machine> machine_;  ///< until it has arrived
  destination::Fetch fetch_;
  std::optional<destination::MachineLoader> loader_;   ///< until it is loaded
  std::optional<destination::PageChannels> channels_;  ///< from the offer on
  bool probed_ = false;                                ///< just now
  boost::asio::steady_timer progress_;  ///< until the source is told how far the fetch is
  boost::asio::steady_timer patience_;  ///< with a source that is away while pages are missing

  vmm::Thread thread_;
};

}  // namespace migration

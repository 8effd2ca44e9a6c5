#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "migration/destination/incoming.hpp"
#include "migration/handover/awake_watch.hpp"
#include "migration/handover/destination_side.hpp"
#include "migration/net/connection.hpp"
#include "migration/net/listener.hpp"
#include "migration/pages/page_receiver.hpp"
#include "migration/pages/verify.hpp"
#include "migration/policy/message_rate.hpp"
#include "migration/postcopy/page_fetcher.hpp"
#include "migration/reuse/held_hashes.hpp"
#include "migration/reuse/image_store.hpp"
#include "migration/wire/messages.hpp"
#include "vmm/os/thread.hpp"

namespace migration {

/// The destination's role, in one thread with one event loop; each page channel has a thread of its
/// own. It takes one VM in its life and then goes on answering what became of it.
///
/// Who owns the VM is settled by the rules of handover::DestinationSide, and by nothing else: what
/// has happened is told to them (`happened`), and what they say is done (`act`). In post-copy pages
/// are missing when the VM arrives: as long as they are, fetcher_ is there, and a link that was
/// lost is taken up again.
class IncomingMigration::Receiver {
 public:
  Receiver(ReceiveOptions options, MachineFactory factory, Callbacks callbacks);
  ~Receiver();

  std::string force_resume();
  void decline(std::function<void()> done);
  void tell_changed(std::vector<wire::Hashes> pages);
  bool keeper_listens() const { return keeper_listens_ && telling_ == 0; }
  Status status() const;

 private:
  /// So many messages about strangers within such a time; the others are counted.
  static constexpr unsigned kStrangerMessages = 5;
  static constexpr std::chrono::seconds kStrangerMessagesTime{10};
  /// How long the source may take to tell how the migration was.
  static constexpr std::chrono::milliseconds kReportPatience{2000};
  using Stage = handover::DestinationSide::Stage;
  using Event = handover::DestinationSide::Event;
  using Clock = std::chrono::steady_clock;
  using ConnectionPtr = std::shared_ptr<net::Connection>;

  // listen.cpp
  boost::asio::awaitable<void> open();
  boost::asio::awaitable<void> accept_all(net::Acceptor& acceptor);
  void welcome(net::Socket socket);
  void tell_of_stranger(const std::string& what);

  // receiver.cpp
  void escaped(const std::exception_ptr& failure);
  boost::asio::awaitable<void> serve(ConnectionPtr connection);
  boost::asio::awaitable<void> serve_channel(ConnectionPtr connection);
  boost::asio::awaitable<void> serve_control(ConnectionPtr connection);
  void take_offer(const wire::Offer& offer, wire::Accept& accept);
  void drop_machine();
  void take_frame(const net::Frame& frame);
  void channel_landed(std::uint32_t round);
  void channel_failed(std::exception_ptr failure);
  void page_connection_lost(const std::exception_ptr& failure);
  /// The connection is the link to the source from now on. The one before, which may be open.
  ConnectionPtr adopt(const ConnectionPtr& connection);

  // handover.cpp
  [[nodiscard]] Stage stage() const;
  [[nodiscard]] bool allows(Event event) const;
  /// Tells the rules what has happened, and does what they say.
  void happened(Event event);
  /// The same; `why` is for people, and for the source if that is told.
  void happened(Event event, Failure why);
  void follow(Stage before, const handover::Step& step, Stage after);
  void act(handover::Action action);
  void entered(Stage stage);
  void show(std::string detail);
  void tell(wire::FrameType type, std::span<const std::byte> payload = {});
  void tell_status(wire::VmStatus status);
  void link_lost(const Failure& failure);
  void start_guest();
  void await_word();
  void look_for_word();
  bool slept();
  void stay_to_answer();
  boost::asio::awaitable<void> told();
  boost::asio::awaitable<void> drop_guest();
  boost::asio::awaitable<void> leave();

  // prepare.cpp
  void prepare_if_complete();
  [[nodiscard]] std::optional<std::string> verify_ram();

  // inquiry.cpp
  boost::asio::awaitable<void> serve_inquiry(ConnectionPtr connection);
  /// Until the source has said all that it has to say.
  boost::asio::awaitable<void> listen_to_source(ConnectionPtr connection);
  [[nodiscard]] bool awaits_words() const;
  void take_word(const net::Frame& frame, Event event);

  // post_copy.cpp
  [[nodiscard]] bool is_whole() const;
  /// The VM is here, and lacks pages.
  [[nodiscard]] bool fetching() const;
  /// Whether the page connections are needed.
  [[nodiscard]] bool taking_pages() const;
  [[nodiscard]] bool awaits_connections() const;
  [[nodiscard]] std::optional<Status::Fetching> fetching_status() const;
  /// Why this host cannot take pages after the handover; empty when it can.
  std::string open_userfault();
  std::unique_ptr<FileOverlay> cover_ram();
  void start_fetcher();
  /// For a channel, as things are.
  [[nodiscard]] std::unique_ptr<PageSink> make_sink();
  void take_missing(const net::Frame& frame);
  void check_room_for_missing() const;
  [[nodiscard]] bool has_room_to_go_on() const;
  boost::asio::awaitable<void> wait_for_room(ConnectionPtr connection);
  boost::asio::awaitable<void> serve_faults(ConnectionPtr connection);
  void connect_faults();
  void faults_failed(std::exception_ptr failure);
  void finish_again();
  void all_here();
  void fetch_link_lost();
  void drop_page_connections();
  void take_up_link(const ConnectionPtr& connection);
  boost::asio::awaitable<void> tell_what_is_missing(ConnectionPtr connection);
  [[nodiscard]] wire::Running running_now() const;
  [[nodiscard]] const char* is_here() const;
  void tell_progress();
  void take_report(const net::Frame& frame);
  void watch_patience();

  // reuse.cpp
  [[nodiscard]] vmm::GuestMemory make_ram(const std::string& vm_id, std::uint64_t bytes);
  void use_image(wire::Accept& accept);
  boost::asio::awaitable<void> send_image(ConnectionPtr connection, wire::Accept accept);
  void compare(const net::Frame& frame);
  void take_copies(const net::Frame& frame);
  void take_given_up(const net::Frame& frame);
  boost::asio::awaitable<void> send_changed(std::vector<wire::Hashes> pages);
  void track_changes();
  [[nodiscard]] bool has_keeper() const;
  boost::asio::awaitable<void> listen_to_keeper(ConnectionPtr connection);

  boost::asio::io_context context_{1};
  ReceiveOptions options_;
  MachineFactory factory_;
  Callbacks callbacks_;
  std::optional<net::Listener> listener_;
  boost::asio::steady_timer grace_;
  const std::string incarnation_;
  std::list<ConnectionPtr> strangers_;  ///< do not yet belong to the VM; the oldest first
  MessageRate stranger_messages_{kStrangerMessages, kStrangerMessagesTime};
  boost::asio::steady_timer strangers_told_;

  // The one VM.
  wire::Offer offer_;
  ConnectionPtr control_;  ///< the link: the control connection, or the newest inquiry
  ConnectionPtr earlier_;  ///< what was the link before an inquiry came
  Failure failure_;        ///< the last one
  std::optional<handover::AwakeWatch> awake_;  ///< while the source's word is awaited
  Clock::time_point word_due_;
  boost::asio::steady_timer word_;  ///< until the next look for it; or how long to stay to answer
  bool arrived_ = false;
  std::function<void()> declined_;  ///< to be told when nothing is left to answer
  bool left_ = false;               ///< that has come
  std::unique_ptr<vmm::Machine> machine_;
  std::unique_ptr<PageTarget> target_;
  std::vector<std::unique_ptr<PageReceiver>> channels_;
  unsigned link_ = 0;  ///< counts the links: what is heard of an earlier one means nothing
  std::set<std::uint32_t> opened_;   ///< indices of channels
  std::uint32_t round_ = 1;          ///< in progress
  std::uint32_t channels_done_ = 0;  ///< that have sent all of it
  std::optional<std::uint32_t> last_round_;
  std::optional<vmm::MachineState> state_;
  std::optional<RamVerifier> verifier_;
  wire::Prepared prepared_;
  std::set<const net::Connection*> adopted_;

  // Memory reuse.
  std::uint64_t ram_pages_ = 0;
  vmm::PageIndex compared_ = 0;     ///< up to which the source has had hashes compared
  std::uint64_t pages_copied_ = 0;  ///< as the source has asked for
  bool copies_over_ = false;
  std::uint64_t pages_told_ = 0;  ///< what `missing` frames were about
  vmm::PageSet given_up_;         ///< by the keeper
  std::atomic<bool> keeper_listens_ = false;
  std::atomic<unsigned> telling_ = 0;       ///< what changed, and it is not yet with the kernel
  std::optional<ImageStore::Taken> image_;  ///< what is used of it
  std::optional<HeldHashes> hashes_;        ///< of it

  // Post-copy.
  // Until there is a fetcher.
  std::shared_ptr<const vmm::Userfault> userfault_;
  std::optional<net::Socket> faults_socket_;  ///< until all is told that is missing
  bool faults_connected_ = false;
  bool post_copy_ = false;             ///< pages are missing at the handover
  std::atomic<bool> loading_ = false;  ///< the state: its pages are waited for
  boost::asio::steady_timer progress_;
  boost::asio::steady_timer patience_;  ///< with a source that is away while pages are missing

  /// Guards what follows for those who look from other threads. The receiver's thread alone changes
  /// it, holding the lock, and so looks at it without.
  mutable std::mutex mutex_;
  handover::DestinationHandover handover_;  ///< an operator's word advances it in another thread
  std::string detail_ = "waits for a VM";
  bool waits_for_room_ = false;               ///< for missing pages, in the image store
  std::unique_ptr<PageFetcher> fetcher_;      ///< while pages are missing
  LatencyHistogram latencies_;                ///< of a fetch that is over
  std::optional<MigrationReport> report_;     ///< the source's
  std::optional<Status::Receiving> offered_;  ///< the VM, as its offer told
  std::shared_ptr<PageTally> tally_;
  std::optional<Address> address_;  ///< once it listens

  vmm::Thread thread_;
};

}  // namespace migration

#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <string>

#include "migration/handover/stop_bound.hpp"
#include "migration/policy/page_account.hpp"
#include "migration/reuse/hash_pages.hpp"
#include "migration/source/comparison.hpp"
#include "migration/source/device_hold.hpp"
#include "migration/source/image_keeper.hpp"
#include "migration/source/journal.hpp"
#include "migration/source/link.hpp"
#include "migration/source/local.hpp"
#include "migration/source/ownership.hpp"
#include "migration/source/post_copy.hpp"
#include "migration/source/pre_copy.hpp"
#include "migration/source/redial.hpp"
#include "migration/source/source_migration.hpp"
#include "migration/wire/messages.hpp"
#include "vmm/os/thread.hpp"

namespace migration {

/// The source's role, in one thread with one event loop. Read `run` first: it tells the story. Its
/// parts have their own work: Comparison finds what the destination has from before, PreCopy copies
/// while the guest runs, PostCopy serves the pages that the destination lacks when the VM runs
/// there, and ImageKeeper keeps the image here when all that is over.
///
/// Who owns the VM is settled by the rules of handover::SourceSide, and by nothing else: what has
/// happened is told to them (`happened`), and what they say is done (`act`, in owner.cpp).
class SourceMigration::Source {
 public:
  /// Throws without having taken the machine.
  Source(std::unique_ptr<vmm::Machine>&& machine, MigrateOptions options, Callbacks callbacks);
  ~Source();

  void set(const MigrateSettings& settings);
  std::string cancel();
  std::string force_resume();
  MigrationReport live() const { return journal_.report(); }
  bool serving() const;
  bool link_lost() const { return Side::searches(stage()); }
  bool done() const { return done_; }

 private:
  using Clock = std::chrono::steady_clock;
  using Side = source::Ownership::Side;
  using Stage = source::Ownership::Stage;
  using Event = source::Ownership::Event;
  using Moment = source::Journal::Moment;
  /// How long the word that the VM stays may take to leave.
  static constexpr std::chrono::milliseconds kWordGrace{500};
  static constexpr const char* kCancelled = "cancelled by request";

  // source.cpp
  boost::asio::awaitable<void> run();
  boost::asio::awaitable<void> conclude();
  void failed(const std::exception_ptr& failure);
  void escaped(const std::exception_ptr& failure);
  boost::asio::awaitable<void> connect(Comparison& comparison);
  [[nodiscard]] wire::Offer offer(const vmm::MachineConfig& config) const;
  void agree();
  /// Whether the destination has RAM, and no page is sent.
  [[nodiscard]] bool agree_on_local();
  /// Copies while the guest runs, if the mode says so, and settles what goes over at the stop.
  boost::asio::awaitable<void> copy(Comparison& comparison);
  /// What the parts work on, while the machine is here.
  [[nodiscard]] source::Parts parts() { return {*machine_, options_, link_, journal_, pages_}; }
  void page_connection_failed(const std::exception_ptr& failure);

  // control.cpp
  /// Ends a migration that is not yet committed; to be called in its own thread.
  void abandon(Event event, const std::string& why);
  void give_up(const std::string& why);
  void interrupt();
  void watch_stop();
  void tick();
  void update_counts();

  // handover.cpp
  boost::asio::awaitable<void> hand_over();
  /// What sends the rest of RAM at the stop.
  [[nodiscard]] source::MemoryTransfer& transfer();
  void bound_stop(std::uint64_t pages_left);
  [[nodiscard]] std::uint64_t bulk_sent() const;
  void on_prepared(const net::Frame& frame);
  void on_word(const net::Frame& frame);
  void on_running(const wire::Running& running);
  void on_refusal(const std::string& why);
  /// Where the VM is once it has been handed over: for people.
  [[nodiscard]] std::string is_there() const;

  // owner.cpp
  [[nodiscard]] Stage stage() const { return owner_.stage(); }
  /// Tells the rules what has happened, and does what they say.
  void happened(Event event);
  /// Does what they have said, also when a wish was granted in another thread.
  void follow();
  void act(handover::Action action);
  /// Whether the guest has ended, or must not run here any more.
  bool guest_is_over();
  /// Why the guest does not run again here; empty when it does.
  std::string run_guest();
  /// The same once its devices have again what they need of the host.
  boost::asio::awaitable<void> run_guest_again();
  boost::asio::awaitable<void> take_back();
  void complete(std::string owner);
  /// The VM stays here: it runs again, and the report says why.
  void stay();
  [[nodiscard]] std::string why_it_stays() const;
  boost::asio::awaitable<void> await_last_word();
  boost::asio::awaitable<void> keep_telling();
  boost::asio::awaitable<void> tell_by_inquiry();
  boost::asio::awaitable<void> tell_report();
  void finish();

  // doubt.cpp
  boost::asio::awaitable<void> find_owner();
  boost::asio::awaitable<void> ask_who_runs();
  boost::asio::awaitable<void> inquire();
  /// Whether the VM's disks are here again and show that it has not run there.
  boost::asio::awaitable<bool> unused_there();
  /// `held`: whether another process has the VM's disks, if that is known.
  void tell_doubt(const std::string& problem, std::optional<bool> held);

  // serving.cpp
  boost::asio::awaitable<void> serve();
  boost::asio::awaitable<void> take_up_link();
  void drop_channels();
  void drop_link();

  // reuse.cpp
  boost::asio::awaitable<void> compare(Comparison& comparison);
  boost::asio::awaitable<void> sample_history();
  void keep_image();

  boost::asio::io_context context_{1};
  std::unique_ptr<vmm::Machine> machine_;
  MigrateOptions options_;
  Callbacks callbacks_;
  const bool was_running_;
  source::Journal journal_;
  PageAccount pages_;
  source::Link link_;
  source::Ownership owner_;
  wire::Accept accept_;      ///< what the destination answered to the offer
  bool disks_tell_ = false;  ///< if it has run the VM: it has had them, and has this kernel
  std::exception_ptr failure_;
  std::string trouble_;                         ///< why the guest does not run again here
  boost::asio::cancellation_signal interrupt_;  ///< of run(), wherever it waits
  boost::asio::steady_timer ticker_;
  boost::asio::steady_timer grace_;  ///< for the last word before run() is interrupted
  source::Redial redial_;
  source::Drain drain_;
  source::DeviceHold hold_;                ///< of what `hand_over` gives back
  bool taking_again_ = false;              ///< what `hold_` lacks
  boost::asio::steady_timer taken_again_;  ///< goes off when that is over
  source::PreCopy pre_copy_;
  source::Local local_;
  std::optional<source::PostCopy> post_copy_;
  std::optional<handover::StopDeadline> stop_;  ///< while the guest stands, before Commit
  wire::Running running_;                       ///< the destination's newest
  const HashKey key_ = random_hash_key();       ///< of the image that is kept
  std::unique_ptr<ImageKeeper> keeper_;         ///< of it
  std::atomic<bool> done_ = false;
  vmm::Thread thread_;
};

}  // namespace migration

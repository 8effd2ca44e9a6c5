#pragma once

#include <atomic>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "migration/handover/source_side.hpp"
#include "migration/handover/stop_bound.hpp"
#include "migration/net/connection.hpp"
#include "migration/pages/page_sender.hpp"
#include "migration/pages/used_pages.hpp"
#include "migration/policy/page_account.hpp"
#include "migration/policy/pre_copy_driver.hpp"
#include "migration/policy/progress.hpp"
#include "migration/postcopy/page_server.hpp"
#include "migration/reuse/page_hasher.hpp"
#include "migration/source/comparison.hpp"
#include "migration/source/image_keeper.hpp"
#include "migration/source/outgoing.hpp"
#include "migration/wire/messages.hpp"
#include "vmm/os/thread.hpp"

namespace migration {

/// The source's role, in one thread with one event loop. Read `run` first: it tells the story.
/// rounds.cpp copies while the guest runs, handover.cpp stops the guest and hands it over,
/// doubt.cpp settles what is in doubt, post_copy.cpp serves the pages that the destination lacks
/// after that; reuse.cpp finds what the destination has from before, and ImageKeeper keeps the
/// image here when all that is over.
///
/// Who owns the VM is settled by the rules of handover::SourceSide, and by nothing else: what has
/// happened is told to them (`happened`), and what they say is done (`act`, in owner.cpp).
class OutgoingMigration::Source {
 public:
  /// Throws without having taken the machine.
  Source(std::unique_ptr<vmm::Machine>&& machine, MigrateOptions options, Callbacks callbacks);
  ~Source();

  void set(const MigrateSettings& settings);
  std::string cancel();
  std::string force_resume();
  MigrationReport live() const;
  bool serving() const;
  bool link_lost() const { return Side::searches(stage()); }
  bool done() const { return done_; }

 private:
  using Clock = std::chrono::steady_clock;
  using Side = handover::SourceSide;
  using Stage = Side::Stage;
  using Event = Side::Event;
  /// Between two attempts to reach the destination; each further one waits longer.
  static constexpr std::chrono::milliseconds kFirstRetry{100};
  /// How long the word that the VM stays may take to leave.
  static constexpr std::chrono::milliseconds kWordGrace{500};

  // source.cpp
  boost::asio::awaitable<void> run();
  boost::asio::awaitable<void> conclude();
  void failed(const std::exception_ptr& failure);
  void escaped(const std::exception_ptr& failure);
  boost::asio::awaitable<void> connect();
  void agree(wire::Features features);
  void open_channel(unsigned index, net::Socket socket);
  /// Copies while the guest runs, if the mode says so. Whether the rest is for post-copy.
  boost::asio::awaitable<bool> copy();
  boost::asio::awaitable<net::Frame> expect(wire::FrameType type);
  net::Frame checked(net::Frame frame, wire::FrameType type);
  void channel_failed(unsigned link, std::exception_ptr failure);
  void check_guest() const;

  // rounds.cpp
  boost::asio::awaitable<bool> pre_copy();
  void look_at_writes();
  boost::asio::awaitable<void> send_round(std::shared_ptr<PreCopyRound> round,
                                          PreCopyDriver::Kind kind);
  [[nodiscard]] PreCopyDriver::Time now() const { return Clock::now() - start_; }
  [[nodiscard]] PreCopyDriver::Sent sent() const;

  // control.cpp
  /// Ends a migration that is not yet committed; to be called in its own thread.
  void abandon(Event event, const std::string& why);
  void give_up(const std::string& why);
  void interrupt();
  void watch_stop();
  void phase(std::string text);
  void tick();
  void update_counts();
  void update_progress();
  [[nodiscard]] std::optional<std::uint64_t> pages_left(std::uint64_t used) const;
  [[nodiscard]] std::uint64_t pages_sent() const;

  // handover.cpp
  boost::asio::awaitable<void> hand_over(bool post_copy);
  boost::asio::awaitable<void> send_last_pages();
  boost::asio::awaitable<void> send_digests(const vmm::PageSet* missing);
  boost::asio::awaitable<void> pace();
  void bound_stop(std::uint64_t pages_left);
  void take_prepared(const net::Frame& frame);
  void take_word(const net::Frame& frame);
  void take_running(const wire::Running& running);
  /// Where the VM is once it has been handed over: for people.
  [[nodiscard]] std::string is_there() const;

  // owner.cpp
  [[nodiscard]] Stage stage() const;
  /// Tells the rules what has happened, and does what they say.
  void happened(Event event);
  /// To be done; with the mutex held.
  void say(const handover::Actions& actions);
  void follow();
  void act(handover::Action action);
  void run_guest();
  void complete(std::string owner);
  /// The VM stays here: it runs again, and the report says why.
  void stay();
  boost::asio::awaitable<void> await_last_word();
  boost::asio::awaitable<void> keep_telling();
  boost::asio::awaitable<void> tell_report();
  void finish();

  // doubt.cpp
  boost::asio::awaitable<void> settle();
  boost::asio::awaitable<void> ask_who_runs();
  boost::asio::awaitable<void> inquire();
  void tell_doubt(const std::string& problem);
  boost::asio::awaitable<void> pause_before_retry(std::chrono::milliseconds& delay);

  // post_copy.cpp
  boost::asio::awaitable<void> prepare_post_copy();
  boost::asio::awaitable<void> open_faults();
  void serve_faults();
  void tell_missing(const vmm::PageSet& missing);
  boost::asio::awaitable<void> tell_rest();
  boost::asio::awaitable<void> serve();
  boost::asio::awaitable<void> take_up_link();
  void drop_page_connections();
  void drop_connections();

  // reuse.cpp
  boost::asio::awaitable<void> compare();
  /// The destination holds pages of an earlier stay.
  [[nodiscard]] bool reuses() const { return comparison_ && comparison_->holds_any(); }
  [[nodiscard]] vmm::PageSet harvest_unsent();
  void keep_image();
  void count_pages();
  boost::asio::awaitable<void> sample_history();

  boost::asio::io_context context_{1};
  std::unique_ptr<vmm::Machine> machine_;
  MigrateOptions options_;
  Callbacks callbacks_;
  const bool was_running_;
  const Token token_ = random_token();
  const double cpu_at_start_;
  const Clock::time_point start_ = Clock::now();

  RateLimiter limiter_;
  PageCounters counters_;
  PageSender::Shared shared_;
  std::shared_ptr<net::Connection> control_;  ///< the link: that, or the newest inquiry
  std::vector<std::unique_ptr<PageSender>> senders_;
  unsigned link_ = 0;  ///< counts the links: what is heard of an earlier one means nothing
  boost::asio::steady_timer ticker_;
  boost::asio::steady_timer retry_;
  boost::asio::steady_timer grace_;
  boost::asio::cancellation_signal interrupt_;  ///< of run(), wherever it waits
  Address peer_;                                ///< the destination, without a name to look up
  std::string incarnation_;
  wire::Features features_;  ///< that both sides know
  std::exception_ptr failure_;
  PreCopyDriver driver_;
  std::shared_ptr<PreCopyRound> copying_;  ///< the round that is under way
  PageAccount pages_;
  // For people: how far it is.
  UsedPages used_;
  Progress progress_;
  std::optional<std::uint64_t> to_travel_;    ///< pages; none: all that are used
  std::optional<std::uint64_t> handed_over_;  ///< pages that were missing; none: all that are used
  Clock::time_point stopped_at_;
  Clock::time_point landed_at_;
  Clock::time_point prepared_at_;
  std::uint32_t last_round_ = 0;                ///< that is sent, or of pages that are not missing
  std::optional<handover::StopDeadline> stop_;  ///< while the guest stands, before Commit
  std::uint64_t sent_before_stop_ = 0;          ///< bytes
  std::uint64_t digest_bytes_ = 0;
  std::string trouble_;  ///< why the guest does not run again here

  // Memory reuse.
  std::optional<Comparison> comparison_;
  const HashKey key_ = random_hash_key();  ///< of the image that is kept
  std::unique_ptr<ImageKeeper> keeper_;    ///< of it

  // Post-copy.
  std::string no_post_copy_;  ///< why the destination cannot
  vmm::PageSet told_missing_;
  std::uint64_t closed_bytes_ = 0;  ///< over connections that are closed
  std::uint64_t closed_bytes_back_ = 0;
  std::uint64_t resent_before_ = 0;    ///< pages that the rest has and that travelled before
  std::optional<net::Socket> faults_;  ///< until there is a server
  std::unique_ptr<PageServer> server_;
  wire::Running running_;
  Clock::time_point link_lost_at_;
  std::uint64_t missing_at_loss_ = 0;
  std::chrono::milliseconds retry_delay_{};  ///< grows while no page gets through

  mutable std::mutex mutex_;  ///< guards what follows
  MigrationReport report_;
  handover::SourceHandover handover_;  ///< a wish advances it in another thread
  std::vector<handover::Action> due_;  ///< what it has said, and is not yet done
  std::optional<Event> wish_;          ///< that was granted
  bool hands_pages_over_ = false;      ///< committed, and the VM lacks pages over there

  std::atomic<bool> done_ = false;
  vmm::Thread thread_;
};

}  // namespace migration

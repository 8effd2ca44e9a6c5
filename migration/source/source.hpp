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
#include "migration/source/inquiry.hpp"
#include "migration/source/outgoing.hpp"
#include "migration/wire/messages.hpp"
#include "vmm/os/thread.hpp"

namespace migration {

/// The source's role, in one thread with one event loop. Read `run` first: it tells the story.
/// rounds.cpp copies while the guest runs, handover.cpp stops the guest and hands it over,
/// doubt.cpp settles what is in doubt, post_copy.cpp serves the pages that the destination lacks
/// after that; reuse.cpp finds what the destination has from before, and ImageKeeper keeps the
/// image here when all that is over.
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
  bool link_lost() const { return stage() == Stage::in_doubt; }
  bool done() const { return done_; }

 private:
  using Clock = std::chrono::steady_clock;
  /// Between two attempts to reach the destination; each further one waits longer.
  static constexpr std::chrono::milliseconds kFirstRetry{100};
  /// How long the word that the VM stays may take to leave.
  static constexpr std::chrono::milliseconds kWordGrace{500};
  /// How far the handover is. From `committed` on only the destination's word, or the operator's,
  /// lets the VM run here again. `serving`: it runs there, and lacks pages.
  enum class Stage { copying, committed, serving, in_doubt, settled };

  // source.cpp
  boost::asio::awaitable<void> run();
  boost::asio::awaitable<void> conclude();
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
  void abandon(const std::string& why);
  [[nodiscard]] bool cancelled() const;
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
  void take_prepared(const net::Frame& frame);
  void commit();
  void take_running(const wire::Running& running);
  /// Where the VM is once it has been handed over: for people.
  [[nodiscard]] std::string is_there() const;
  void complete(const wire::Running& running);
  /// The VM stays here: it runs again, and the report says why.
  void stay(Outcome outcome, const std::string& error);
  boost::asio::awaitable<void> tell_abort();
  boost::asio::awaitable<void> tell_report();
  boost::asio::awaitable<void> hang_up();
  void finish();

  // doubt.cpp
  boost::asio::awaitable<void> settle();
  boost::asio::awaitable<bool> ask_who_runs();
  [[nodiscard]] bool ran_there() const;
  void runs_there();
  boost::asio::awaitable<std::optional<net::Frame>> tell_abort_again(const char* reason);
  bool may_commit_again();
  bool enter_doubt(const std::string& problem);
  void tell_doubt();
  boost::asio::awaitable<wire::VmStatus> inquire();
  boost::asio::awaitable<void> pause_before_retry(std::chrono::milliseconds& delay);
  boost::asio::awaitable<void> keep_telling_abort();

  // post_copy.cpp
  boost::asio::awaitable<void> prepare_post_copy();
  boost::asio::awaitable<void> open_faults();
  void serve_faults();
  void tell_missing(const vmm::PageSet& missing);
  boost::asio::awaitable<void> tell_rest();
  void serve_from_now_on(const wire::Running& running);
  boost::asio::awaitable<void> serve();
  boost::asio::awaitable<void> take_up_link(wire::Running running);
  void guest_ended_there(const std::string& reason);
  void drop_page_connections();
  void drop_connections();
  [[nodiscard]] Stage stage() const;

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
  std::shared_ptr<net::Connection> control_;
  Inquiry inquiry_;
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
  bool last_round_told_ = false;  ///< the destination may have got as far as Prepared
  bool tell_abort_ = false;       ///< it may hold a prepared VM that has stayed here
  // For people: how far it is.
  UsedPages used_;
  Progress progress_;
  std::optional<std::uint64_t> to_travel_;    ///< pages; none: all that are used
  std::optional<std::uint64_t> handed_over_;  ///< pages that were missing; none: all that are used
  Clock::time_point stopped_at_;
  Clock::time_point landed_at_;
  Clock::time_point prepared_at_;

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
  Stage stage_ = Stage::copying;
  bool cancelled_ = false;
  bool hands_pages_over_ = false;  ///< committed, and the VM lacks pages over there
  bool ran_there_ = false;         ///< the destination has said so
  bool forced_ = false;
  bool commit_out_ = false;  ///< repeated in an inquiry, and not yet answered

  std::atomic<bool> done_ = false;
  vmm::Thread thread_;
};

}  // namespace migration

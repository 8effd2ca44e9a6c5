#pragma once

#include <atomic>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "migration/net/connection.hpp"
#include "migration/outgoing.hpp"
#include "migration/pages/page_sender.hpp"
#include "migration/policy/convergence.hpp"
#include "migration/wire/messages.hpp"

namespace migration {

/// The source's role, in one thread with one event loop. Read `run` first: it tells the story.
/// source.cpp copies, source_handover.cpp stops the guest, hands it over and settles what is in
/// doubt.
class OutgoingMigration::Source {
 public:
  /// Throws without having taken the machine.
  Source(std::unique_ptr<vmm::Machine>&& machine, MigrateOptions options, Callbacks callbacks);
  ~Source();

  void set(const MigrateSettings& settings);
  std::string cancel();
  std::string force_resume();
  MigrationReport live() const;
  bool done() const { return done_; }

 private:
  using Clock = std::chrono::steady_clock;
  /// How far the handover is. From `committed` on only the destination's word, or the operator's,
  /// lets the VM run here again.
  enum class Stage { copying, committed, in_doubt, settled };

  // source.cpp
  boost::asio::awaitable<void> run();
  boost::asio::awaitable<void> connect();
  boost::asio::awaitable<void> pre_copy();
  boost::asio::awaitable<void> send_round(std::shared_ptr<Round> round);
  boost::asio::awaitable<net::Frame> expect(wire::FrameType type);
  void channel_failed(std::exception_ptr failure);
  void check_guest() const;
  /// Ends a migration that is not yet committed; to be called in its own thread.
  void abandon(const std::string& why);
  [[nodiscard]] ConvergenceInput measure(std::uint64_t dirty_pages) const;
  void phase(std::string text);
  void tick();
  void update_counts();

  // source_handover.cpp
  boost::asio::awaitable<void> hand_over();
  boost::asio::awaitable<void> send_digests();
  boost::asio::awaitable<void> pace();
  void commit();
  void complete(const wire::Running& running);
  /// The VM stays here: it runs again, and the report says why.
  void stay(Outcome outcome, const std::string& error);
  boost::asio::awaitable<void> tell_abort();
  boost::asio::awaitable<void> settle();
  boost::asio::awaitable<bool> ask_who_runs();
  bool may_commit_again();
  bool enter_doubt(const std::string& problem);
  /// Dials and asks, on inquiry_.
  boost::asio::awaitable<wire::VmStatus> inquire();
  void end_inquiry();
  boost::asio::awaitable<void> pause_before_retry(std::chrono::milliseconds& delay);
  boost::asio::awaitable<void> keep_telling_abort();
  void finish();

  boost::asio::io_context context_{1};
  std::unique_ptr<vmm::Machine> machine_;
  MigrateOptions options_;
  Callbacks callbacks_;
  const bool was_running_;
  const wire::Token token_ = wire::random_token();
  const double cpu_at_start_;
  const Clock::time_point start_ = Clock::now();

  RateLimiter limiter_;
  PageCounters counters_;
  PageSender::Shared shared_;
  std::shared_ptr<net::Connection> control_;
  std::shared_ptr<net::Connection> inquiry_;
  std::vector<std::unique_ptr<PageSender>> senders_;
  boost::asio::steady_timer ticker_;
  boost::asio::steady_timer retry_;
  boost::asio::steady_timer grace_;
  boost::asio::cancellation_signal stop_dialling_;
  bool dialling_ = false;  ///< within connect()
  std::string incarnation_;
  std::exception_ptr failure_;
  std::uint32_t round_ = 0;
  bool last_round_told_ = false;  ///< the destination may have got as far as Prepared
  double link_bytes_per_second_ = 0;
  unsigned throttle_ = 0;
  Clock::time_point stopped_at_;
  Clock::time_point prepared_at_;

  mutable std::mutex mutex_;  ///< guards what follows
  MigrationReport report_;
  Stage stage_ = Stage::copying;
  bool cancelled_ = false;
  bool forced_ = false;
  bool commit_out_ = false;  ///< repeated in an inquiry, and not yet answered
  std::uint64_t inquiry_bytes_ = 0;
  std::uint64_t inquiry_bytes_back_ = 0;
  std::uint64_t max_downtime_us_;

  std::atomic<bool> done_ = false;
  std::thread thread_;
};

}  // namespace migration

#pragma once

#include <sys/types.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "vmm/os/event_fd.hpp"
#include "vmm/os/mutex.hpp"

struct nbd_handle;

namespace devices::storage {

class NbdLibrary;

/// What a server says of a disk.
struct NbdExport {
  std::string name;
  std::uint64_t bytes = 0;
  std::uint64_t least_bytes = 0;  ///< of a request
  std::uint64_t most_bytes = 0;   ///< of a request with data
  bool read_only = false;
  bool can_flush = false;
  bool can_trim = false;
  bool can_zero = false;
  bool one_cache = false;  ///< what one connection has flushed all others see

  /// A guest that uses the one can use the other.
  [[nodiscard]] bool same_for_guest(const NbdExport& other) const {
    return bytes == other.bytes && least_bytes == other.least_bytes &&
           read_only == other.read_only && can_flush == other.can_flush;
  }
};

/// Its data is its own, and not the guest's memory: who gives up waiting leaves it to libnbd.
struct NbdRequest {
  enum class Kind { read, write, flush, discard, write_zeroes };

  Kind kind{};
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  bool may_unmap = false;
  bool of_guest = true;  ///< who flushes hears once that writes may be lost, and is it
  std::vector<std::byte> data = {};
};

struct NbdConnecting {
  bool anew = false;     ///< where there is a connection, too
  bool patient = false;  ///< an attempt that fails is followed by others, as long as the limit is
};

/// A connection to a server, and the thread that drives it. When it is lost, another one is made,
/// by and by; meanwhile requests fail.
///
///   connecting --> connected --> lost, for a pause --> connecting
///       |                         ^
///       +-------------------------+
///
/// One that has no answer to a flush of ours, nor to anything else for as long again, is given up
/// once nothing of the guest is under way; what the guest asks for waits for the next.
class NbdConnection final : public std::enable_shared_from_this<NbdConnection> {
 public:
  /// A request has `limit`, and connecting no more than that.
  NbdConnection(std::string uri, std::chrono::milliseconds limit);

  /// Once, first. connect() is to follow.
  void start();
  /// Does not wait for a server, nor for more than a moment. No other call is under way, or comes.
  void end();

  /// Any thread, several at a time; std::system_error says why not.
  void connect(NbdConnecting how);
  [[nodiscard]] NbdExport server() const;
  /// What was read. A request of the guest that has no answer in time ends the connection.
  std::vector<std::byte> perform(NbdRequest request);

 private:
  using Clock = std::chrono::steady_clock;
  enum class State { connecting, connected, lost };

  struct Failure {
    std::error_code code;
    std::string why;
  };
  struct Command {
    NbdRequest request;
    std::uint64_t written_before = 0;  ///< of a flush: what it keeps
    bool answered = false;             ///< of the thread
    int error = 0;                     ///< of the thread, until it is done
    bool done = false;
    std::optional<Failure> failure = {};
    vmm::Condition changed = {};
  };
  using Commands = std::deque<std::shared_ptr<Command>>;

  static constexpr std::chrono::milliseconds kFirstPause{100};
  static constexpr const char* kSilent = "the server does not answer";

  [[nodiscard]] static std::error_code code_of(int error) {
    return {error == 0 ? EIO : error, std::generic_category()};
  }
  [[nodiscard]] static int answered(void* command, int* error);
  [[nodiscard]] std::chrono::milliseconds connect_limit() const;

  // Of the thread alone.
  void run();
  void begin_connecting();
  void watch();
  void wait();
  [[nodiscard]] int wait_ms() const;
  void doubt();
  void give_up_silent();
  [[nodiscard]] bool asks_for_guest() const;
  void take(const std::shared_ptr<Command>& command);
  [[nodiscard]] std::int64_t issue(Command& command);
  /// Whether it is a flush that is to fail, as writes may be lost.
  [[nodiscard]] bool tells_loss(const NbdRequest& request);
  void refuse(Command& command, const Failure& failure);
  void settle_answered();
  /// As it was answered, or else with `failure`.
  void settle(Command& command, const Failure& failure) FERRY_REQUIRES(mutex_);
  void note(const Command& command);
  [[nodiscard]] NbdExport ask() const;
  [[nodiscard]] Failure failure() const;
  void lose(const Failure& failure, bool renews = false);
  void drop_handle();
  static void finish(Command& command, std::optional<Failure> failure);

  const std::string uri_;
  const std::chrono::milliseconds limit_;
  const NbdLibrary& nbd_;
  const vmm::EventFd wake_;

  mutable vmm::Mutex mutex_;
  vmm::Condition changed_;
  State state_ FERRY_GUARDED_BY(mutex_) = State::connecting;
  std::uint64_t losses_ FERRY_GUARDED_BY(mutex_) = 0;  ///< and attempts that failed
  Failure why_lost_ FERRY_GUARDED_BY(mutex_);
  NbdExport server_ FERRY_GUARDED_BY(mutex_);
  Commands waiting_ FERRY_GUARDED_BY(mutex_);
  bool anew_ FERRY_GUARDED_BY(mutex_) = false;
  bool hangs_ FERRY_GUARDED_BY(mutex_) = false;
  bool doubted_ FERRY_GUARDED_BY(mutex_) = false;
  bool renews_ FERRY_GUARDED_BY(mutex_) = false;  ///< it was silent, and requests wait
  bool over_ FERRY_GUARDED_BY(mutex_) = false;
  bool ended_ FERRY_GUARDED_BY(mutex_) = false;

  // Of the thread alone.
  std::optional<NbdExport> first_;  ///< which it has to stay
  nbd_handle* handle_ = nullptr;
  bool ready_ = false;
  Clock::time_point next_;                       ///< when connecting begins, or has taken too long
  std::chrono::milliseconds pause_{0};           ///< grows until a request succeeds
  std::optional<Clock::time_point> doubt_ends_;  ///< when a silent server is given up
  Commands in_flight_;
  std::uint64_t written_ = 0;
  std::uint64_t flushed_ = 0;  ///< of these
  bool lost_writes_ = false;
};

}  // namespace devices::storage

#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>

#include "migration/net/buffered_reader.hpp"
#include "migration/net/stream.hpp"
#include "migration/pages/page_sink.hpp"
#include "migration/pages/page_target.hpp"
#include "migration/wire/decode.hpp"
#include "vmm/os/mutex.hpp"
#include "vmm/os/thread.hpp"

namespace migration {

/// One channel of the destination: a thread that reads page frames and gives them to a PageSink.
/// The owner gives it another one as the migration switches to post-copy.
class PageReceiver {
 public:
  /// Called from the thread: a round has landed as far as this channel goes (its number), or the
  /// channel failed or was closed.
  using Done = std::function<void(std::uint32_t round, std::exception_ptr)>;

  PageReceiver(net::Socket socket, PageTarget& target, std::unique_ptr<PageSink> sink, Done done);
  /// Interrupts the channel and joins its thread.
  ~PageReceiver();
  PageReceiver(const PageReceiver&) = delete;
  PageReceiver& operator=(const PageReceiver&) = delete;

  /// The owner's thread, between two rounds, when a sound peer has nothing under way here. Pages go
  /// to `sink` from the next frame on. The one before it goes once the channel's thread is done
  /// with it.
  void switch_to(std::unique_ptr<PageSink> sink);

 private:
  void run();
  void end_round(std::uint32_t round);
  void receive(const wire::FrameHeader& header);
  [[nodiscard]] PageSink& sink();

  net::Stream stream_;
  net::BufferedReader in_{stream_};
  PageTarget& target_;
  Done done_;
  std::uint32_t ended_ = 0;         ///< the last round that the peer has ended here
  std::unique_ptr<PageSink> sink_;  ///< the channel's thread alone looks at it
  vmm::Mutex mutex_;
  /// To take the place of sink_; or none.
  std::unique_ptr<PageSink> next_ FERRY_GUARDED_BY(mutex_);
  vmm::Thread thread_;
};

}  // namespace migration

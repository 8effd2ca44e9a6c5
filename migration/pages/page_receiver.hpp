#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <vector>

#include "migration/net/buffered_reader.hpp"
#include "migration/net/stream.hpp"
#include "migration/pages/huge_block.hpp"
#include "migration/pages/page_target.hpp"
#include "migration/wire/decode.hpp"
#include "vmm/os/thread.hpp"

namespace migration {

/// One channel of the destination: a thread that reads page frames and puts the pages in place.
/// While no vCPU runs, raw pages are read from the socket straight into guest memory, and blocks
/// unpacked into it.
class PageReceiver {
 public:
  /// Called from the thread: a round has landed as far as this channel goes (its number), or the
  /// channel failed or was closed.
  using Done = std::function<void(std::uint32_t round, std::exception_ptr)>;

  PageReceiver(net::Socket socket, PageTarget& target, Done done);
  /// Interrupts the channel and joins its thread.
  ~PageReceiver();
  PageReceiver(const PageReceiver&) = delete;
  PageReceiver& operator=(const PageReceiver&) = delete;

 private:
  void run();
  void end_round(std::uint32_t round);
  void receive(const wire::FrameHeader& header);
  void receive_raw(const std::vector<vmm::PageRange>& ranges, std::size_t bytes);
  void receive_compressed(const std::vector<vmm::PageRange>& ranges, std::size_t bytes);
  void clear(const std::vector<vmm::PageRange>& ranges);
  void install(PageSink& sink, wire::FrameType type, const std::vector<vmm::PageRange>& ranges,
               std::size_t bytes);
  [[nodiscard]] std::span<std::byte> out(std::size_t size);
  void install_block(PageSink& sink, const std::vector<vmm::PageRange>& ranges);

  net::Stream stream_;
  net::BufferedReader in_{stream_};
  PageTarget& target_;
  vmm::GuestMemory& memory_;
  Done done_;
  std::vector<std::byte> out_;  ///< pages on their way into guest memory
  std::vector<std::uint64_t> digests_;
  HugeBlock block_;
  bool aside_ = false;
  std::uint32_t ended_ = 0;  ///< the last round that the peer has ended here
  std::vector<iovec> parts_;
  vmm::Thread thread_;
};

}  // namespace migration

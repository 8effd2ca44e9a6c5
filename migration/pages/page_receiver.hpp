#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

#include "migration/net/buffered_reader.hpp"
#include "migration/net/stream.hpp"
#include "migration/pages/page_set.hpp"
#include "migration/wire/decode.hpp"
#include "vmm/memory/guest_memory.hpp"

namespace migration {

/// One channel of the destination: a thread that reads page frames and puts the pages in place.
/// Raw pages are read from the socket straight into guest memory, and blocks unpacked into it.
///
/// `landed`, which the channels share, has the pages that hold something, so that a zero page costs
/// nothing where nothing is.
class PageReceiver {
 public:
  /// Called from the thread: a round has landed as far as this channel goes (its number), or the
  /// channel failed or was closed.
  using Done = std::function<void(std::uint32_t round, std::exception_ptr)>;

  PageReceiver(net::Socket socket, vmm::GuestMemory& memory, AtomicPageSet& landed, Done done);
  /// Interrupts the channel and joins its thread.
  ~PageReceiver();
  PageReceiver(const PageReceiver&) = delete;
  PageReceiver& operator=(const PageReceiver&) = delete;

 private:
  void run();
  void receive(const wire::FrameHeader& header);
  void receive_raw(const std::vector<vmm::PageRange>& ranges, std::size_t bytes);
  void receive_compressed(const std::vector<vmm::PageRange>& ranges, std::size_t bytes);
  void clear(const std::vector<vmm::PageRange>& ranges);

  net::Stream stream_;
  net::BufferedReader in_{stream_};
  vmm::GuestMemory& memory_;
  AtomicPageSet& landed_;
  Done done_;
  std::vector<std::byte> out_;
  std::vector<iovec> parts_;
  std::thread thread_;
};

}  // namespace migration

#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "migration/pages/page_sink.hpp"
#include "migration/postcopy/fault_loop.hpp"
#include "migration/postcopy/missing_pages.hpp"
#include "migration/postcopy/page_installer.hpp"

namespace migration {

/// The destination of post-copy: which pages are missing, who installs them, and who asks for those
/// that are touched. The channels bring the others, each into a sink of its own.
///
/// | thread | calls |
/// |---|---|
/// | the receiver's | all of this class |
/// | the fault loop's | MissingPages, PageInstaller; the callbacks come from it |
/// | each channel's | its MissingPageSink, and by that PageInstaller |
///
/// What is marked so below may be called from any thread.
class PageFetcher {
 public:
  using Callbacks = FaultLoop::Callbacks;

  /// From now on whoever touches a page of `memory` that is not there waits for this object.
  /// `overlay`, `digests`: as for PageInstaller; `timeout`: as for FaultLoop. std::system_error
  /// when userfaultfd is not permitted.
  PageFetcher(vmm::GuestMemory& memory, const std::shared_ptr<const vmm::Userfault>& userfault,
              std::unique_ptr<FileOverlay> overlay, bool digests, std::chrono::milliseconds timeout,
              Callbacks callbacks);

  /// PageInstaller::expect.
  void expect(const std::vector<vmm::PageRange>& pages, bool untouched = false) {
    installer_.expect(pages, untouched);
  }
  [[nodiscard]] vmm::PageSet expected() const { return missing_.expected(); }
  /// All has been told that is missing, be it nothing.
  void told_all();
  /// FaultLoop::connect, disconnect.
  void connect(net::Socket socket) { loop_.connect(std::move(socket)); }
  void disconnect() { loop_.disconnect(); }
  /// For one channel, which goes before this object does.
  [[nodiscard]] std::unique_ptr<PageSink> make_sink();
  [[nodiscard]] bool fills_file() const { return installer_.fills_file(); }

  // Any thread.
  /// FaultLoop::abandon.
  void abandon() { loop_.abandon(); }
  [[nodiscard]] bool abandoned() const { return loop_.abandoned(); }
  [[nodiscard]] bool connected() const { return loop_.connected(); }
  /// Pages that are still to come. Not 0 before RAM is as any other.
  [[nodiscard]] std::uint64_t missing() const {
    return installer_.finished() ? 0 : std::max<std::uint64_t>(missing_.count(), 1);
  }
  /// The source is not needed any more, be RAM as any other or not yet.
  [[nodiscard]] bool has_all() const { return missing_.count() == 0; }
  [[nodiscard]] vmm::PageSet missing_pages() const { return missing_.snapshot(); }
  [[nodiscard]] LatencyHistogram latencies() const { return missing_.latencies(); }

 private:
  MissingPages missing_;
  PageInstaller installer_;
  FaultLoop loop_;
};

}  // namespace migration

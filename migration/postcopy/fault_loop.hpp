#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <vector>

#include "migration/net/stream.hpp"
#include "migration/policy/answer_choice.hpp"
#include "migration/postcopy/fault_watch.hpp"
#include "migration/postcopy/missing_pages.hpp"
#include "migration/postcopy/page_installer.hpp"
#include "migration/wire/decode.hpp"
#include "vmm/memory/guest_memory.hpp"
#include "vmm/memory/userfault.hpp"
#include "vmm/os/mutex.hpp"
#include "vmm/os/thread.hpp"
#include "vmm/os/unique_fd.hpp"

namespace migration {

/// The thread that serves page faults: it asks the source for pages that are touched and missing,
/// on the fault connection, and has the answers installed.
class FaultLoop {
 public:
  /// Both come from the loop's thread.
  struct Callbacks {
    /// Every page is here; once. Whether RAM that is a file is that file again.
    std::function<void(bool file_again)> complete;
    std::function<void(std::exception_ptr)> failed;  ///< the fault connection is lost
  };

  /// `timeout`: a page that was asked for and does not come for so long shows that the link is
  /// lost. All that is referred to outlives this object.
  FaultLoop(const vmm::GuestMemory& memory, std::shared_ptr<const vmm::Userfault> userfault,
            MissingPages& missing, PageInstaller& installer, std::chrono::milliseconds timeout,
            Callbacks callbacks);
  ~FaultLoop();
  FaultLoop(const FaultLoop&) = delete;
  FaultLoop& operator=(const FaultLoop&) = delete;

  // The receiver's thread.
  /// Takes requests to the source over `socket` from now on, those first that are still open.
  void connect(net::Socket socket);
  /// Forgets the connection; nothing that it brought is installed any more on return.
  void disconnect();

  // Any thread.
  /// The VM will not run here: who waits goes on, whatever it finds.
  void abandon();
  /// No page is missing any more: ends all waiting, and tells that all is complete.
  void finish();
  [[nodiscard]] bool abandoned() const { return abandoned_; }
  [[nodiscard]] bool connected() const { return connected_; }
  /// How often, and where, faults are served.
  [[nodiscard]] const FaultWatch& watch() const { return watch_; }

 private:
  void run();
  void run_tasks();
  void take_faults();
  void faulted(vmm::PageIndex page);
  void resolve_zeros();
  void ask(vmm::PageIndex page);
  void take_answers();
  /// An answer, or a page that the source guesses to be needed soon.
  void take_page(const wire::SinglePage& answer, bool early);
  void check_deadline() const;
  void fail(std::exception_ptr why);
  void complete();

  /// Runs `task` in the loop's thread; the second one waits for it.
  void post(std::function<void()> task);
  void run_there(const std::function<void()>& task);

  const vmm::GuestMemory& memory_;
  const std::shared_ptr<const vmm::Userfault> userfault_;
  MissingPages& missing_;
  PageInstaller& installer_;
  const std::chrono::milliseconds timeout_;
  const Callbacks callbacks_;

  std::atomic<bool> abandoned_ = false;
  std::atomic<bool> connected_ = false;
  FaultWatch watch_;

  vmm::Mutex tasks_mutex_;
  std::vector<std::function<void()>> tasks_ FERRY_GUARDED_BY(tasks_mutex_);
  const vmm::UniqueFd wake_;  ///< an eventfd: there are tasks

  // The loop's thread alone.
  std::unique_ptr<net::Stream> stream_;
  wire::Bytes request_;
  std::vector<std::byte> in_;
  std::size_t in_used_ = 0;  ///< bytes of in_: the beginning of a frame
  AnswerChoice choice_;
  std::vector<std::byte> page_;
  std::vector<vmm::PageIndex> zeros_;  ///< somebody waits for them, and they are not missing
  bool leaving_ = false;
  vmm::Thread thread_;
};

}  // namespace migration

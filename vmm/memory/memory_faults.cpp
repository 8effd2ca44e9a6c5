#include "vmm/memory/memory_faults.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <system_error>

namespace vmm {

namespace {

struct Range {
  std::atomic<std::uintptr_t> begin{0};  ///< 0: free
  std::atomic<std::uintptr_t> end{0};
};

// Whatever the handler uses is constant or atomic: it may interrupt anything.
std::array<Range, 8> guest_ram;
std::atomic<int> exit_status{1};
std::atomic<void (*)() noexcept> before_exit{nullptr};

/// A line that is put together without memory from the heap.
class Line {
 public:
  Line& operator<<(std::string_view text) {
    const std::size_t size = std::min(text.size(), text_.size() - size_);
    std::memcpy(text_.data() + size_, text.data(), size);
    size_ += size;
    return *this;
  }
  Line& operator<<(std::uintptr_t number) {
    std::array<char, 16> digits{};
    std::size_t at = digits.size();
    do {
      digits[--at] = "0123456789abcdef"[number % 16];
      number /= 16;
    } while (number != 0);
    return *this << "0x" << std::string_view(&digits[at], digits.size() - at);
  }
  /// Not where it would wait for a reader.
  void print() const {
    pollfd out{STDERR_FILENO, POLLOUT, 0};
    if (::poll(&out, 1, 0) != 1 || (out.revents & POLLOUT) == 0) return;
    if (::write(STDERR_FILENO, text_.data(), size_) < 0) return;
  }

 private:
  std::array<char, 512> text_{};
  std::size_t size_ = 0;
};

/// Where in guest RAM, if it is.
void put_place(Line& line, std::uintptr_t address) {
  for (const Range& range : guest_ram) {
    const std::uintptr_t begin = range.begin;
    if (begin == 0 || address < begin || address >= range.end) continue;
    line << "of guest RAM (offset " << address - begin << ")";
    return;
  }
  line << "of this process (address " << address << "), and not of guest RAM";
}

void explain(int /*signal*/, siginfo_t* info, void* /*context*/) {
  const int error = errno;
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  const bool bad = info->si_code == BUS_MCEERR_AO || info->si_code == BUS_MCEERR_AR;
  Line line;
  line << "ferry: ";
  line << (bad ? "the host's memory is bad: a page " : "there is no memory for a page ");
  put_place(line, address);
  if (!bad) {
    line << ": a file that is RAM or an image was cut short, or its file system is full";
  }
  if (info->si_code == BUS_MCEERR_AO) {
    line << ". Nobody has touched it: the VM goes on until somebody does\n";
    line.print();
    errno = error;
    return;
  }
  line << ". This process ends, and its VM with it\n";
  line.print();
  if (const auto last_act = before_exit.load()) last_act();
  ::_exit(exit_status);
}

}  // namespace

void explain_memory_faults(int status, void (*last_act)() noexcept) {
  exit_status = status;
  before_exit = last_act;
  struct sigaction action {};
  action.sa_sigaction = explain;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  if (::sigaction(SIGBUS, &action, nullptr) < 0) {
    throw std::system_error(errno, std::generic_category(), "sigaction");
  }
}

void note_guest_ram(const std::byte* data, std::size_t size) {
  const auto begin = reinterpret_cast<std::uintptr_t>(data);
  for (Range& range : guest_ram) {
    std::uintptr_t free = 0;
    if (!range.begin.compare_exchange_strong(free, begin)) continue;
    range.end = begin + size;
    return;
  }
}

void forget_guest_ram(const std::byte* data) {
  for (Range& range : guest_ram) {
    if (range.begin != reinterpret_cast<std::uintptr_t>(data)) continue;
    range.end = 0;
    range.begin = 0;
  }
}

}  // namespace vmm

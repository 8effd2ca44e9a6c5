// Measures the ways to install pages that arrive into RAM whose missing pages are waited for, and
// prints a table. Each way takes in turn: fresh RAM, filled from a buffer in this process or from a
// TCP connection to another thread of it. What it takes to bring the bytes into place counts.
// Usage: install_bench [RUNS]

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <functional>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "vmm/memory/guest_memory.hpp"
#include "vmm/memory/userfault.hpp"
#include "vmm/os/unique_fd.hpp"

namespace vmm {
namespace {

using Clock = std::chrono::steady_clock;
using Bytes = std::span<std::byte>;
using Fill = std::function<void(Bytes)>;

constexpr std::uint64_t kRam = 512_MiB;
constexpr std::size_t kHugePage = 2_MiB;

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

/// See scripts/bench/warm.py: memory that this machine has not used for a while comes slowly.
void warm() {
  for (int pass = 0; pass < 10; ++pass) {
    GuestMemory memory(kRam + 300_MiB);
    const Bytes all = memory.pages({0, memory.page_count()});
    auto start = Clock::now();
    for (std::size_t at = 0; at < all.size(); at += kHugePage) all[at] = std::byte{1};
    const double touched = ms_since(start);
    start = Clock::now();
    std::ranges::fill(all, std::byte{2});
    if (touched < 1.5 * ms_since(start)) return;
  }
}

/// What is sent, again and again.
const std::vector<std::byte>& content() {
  static const std::vector<std::byte> bytes(4_MiB, std::byte{0x5a});
  return bytes;
}

Fill by_memcpy() {
  return [at = std::size_t{0}](Bytes to) mutable {
    if (at + to.size() > content().size()) at = 0;
    std::memcpy(to.data(), content().data() + at, to.size());
    at += to.size();
  };
}

/// A thread that sends as much as the RAM takes to the other end of a TCP connection.
class Sender {
 public:
  Sender() {
    const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof(address);
    to_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::bind(listener.get(), any, size) < 0 || ::listen(listener.get(), 1) < 0 ||
        ::getsockname(listener.get(), any, &size) < 0 || ::connect(to_.get(), any, size) < 0) {
      fail("a TCP connection to this process");
    }
    from_ = UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (from_.get() < 0) fail("accept");
    constexpr int kBuffer = 1 << 20;  // as a migration's page channels within a host
    ::setsockopt(to_.get(), SOL_SOCKET, SO_SNDBUF, &kBuffer, sizeof(kBuffer));
    thread_ = std::thread([this] { send_all(); });
  }
  ~Sender() {
    ::shutdown(from_.get(), SHUT_RDWR);
    thread_.join();
  }
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  void receive(Bytes to) const {
    while (!to.empty()) {
      const ssize_t got = ::recv(from_.get(), to.data(), to.size(), MSG_WAITALL);
      if (got <= 0) fail("recv");
      to = to.subspan(static_cast<std::size_t>(got));
    }
  }

 private:
  void send_all() const {
    for (std::uint64_t left = kRam; left > 0;) {
      const std::size_t size = std::min<std::uint64_t>(1_MiB, left);
      const ssize_t sent =
          ::send(to_.get(), content().data() + left % 4_MiB / 1_MiB * 1_MiB, size, MSG_NOSIGNAL);
      if (sent <= 0) return;
      left -= static_cast<std::uint64_t>(sent);
    }
  }

  UniqueFd to_;
  UniqueFd from_;
  std::thread thread_;
};

/// Anonymous memory of a multiple of 2 MiB, of huge pages or of none.
class Staging {
 public:
  explicit Staging(bool huge) : memory_(kMinMemory) {
    const Bytes all = memory_.pages({0, memory_.page_count()});
    if (!huge) ::madvise(all.data(), all.size(), MADV_NOHUGEPAGE);
  }
  Bytes first(std::size_t size) { return memory_.pages({0, size / kPageSize}); }

 private:
  GuestMemory memory_;
};

void check(const Installed& installed, std::size_t size) {
  if (installed.met_present || installed.bytes != size) std::abort();
}

struct Way {
  std::string name;
  bool registered;
  std::function<void(const Userfault&, Bytes ram, const Fill&)> install;
};

Way copying(std::string name, std::size_t step) {
  return {std::move(name), true, [step](const Userfault& userfault, Bytes ram, const Fill& fill) {
            Staging staging(true);
            // What arrives is read in larger pieces than single pages.
            const Bytes buffer = staging.first(std::max<std::size_t>(step, 64_KiB));
            for (std::size_t at = 0; at < ram.size(); at += buffer.size()) {
              fill(buffer);
              for (std::size_t in = 0; in < buffer.size(); in += step) {
                check(userfault.copy(ram.data() + at + in, buffer.subspan(in, step)), step);
              }
            }
          }};
}

Way moving(std::string name, bool huge) {
  return {std::move(name), true, [huge](const Userfault& userfault, Bytes ram, const Fill& fill) {
            Staging staging(huge);
            const Bytes buffer = staging.first(kHugePage);
            for (std::size_t at = 0; at < ram.size(); at += buffer.size()) {
              fill(buffer);
              check(userfault.move(ram.data() + at, buffer.data(), buffer.size()), buffer.size());
            }
          }};
}

Way straight() {
  return {"straight into RAM, not registered", false,
          [](const Userfault&, Bytes ram, const Fill& fill) {
            for (std::size_t at = 0; at < ram.size(); at += 1_MiB) fill(ram.subspan(at, 1_MiB));
          }};
}

/// The share of `ram` that is huge pages.
double huge_share(Bytes ram) {
  const auto first = reinterpret_cast<std::uintptr_t>(ram.data());
  std::ifstream maps("/proc/self/smaps");
  bool inside = false;
  double kib = 0;
  for (std::string line; std::getline(maps, line);) {
    unsigned long from = 0;
    unsigned long end = 0;
    unsigned long value = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &from, &end) == 2) {
      inside = from < first + ram.size() && end > first;
    } else if (inside && std::sscanf(line.c_str(), "AnonHugePages: %lu", &value) == 1) {
      kib += static_cast<double>(value);
    }
  }
  return kib * 1024 / static_cast<double>(ram.size());
}

struct Measured {
  std::vector<double> ms;
  double huge = 0;
};

void measure(const Way& way, bool tcp, Measured& into) {
  warm();
  const Userfault userfault;
  GuestMemory memory(kRam);
  const Bytes ram = memory.pages({0, memory.page_count()});
  if (way.registered) userfault.register_missing(ram);
  const auto start = Clock::now();
  if (tcp) {
    const Sender sender;
    way.install(userfault, ram, [&](Bytes to) { sender.receive(to); });
  } else {
    way.install(userfault, ram, by_memcpy());
  }
  into.ms.push_back(ms_since(start));
  into.huge = huge_share(ram);
  if (ram.back() != content().back()) std::abort();
}

std::string text(std::vector<double> ms) {
  std::ranges::sort(ms);
  return fmt::format("{:.0f} ({:.0f}..{:.0f})", ms[ms.size() / 2], ms.front(), ms.back());
}

/// A thread reads missing pages, one after the other; this one polls and copies.
void measure_faults() {
  constexpr std::size_t kFaults = 5000;
  const Userfault userfault;
  GuestMemory memory(64_MiB);
  const Bytes ram = memory.pages({0, memory.page_count()});
  userfault.register_missing(ram);
  std::vector<double> us;
  std::thread reader([&] {
    for (std::size_t i = 0; i < kFaults; ++i) {
      const auto start = Clock::now();
      static_cast<void>(*static_cast<const volatile std::byte*>(&ram[i * kPageSize]));
      us.push_back(ms_since(start) * 1000);
    }
  });
  for (std::size_t served = 0; served < kFaults;) {
    pollfd poll{userfault.fd(), POLLIN, 0};
    ::poll(&poll, 1, -1);
    std::array<std::byte*, 16> addresses{};
    const std::size_t count = userfault.read_faults(addresses);
    for (std::byte* const address : std::span(addresses).first(count)) {
      userfault.copy(address, std::span(content()).first(kPageSize));
    }
    served += count;
  }
  reader.join();
  std::ranges::sort(us);
  fmt::print(
      "\nA fault, from the read to its value: median {:.1f} us, 99 % {:.1f} us, most {:.1f} us\n",
      us[kFaults / 2], us[kFaults * 99 / 100], us.back());
}

void run(int runs) {
  const std::vector<Way> ways = {
      straight(),
      copying("UFFDIO_COPY of 4 KiB", kPageSize),
      copying("UFFDIO_COPY of 64 KiB", 64_KiB),
      copying("UFFDIO_COPY of 1 MiB", 1_MiB),
      copying("UFFDIO_COPY of 2 MiB", kHugePage),
      moving("UFFDIO_MOVE of 2 MiB in small pages", false),
      moving("UFFDIO_MOVE of a huge page", true),
  };
  std::vector<std::array<Measured, 2>> measured(ways.size());
  for (int i = 0; i < runs; ++i) {
    for (std::size_t w = 0; w < ways.size(); ++w) {
      if (ways[w].name.find("MOVE") != std::string::npos && !Userfault().can_move()) continue;
      for (const bool tcp : {false, true}) measure(ways[w], tcp, measured[w][tcp ? 1 : 0]);
    }
  }
  fmt::print("| 512 MiB, ms | memcpy | TCP | huge pages afterwards |\n|---|---|---|---|\n");
  for (std::size_t w = 0; w < ways.size(); ++w) {
    if (measured[w][0].ms.empty()) continue;
    fmt::print("| {} | {} | {} | {:.0f} % |\n", ways[w].name, text(measured[w][0].ms),
               text(measured[w][1].ms), measured[w][1].huge * 100);
  }
  measure_faults();
}

}  // namespace
}  // namespace vmm

int main(int argc, char** argv) {
  try {
    vmm::run(argc > 1 ? std::max(1, std::atoi(argv[1])) : 5);
  } catch (const std::exception& error) {
    fmt::print(stderr, "install_bench: {}\n", error.what());
    return 1;
  }
}

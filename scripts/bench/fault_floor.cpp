/// The floor of a post-copy fault on this machine: a page that is missing is asked for by TCP from
/// another process, comes back in 4096 bytes, and is put in place by userfaultfd, while a plain
/// bulk copy between the same two processes keeps the cores busy. Nothing is counted, ordered or
/// shared.
///
/// Usage: fault-floor [FAULTS] [guest]      (default 5000)
/// Prints two lines of "NAME P50 P99 MAX", in microseconds: `fault`, as the thread saw it that read
/// the page, and `service`, from when the handler learnt of the fault until the page was in place.
/// With `guest` a virtual processor reads the pages, there is no `fault`, and who serves them goes
/// before others as it does in Ferry.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "reading_vcpu.hpp"
#include "system.hpp"
#include "vmm/os/scheduling.hpp"

namespace {

constexpr std::size_t kBulkChunk = 1 << 20;
constexpr std::size_t kBulkRegion = 64 << 20;
constexpr std::size_t kMostFaults = 1 << 18;  // a gigabyte

using Clock = std::chrono::steady_clock;

double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

/// False at the end of the connection.
bool receive_all(int socket, void* data, std::size_t size) {
  auto* at = static_cast<std::uint8_t*>(data);
  while (size > 0) {
    const ssize_t count = recv(socket, at, size, 0);
    if (count <= 0) return false;
    at += count;
    size -= static_cast<std::size_t>(count);
  }
  return true;
}

bool send_all(int socket, const void* data, std::size_t size) {
  const auto* at = static_cast<const std::uint8_t*>(data);
  while (size > 0) {
    const ssize_t count = send(socket, at, size, MSG_NOSIGNAL);
    if (count <= 0) return false;
    at += count;
    size -= static_cast<std::size_t>(count);
  }
  return true;
}

void send_at_once(int socket) {
  const int on = 1;
  checked(setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
}

sockaddr_in listen_on_loopback(int listener) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  checked(bind(listener, generic, size), "bind");
  checked(listen(listener, 2), "listen");
  checked(getsockname(listener, generic, &size), "getsockname");
  return address;
}

int connect_to(sockaddr_in address) {
  const int connection = checked(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  checked(connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof address), "connect");
  send_at_once(connection);
  return connection;
}

/// The process that has the pages: answers with the page whose number it gets, and copies.
void serve(sockaddr_in address, std::size_t pages, bool guest) {
  const int requests = connect_to(address);
  const int bulk = connect_to(address);
  std::uint8_t* const source = memory(pages * kPage);
  for (std::size_t i = 0; i < pages; ++i) source[i * kPage] = 1;
  std::uint8_t* const copied = memory(kBulkRegion);
  std::fill_n(copied, kBulkRegion, std::uint8_t{2});
  std::thread copier([bulk, copied] {
    for (std::size_t at = 0; send_all(bulk, copied + at, kBulkChunk);) {
      at = (at + kBulkChunk) % kBulkRegion;
    }
  });
  if (guest) static_cast<void>(vmm::wake_at_once());
  std::uint64_t page = 0;
  while (receive_all(requests, &page, sizeof page)) {
    if (!send_all(requests, source + page * kPage, kPage)) break;
  }
  copier.join();
}

class Handler {
 public:
  /// `mode`: whose faults, as userfaultfd() takes it.
  Handler(int requests, std::uint8_t* region, std::size_t pages, int mode)
      : requests_(requests),
        region_(reinterpret_cast<std::uint64_t>(region)),
        descriptor_(
            static_cast<int>(checked(syscall(SYS_userfaultfd, O_CLOEXEC | mode), "userfaultfd"))) {
    uffdio_api api{};
    api.api = UFFD_API;
    checked(ioctl(descriptor_, UFFDIO_API, &api), "UFFDIO_API");
    uffdio_register range{};
    range.range = {region_, pages * kPage};
    range.mode = UFFDIO_REGISTER_MODE_MISSING;
    checked(ioctl(descriptor_, UFFDIO_REGISTER, &range), "UFFDIO_REGISTER");
  }

  /// Answers so many faults, and keeps how long each took.
  void run(std::size_t faults) {
    alignas(kPage) static std::uint8_t page[kPage];
    while (took_.size() < faults) {
      uffd_msg message{};
      checked(read(descriptor_, &message, sizeof message), "read of a fault");
      const auto start = Clock::now();
      const std::uint64_t address = message.arg.pagefault.address / kPage * kPage;
      const std::uint64_t number = (address - region_) / kPage;
      if (!send_all(requests_, &number, sizeof number) || !receive_all(requests_, page, kPage)) {
        throw std::runtime_error("the other process is gone");
      }
      uffdio_copy copy{};
      copy.dst = address;
      copy.src = reinterpret_cast<std::uint64_t>(page);
      copy.len = kPage;
      checked(ioctl(descriptor_, UFFDIO_COPY, &copy), "UFFDIO_COPY");
      took_.push_back(microseconds_since(start));
    }
  }

  std::vector<double>& took() { return took_; }

 private:
  int requests_;
  std::uint64_t region_;
  int descriptor_;
  std::vector<double> took_;
};

void print(const char* name, std::vector<double>& took) {
  std::sort(took.begin(), took.end());
  const auto percentile = [&took](std::size_t percent) {
    return took[std::min(took.size() * percent / 100, took.size() - 1)];
  };
  std::printf("%s %.1f %.1f %.1f\n", name, percentile(50), percentile(99), took.back());
}

/// In the middle of it, with threads that wait for what does not come.
[[noreturn]] void give_up(const std::exception& error) {
  std::fprintf(stderr, "fault-floor: %s\n", error.what());
  _exit(1);
}

bool all_are_here(std::uint8_t* region, std::size_t pages) {
  std::vector<unsigned char> here(pages);
  checked(mincore(region, pages * kPage, here.data()), "mincore");
  return std::ranges::all_of(here, [](unsigned char page) { return (page & 1) != 0; });
}

/// Reads a byte of each page, and tells how long each took.
std::vector<double> read_all(const std::uint8_t* region, const std::vector<std::size_t>& order) {
  std::vector<double> took;
  took.reserve(order.size());
  for (const std::size_t page : order) {
    const auto start = Clock::now();
    if (*static_cast<const volatile std::uint8_t*>(region + page * kPage) != 1) {
      throw std::runtime_error("a page came wrong");
    }
    took.push_back(microseconds_since(start));
  }
  return took;
}

/// The process that misses the pages. Each is read once, in random order.
void measure(int requests, int bulk, std::size_t pages, bool guest) {
  std::uint8_t* const region = memory(pages * kPage);
  checked(madvise(region, pages * kPage, MADV_NOHUGEPAGE), "madvise");
  Handler handler(requests, region, pages, guest ? 0 : UFFD_USER_MODE_ONLY);
  std::vector<std::size_t> order(pages);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::shuffle(order.begin(), order.end(), std::mt19937(1));

  std::uint8_t* const copied = memory(kBulkRegion);
  std::atomic<std::uint64_t> chunks{0};
  std::thread copier([bulk, copied, &chunks] {
    for (std::size_t at = 0; receive_all(bulk, copied + at, kBulkChunk);) {
      at = (at + kBulkChunk) % kBulkRegion;
      ++chunks;
      chunks.notify_one();
    }
  });
  // Not before the copy goes on at its usual speed.
  for (std::uint64_t seen = chunks; seen < 2 * kBulkRegion / kBulkChunk; seen = chunks) {
    chunks.wait(seen);
  }

  std::thread answering([&handler, pages, guest] {
    if (guest) vmm::wake_first();
    handler.run(pages);
  });
  std::vector<double> took;
  try {
    if (guest) read_as_a_guest({region, pages * kPage}, order);
    if (guest && !all_are_here(region, pages)) throw std::runtime_error("the guest ended early");
    took = read_all(region, order);
  } catch (const std::exception& error) {
    give_up(error);
  }
  answering.join();
  shutdown(bulk, SHUT_RDWR);
  shutdown(requests, SHUT_RDWR);
  copier.join();
  if (!guest) print("fault", took);
  print("service", handler.took());
}

}  // namespace

int main(int argc, char** argv) try {
  const bool guest = argc > 1 && argv[argc - 1] == std::string_view("guest");
  const unsigned long wanted =
      argc - (guest ? 1 : 0) > 1 ? std::strtoul(argv[1], nullptr, 10) : 5000;
  const std::size_t pages = std::clamp<std::size_t>(wanted, 1, kMostFaults);
  const int listener = checked(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  const sockaddr_in address = listen_on_loopback(listener);
  const pid_t server = checked(fork(), "fork");
  if (server == 0) {
    close(listener);
    serve(address, pages, guest);
    _exit(0);
  }
  const int requests = checked(accept(listener, nullptr, nullptr), "accept");
  const int bulk = checked(accept(listener, nullptr, nullptr), "accept");
  send_at_once(requests);
  measure(requests, bulk, pages, guest);
  checked(waitpid(server, nullptr, 0), "waitpid");
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "fault-floor: %s\n", error.what());
  return 1;
}

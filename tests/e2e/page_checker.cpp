// page-checker MIB PAGES_PER_SECOND: runs in a Linux guest and watches over it. A thread for each
// CPU writes its pages one after the other, each with a stamp that no other page and no earlier
// time has, and checks the old stamp before; and all of them watch that the clocks never step back.
// Writes how far it got into /run/page-checker, and there and on the console what it found wrong.
//
// page-checker clock: prints the wall clock and the monotonic clock, in nanoseconds.

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t kWords = 4096 / sizeof(std::uint64_t);
constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kReportInterval = kSecond / 5;
constexpr const char* kReport = "/run/page-checker";

struct alignas(4096) Page {
  std::array<std::uint64_t, kWords> words;
};

struct Clock {
  clockid_t id;
  const char* name;
  std::atomic<std::int64_t> latest{0};
};

std::array<Clock, 2> clocks = {{{CLOCK_MONOTONIC, "monotonic"}, {CLOCK_REALTIME, "wall"}}};
std::atomic<std::uint64_t> writes{0};

std::int64_t now(clockid_t id) {
  timespec time{};
  clock_gettime(id, &time);
  return time.tv_sec * kSecond + time.tv_nsec;
}

void report(const char* text) {
  // Renamed into place, so that a reader never sees half of it.
  const int file = open("/run/page-checker.new", O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
  if (file < 0 || write(file, text, std::strlen(text)) < 0 || close(file) < 0 ||
      std::rename("/run/page-checker.new", kReport) != 0) {
    std::perror(kReport);
  }
}

[[noreturn]] void fail(const char* text) {
  report(text);
  std::fputs(text, stderr);
  _exit(1);
}

void watch_clocks() {
  for (Clock& clock : clocks) {
    // Read before the clock is: whatever another CPU saw by now, this one must not see less.
    std::int64_t latest = clock.latest.load();
    const std::int64_t time = now(clock.id);
    if (time < latest) {
      std::array<char, 100> text{};
      std::snprintf(text.data(), text.size(), "error: the %s clock stepped back by %lld ns\n",
                    clock.name, static_cast<long long>(latest - time));
      fail(text.data());
    }
    while (latest < time && !clock.latest.compare_exchange_weak(latest, time)) {
    }
  }
}

std::uint64_t stamp(std::uint64_t page, std::uint64_t generation, std::uint64_t word) {
  return (page << 32 | generation) * 0x9e3779b97f4a7c15 ^ word << 48 ^ generation;
}

void check(const Page& page, std::uint64_t number, std::uint64_t generation) {
  for (std::size_t i = 0; i < kWords; ++i) {
    if (page.words[i] == stamp(number, generation, i)) continue;
    std::array<char, 150> text{};
    std::snprintf(text.data(), text.size(), "error: page %llu word %zu: 0x%llx, not 0x%llx\n",
                  static_cast<unsigned long long>(number), i,
                  static_cast<unsigned long long>(page.words[i]),
                  static_cast<unsigned long long>(stamp(number, generation, i)));
    fail(text.data());
  }
}

/// The pages of one CPU, for ever.
void work(unsigned cpu, unsigned cpus, std::size_t pages, std::int64_t pause) {
  cpu_set_t here;
  CPU_ZERO(&here);
  CPU_SET(cpu, &here);
  pthread_setaffinity_np(pthread_self(), sizeof(here), &here);
  std::vector<Page> own(pages / cpus);
  for (std::uint64_t generation = 0;; ++generation) {
    for (std::size_t i = 0; i < own.size(); ++i) {
      const std::uint64_t number = i * cpus + cpu;
      if (generation > 0) check(own[i], number, generation - 1);
      for (std::size_t word = 0; word < kWords; ++word) {
        own[i].words[word] = stamp(number, generation, word);
      }
      ++writes;
      watch_clocks();
      if (generation > 0) {
        const timespec rest{pause / kSecond, pause % kSecond};
        nanosleep(&rest, nullptr);
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "clock") == 0) {
    std::printf("wall=%lld monotonic=%lld\n", static_cast<long long>(now(CLOCK_REALTIME)),
                static_cast<long long>(now(CLOCK_MONOTONIC)));
    return 0;
  }
  const long mebibytes = argc == 3 ? std::atol(argv[1]) : 0;
  const long rate = argc == 3 ? std::atol(argv[2]) : 0;
  if (mebibytes <= 0 || rate <= 0) {
    std::fputs("usage: page-checker MIB PAGES_PER_SECOND | page-checker clock\n", stderr);
    return 64;
  }
  const unsigned cpus = std::thread::hardware_concurrency();
  for (unsigned cpu = 0; cpu < cpus; ++cpu) {
    std::thread(work, cpu, cpus, mebibytes * 256, kSecond * cpus / rate).detach();
  }
  const timespec interval{0, kReportInterval};
  for (;;) {
    std::array<char, 100> text{};
    std::snprintf(text.data(), text.size(), "cpus=%u writes=%llu\n", cpus,
                  static_cast<unsigned long long>(writes.load()));
    report(text.data());
    nanosleep(&interval, nullptr);
  }
}

#include "vmm/os/thread_time.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <ctime>

namespace vmm {

ThreadTime::ThreadTime()
    : statistics_(::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC)) {}

ThreadTime::Spent ThreadTime::spent() const {
  Spent spent;
  // That file's first number is older: as of when the scheduler last looked.
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  spent.ran = static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  std::array<char, 128> text{};
  unsigned long long waited = 0;
  if (::pread(statistics_.get(), text.data(), text.size() - 1, 0) > 0 &&
      std::sscanf(text.data(), "%*u %llu", &waited) == 1) {
    spent.waited = static_cast<double>(waited) * 1e-9;
  }
  return spent;
}

}  // namespace vmm

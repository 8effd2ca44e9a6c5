#include "devices/network/readiness.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <system_error>

namespace devices::network {
namespace {

bool ready(const Readiness& readiness) {
  pollfd watched{readiness.get(), POLLIN, 0};
  return ::poll(&watched, 1, 0) == 1;
}

TEST(Readiness, IsThatOfWhatItWatches) {
  const vmm::UniqueFd watched(::eventfd(1, EFD_CLOEXEC));
  const Readiness readiness;
  EXPECT_FALSE(ready(readiness));
  readiness.add(watched.get(), EPOLLIN);
  EXPECT_TRUE(ready(readiness));
  readiness.change(watched.get(), 0);
  EXPECT_FALSE(ready(readiness));
}

// Of two threads that use it one may find that it is at its end.
TEST(Readiness, ChangesNothingOfWhatWasRemoved) {
  const vmm::UniqueFd watched(::eventfd(1, EFD_CLOEXEC));
  const Readiness readiness;
  readiness.add(watched.get(), EPOLLIN);
  readiness.remove(watched.get());
  EXPECT_NO_THROW(readiness.change(watched.get(), EPOLLIN));
  EXPECT_FALSE(ready(readiness));
}

TEST(Readiness, SaysWhatItCannotWatch) {
  const Readiness readiness;
  try {
    readiness.change(-1, EPOLLIN);
    FAIL();
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), EBADF);
  }
}

}  // namespace
}  // namespace devices::network

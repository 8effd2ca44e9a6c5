#include "devices/virtio/poll_window.hpp"

#include <gtest/gtest.h>

namespace devices::virtio {
namespace {

using std::chrono::microseconds;

TEST(APollWindow, IsNoneUntilRequestsComeSoon) {
  PollWindow window;
  EXPECT_EQ(window.length(), microseconds(0));
  window.came_after(PollWindow::kMost + microseconds(1));
  EXPECT_EQ(window.length(), microseconds(0));
}

TEST(APollWindow, GrowsUntilItHoldsTheWait) {
  PollWindow window;
  for (const int length : {8, 16, 32, 64}) {
    window.came_after(microseconds(40));
    EXPECT_EQ(window.length(), microseconds(length));
  }
  window.came_after(microseconds(40));
  EXPECT_EQ(window.length(), microseconds(64));
  for (int i = 0; i < 3; ++i) window.came_after(PollWindow::kMost);
  EXPECT_EQ(window.length(), PollWindow::kMost);
}

TEST(APollWindow, EndsWhenARequestComesLate) {
  PollWindow window;
  window.came_after(microseconds(40));
  window.came_after(std::chrono::milliseconds(1));
  EXPECT_EQ(window.length(), microseconds(0));
  window.came_after(microseconds(40));
  window.end();
  EXPECT_EQ(window.length(), microseconds(0));
}

}  // namespace
}  // namespace devices::virtio

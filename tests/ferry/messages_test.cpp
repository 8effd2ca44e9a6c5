#include "ferry/messages.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <regex>
#include <string>

#include "vmm/os/unique_fd.hpp"

namespace ferry {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) std::abort();
    reader = vmm::UniqueFd(ends[0]);
    writer = vmm::UniqueFd(ends[1]);
  }
  void close_reader() { reader = {}; }
  /// What is in it, up to some size.
  [[nodiscard]] std::string take() const {
    std::array<char, 4096> buffer{};
    const ssize_t count = ::read(reader.get(), buffer.data(), buffer.size());
    return {buffer.data(), static_cast<std::size_t>(count < 0 ? 0 : count)};
  }
  vmm::UniqueFd reader, writer;
};

/// The sum of what such lines say.
std::uint64_t told_dropped(const std::string& text) {
  static const std::regex notice("ferry: (\\d+) messages before this one could not be written\n");
  std::uint64_t sum = 0;
  for (std::sregex_iterator at(text.begin(), text.end(), notice), end; at != end; ++at) {
    sum += std::stoull((*at)[1]);
  }
  return sum;
}

TEST(Messages, AreLines) {
  const Pipe pipe;
  Messages messages(pipe.writer.get());
  messages.add("one");
  messages.add("two");
  EXPECT_EQ(pipe.take(), "one\ntwo\n");
  EXPECT_EQ(messages.dropped(), 0U);
}

TEST(Messages, BeginANewLineWhereOthersHaveLeftOneOpen) {
  const Pipe pipe;
  Messages messages(pipe.writer.get());
  messages.others_line_is_open(true);
  messages.add("one");
  messages.add("two");
  EXPECT_EQ(pipe.take(), "\none\ntwo\n");
}

TEST(Messages, WithoutAReaderAreCountedOnly) {
  std::signal(SIGPIPE, SIG_IGN);
  Pipe pipe;
  Messages messages(pipe.writer.get());
  pipe.close_reader();
  messages.add("one");
  messages.write_in_background();
  messages.add("two");
  messages.finish(seconds(10));
  EXPECT_EQ(messages.dropped(), 2U);
}

TEST(Messages, ToAFullDiskAreCountedOnly) {
  const vmm::UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_GE(full.get(), 0);
  Messages messages(full.get());
  messages.add("one");
  EXPECT_EQ(messages.dropped(), 1U);
}

TEST(Messages, InTheBackgroundNobodyWaitsForAReaderThatStalls) {
  const Pipe pipe;
  Messages messages(pipe.writer.get());
  messages.write_in_background();
  const std::string line(4095, 'x');
  for (int i = 0; i < 1000; ++i) messages.add(line);  // 4 MB: hangs if it waits
  EXPECT_GT(messages.dropped(), 0U);
  messages.finish(milliseconds(1));
  EXPECT_EQ(::fcntl(pipe.writer.get(), F_GETFL) & O_NONBLOCK, 0);

  // Once somebody reads again, all that was not dropped comes, and how much was.
  const std::uint64_t dropped = messages.dropped();
  std::string text;
  while (text.size() < (1000 - dropped) * 4096) text += pipe.take();
  messages.add("more");  // there is room: the queue has less than fits the pipe
  while (text.find("more\n") == std::string::npos) text += pipe.take();
  EXPECT_EQ(told_dropped(text), dropped);
  EXPECT_EQ(static_cast<std::uint64_t>(std::ranges::count(text, 'x')), (1000 - dropped) * 4095);
}

}  // namespace
}  // namespace ferry

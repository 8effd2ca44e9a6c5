#include "ferry/client_output.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <exception>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>

#include "vmm/text/json_text.hpp"

namespace ferry {

namespace {

/// Waits for room on a descriptor that somebody else has made non-blocking.
void wait_for_room(int fd) {
  pollfd room{fd, POLLOUT, 0};
  ::poll(&room, 1, -1);
}

}  // namespace

void print_out(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(STDOUT_FILENO, text.data(), text.size());
    if (count >= 0) {
      text.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno == EAGAIN) {
      wait_for_room(STDOUT_FILENO);
    } else if (errno != EINTR) {
      throw std::system_error(errno, std::generic_category(), "cannot write to standard output");
    }
  }
}

void print_error_json(std::string_view why) noexcept {
  try {
    print_out(vmm::json_text({{"error", why}}) + '\n');
  } catch (const std::exception&) {
    // The status and the message on standard error tell as well.
  }
}

void show_progress(std::string_view text) noexcept {
  pollfd room{STDERR_FILENO, POLLOUT, 0};
  if (::poll(&room, 1, 0) != 1 || (room.revents & POLLOUT) == 0) return;
  // A pipe with room has room for so much.
  const std::size_t size = std::min<std::size_t>(text.size(), PIPE_BUF);
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), size);
}

}  // namespace ferry

#pragma once

#include <functional>
#include <vector>

#include "placement/fleet.hpp"

namespace study {

/// What one move sends, and how long it takes beside that.
struct Transfer {
  placement::HostIndex from = 0;
  placement::HostIndex to = 0;
  double bytes = 0;  ///< over the links; none when it takes a fixed time
  double seconds = 0;
};

/// The hosts and their links, by SimGrid, and the virtual time.
class Network {
 public:
  /// Each host is joined to one switch by its link, which carries as much each way.
  explicit Network(const std::vector<placement::Host>& hosts);

  /// Runs `body` in virtual time, until it returns.
  void run(std::function<void()> body);

  // From within:

  [[nodiscard]] double now() const;
  void sleep_until(double when);
  /// All at once; `ended` is called as each ends, and the call returns after the last.
  void transfer(const std::vector<Transfer>& transfers,
                const std::function<void(std::size_t)>& ended);
};

}  // namespace study

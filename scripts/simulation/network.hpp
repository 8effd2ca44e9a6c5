#pragma once

#include <functional>
#include <memory>
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

/// What the first hosts share on the way to the switch, both ways together. What goes from one of
/// them to another takes it too.
struct Uplink {
  std::size_t hosts = 0;
  double bytes_per_second = 0;
};

/// A time in which the uplink carries nothing.
struct Cut {
  double at = 0;
  double seconds = 0;   ///< none when 0
  double patience = 0;  ///< so long after its begin a move that cannot go on ends
};

/// The hosts and their links, by SimGrid, and the virtual time.
class Network {
 public:
  using Ended = std::function<void(std::size_t)>;
  /// Whether a move, of which this share is sent, cannot go on.
  using Breaks = std::function<bool(std::size_t, double)>;

  /// Before what wants SimGrid's engine there before the hosts.
  static void prepare();
  /// Each host is joined to one switch by its link, which carries as much each way.
  explicit Network(const std::vector<placement::Host>& hosts, const Uplink& uplink = {},
                   const Cut& cut = {});
  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  /// Runs `body` in virtual time, until it returns.
  void run(std::function<void()> body);

  // From within:

  [[nodiscard]] double now() const;
  void sleep_until(double when);
  /// All at once; `ended` is called as each ends, and the call returns after the last. Of those
  /// that wait for the uplink `breaks` is asked once; one that does has no end.
  void transfer(const std::vector<Transfer>& transfers, const Ended& ended,
                const Breaks& breaks = {});

 private:
  struct UnderWay;

  void cut_uplink();

  const Cut cut_;
  std::unique_ptr<UnderWay> under_way_;
};

}  // namespace study

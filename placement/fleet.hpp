#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

/// Which VM should be on which host, and how they get there: values and pure decisions. What is
/// planned is what scripts/study simulates.
namespace placement {

using HostIndex = std::size_t;
using VmIndex = std::size_t;

struct Host {
  std::string name;
  std::uint64_t memory = 0;  ///< bytes
  double cpu = 0;            ///< in a unit that all hosts and VMs of a fleet share
  double core = 0;           ///< of that, what one VM gets at most
  double link = 0;           ///< bytes per second, each way
  /// At even steps of use, from idle to busy: two at least, or none if nobody knows.
  std::vector<double> watts;
};

struct Vm {
  std::string name;
  HostIndex host = 0;              ///< where it is
  std::uint64_t memory = 0;        ///< bytes that it needs of a host
  std::uint64_t used = 0;          ///< bytes that it has ever touched
  double cpu_size = 1;             ///< in the unit of the hosts
  std::vector<double> cpu;         ///< per cent of that, the latest last; may be empty
  double dirty_pages_per_s = 0;    ///< that it writes
  std::vector<HostIndex> kept_at;  ///< hosts that have an image of it
  std::string api_socket;          ///< of its process; empty if nobody knows
  bool pinned = false;             ///< stays where it is
};

/// A process that waits for one VM.
struct Receiver {
  HostIndex host = 0;
  std::string listen;
  std::string api_socket;
};

struct Fleet {
  std::vector<Host> hosts;
  std::vector<Vm> vms;
  std::vector<Receiver> receivers;
};

/// Of a host that is on; 0 if nobody knows.
[[nodiscard]] double watts(const Host& host, double cpu);

/// What a VM is expected to use, in the unit of the hosts.
struct Demand {
  double latest = 0;
  double mean = 0;      ///< of the last samples
  double variance = 0;  ///< of the same
  /// What a host must have for it.
  [[nodiscard]] double needs() const { return latest > mean ? latest : mean; }
};

/// Of a history, those that count.
inline constexpr std::size_t kRecentSamples = 12;

[[nodiscard]] Demand demand_of(const Vm& vm);

}  // namespace placement

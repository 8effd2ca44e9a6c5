#pragma once

#include <cstdint>

#include "guest/cpu/optional.hpp"
#include "guest/cpu/processor.hpp"
#include "guest/io/command_line.hpp"
#include "guest/workload/balloon.hpp"
#include "guest/workload/disk.hpp"
#include "guest/workload/disk_reader.hpp"
#include "guest/workload/entropy.hpp"
#include "guest/workload/input.hpp"
#include "guest/workload/net.hpp"
#include "guest/workload/net_meter.hpp"
#include "guest/workload/page_set.hpp"

namespace guest {

/// What vCPU 0 alone has to do with.
struct Devices {
  Devices(const Options& options, Processor& cpu, MemoryMap& memory);

  Input input;
  Optional<Disk> disk;
  Optional<DiskReader> disk_reader;
  Optional<Entropy> entropy;
  Optional<Net> net;
  Optional<NetMeter> net_meter;
  Optional<Balloon> balloon;
};

/// Prints a line for each vCPU that came up since the last call; says whether there was one.
/// `greeted` counts those already announced.
bool greet_arrivals(std::uint32_t& greeted);

/// One vCPU's life: each workload that `options` asks for does a small step in turn, and the vCPU
/// sleeps when none has anything to do. `sharers` vCPUs divide the pages (0: there are none).
/// vCPU 0, which alone prints, has `devices`.
[[noreturn]] void run_loop(Processor& cpu, const Options& options, PageSet& pages,
                           std::uint32_t sharers, Devices* devices, std::uint32_t greeted);

}  // namespace guest

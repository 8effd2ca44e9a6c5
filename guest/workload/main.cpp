#include "guest/cpu/atomic.hpp"
#include "guest/cpu/freestanding.hpp"
#include "guest/cpu/lapic.hpp"
#include "guest/cpu/memory_map.hpp"
#include "guest/cpu/processor.hpp"
#include "guest/cpu/service.hpp"
#include "guest/cpu/time.hpp"
#include "guest/io/command_line.hpp"
#include "guest/io/console.hpp"
#include "guest/workload/loop.hpp"
#include "guest/workload/page_set.hpp"

namespace guest {
namespace {

constexpr std::size_t kCommandLineCapacity = 2048;
constinit char command_line[kCommandLineCapacity] = {};

constinit Options options;
constinit MemoryMap memory_map;
constinit PageSet pages;

/// How many vCPUs share the pages; 0 until that is settled.
constinit Atomic<std::uint32_t> sharers;

/// Copies what the VMM left in RAM, all of which is free for use afterwards.
void read_start_info(const StartInfo& info) {
  if (info.magic != StartInfo::kExpectedMagic) {
    fail(ExitCode::bad_options, Line() << "options no PVH start info");
  }
  memory_map.read(info);
  const auto* from = reinterpret_cast<const char*>(info.command_line);
  if (from == nullptr) return;
  for (std::size_t i = 0; i + 1 < kCommandLineCapacity && from[i] != '\0'; ++i) {
    command_line[i] = from[i];
  }
}

void say_hello() {
  Line line;
  line << " hello mem=" << ((memory_map.total_bytes() + (1 << 19)) >> 20) << "MiB tsc=" << tsc_khz()
       << "kHz";
  print_hello(line);
}

/// Nobody tells how many vCPUs there are: they are all up when none has come for a while.
void await_others(std::uint32_t& greeted) {
  const std::uint64_t quiet = milliseconds(20);
  std::uint64_t last_arrival = read_tsc();
  while (read_tsc() - last_arrival < quiet) {
    if (greet_arrivals(greeted)) last_arrival = read_tsc();
    relax();
  }
}

void fill(std::uint64_t began) {
  pages.fill_chunks();
  while (!pages.filled()) relax();
  Line line;
  line << "fill done pages=" << pages.pages() << " zero=" << pages.count(PageKind::zero)
       << " random=" << pages.count(PageKind::random) << " text=" << pages.count(PageKind::text)
       << " ms=" << to_microseconds(read_tsc() - began) / 1000;
  print(line);
}

[[noreturn]] void run_first(Processor& cpu, const StartInfo& info) {
  console_first_byte();
  time_start();
  read_start_info(info);
  say_hello();
  options = parse_command_line(command_line);
  memory_map.map();
  lapic_enable();
  Devices devices(options, cpu, memory_map);
  if (options.fill_mib != 0) pages.place(options, memory_map);

  const std::uint64_t began = read_tsc();
  std::uint32_t greeted = 1;
  start_other_processors();
  if (options.fill_mib != 0) {
    fill(began);
    await_others(greeted);
    sharers.store(processors_up());
  }
  if (!options.any_workload()) print(Line() << "ready");
  run_loop(cpu, options, pages, sharers.load(), &devices, greeted);
}

[[noreturn]] void run_other(Processor& cpu) {
  lapic_enable();
  if (options.fill_mib != 0) {
    pages.fill_chunks();
    while (sharers.load() == 0) relax();
  }
  run_loop(cpu, options, pages, sharers.load(), nullptr, 0);
}

}  // namespace
}  // namespace guest

/// Reached from boot/start.S on every vCPU, at CPL 3 on its own stack.
extern "C" [[noreturn]] void cpu_main(std::uint32_t id, const guest::StartInfo* info) {
  guest::Processor& cpu = guest::processor(id);
  guest::announce_processor(id);
  if (id == 0) guest::run_first(cpu, *info);
  guest::run_other(cpu);
}

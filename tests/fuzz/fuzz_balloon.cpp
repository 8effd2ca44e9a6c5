/// Feeds the balloon with a driver that puts what it likes into its queues and its configuration.
/// AddressSanitizer sees what is reached outside of the guest's memory.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "devices/virtio/balloon.hpp"
#include "tests/devices/fake_host.hpp"
#include "tests/fuzz/one_queue.hpp"
#include "vmm/memory/page_set.hpp"

namespace {

using devices::virtio::Balloon;

constexpr unsigned kQueues = 4;

/// What is named as free lies in RAM.
struct Listener final : vmm::FreePageListener {
  explicit Listener(std::uint64_t count) : pages(count) {}
  void begins() override {}
  void free(std::span<const vmm::PageRange> free) override {
    for (const vmm::PageRange& range : free) pages.set(range);
  }
  void told_all() override {}

  vmm::PageSet pages;
};

/// What is taken is saved again as it was.
void load(Balloon& balloon, std::span<const std::byte> bytes) {
  try {
    vmm::ByteReader<std::invalid_argument> from(bytes, "a balloon");
    balloon.load(from);
    std::vector<std::byte> saved;
    vmm::ByteWriter out(saved);
    balloon.save(out);
    if (!std::ranges::equal(saved, bytes.first(saved.size()))) std::abort();
  } catch (const std::invalid_argument&) {
    // Refused, with a reason.
  }
}

}  // namespace

/// The input: which queue, what is agreed on and where the driver configures; then what is in the
/// guest's memory.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static devices::FakeHost host;
  if (size < 3) return 0;
  const std::uint8_t choices = data[0];
  Balloon balloon({.hints = true, .reporting = true});
  balloon.attach(host, [] {});
  balloon.begin(((choices & 4) != 0 ? Balloon::kReporting : 0) |
                ((choices & 8) != 0 ? Balloon::kPagePoison : 0) |
                ((choices & 32) != 0 ? Balloon::kHints : 0));
  const auto input = std::as_bytes(std::span(data + 3, size - 3));
  load(balloon, input);
  balloon.write_config(data[1], input.first(std::min<std::size_t>(input.size(), data[2])));
  if (balloon.config().size() != 16) std::abort();
  const auto filled = host.ram.at({0}, devices::virtio::kFilled);
  std::ranges::fill(filled, std::byte{0});
  std::ranges::copy(input.first(std::min(input.size(), filled.size())), filled.begin());
  Listener listener(host.ram.page_count());
  balloon.ask_for_free_pages(listener);
  devices::virtio::serve_one(balloon, choices % kQueues, host.ram, (choices & 16) != 0);
  balloon.end_free_pages();
  return 0;
}

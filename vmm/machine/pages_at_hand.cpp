#include "vmm/machine/pages_at_hand.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>

namespace vmm {

namespace {

// Intel SDM volume 3, sections 2.5 and 4.5.
constexpr std::uint64_t kPaging = std::uint64_t{1} << 31;      // CR0.PG
constexpr std::uint64_t kFiveLevels = std::uint64_t{1} << 12;  // CR4.LA57
constexpr std::uint64_t kLongMode = std::uint64_t{1} << 10;    // EFER.LMA
constexpr std::uint64_t kPresent = 1;
constexpr std::uint64_t kMapsLargePage = std::uint64_t{1} << 7;
constexpr std::uint64_t kFrame = 0x000f'ffff'ffff'f000;

/// A page comes with the aligned group of so many around it.
constexpr std::uint64_t kGroup = 4;

class Collector {
 public:
  Collector(GuestMemory& memory, std::size_t most) : memory_(memory), most_(most) {}

  /// The page that `address` is in, and its neighbours.
  void add(GuestAddress address) {
    const auto page = page_of(address);
    if (!page) return;
    const PageIndex first = *page / kGroup * kGroup;
    for (PageIndex near = first; near < first + kGroup && near < memory_.page_count(); ++near) {
      if (pages_.size() < most_ && !std::ranges::count(pages_, near)) pages_.push_back(near);
    }
  }

  /// What `linear` leads to, and the page tables on the way.
  void follow(const kvm_sregs& sregs, std::uint64_t linear) {
    if ((sregs.cr0 & kPaging) == 0) return add(GuestAddress{linear});
    if ((sregs.efer & kLongMode) == 0) return add(GuestAddress{sregs.cr3 & kFrame});
    std::uint64_t table = sregs.cr3 & kFrame;
    for (int level = (sregs.cr4 & kFiveLevels) != 0 ? 5 : 4; level > 0; --level) {
      const int shift = 12 + 9 * (level - 1);
      const GuestAddress entry{table + (linear >> shift & 511) * 8};
      add(entry);
      std::uint64_t value = 0;
      if (!page_of(entry)) return;
      memory_.read(entry, std::as_writable_bytes(std::span(&value, 1)));
      if ((value & kPresent) == 0) return;
      const bool last = level == 1 || (level <= 3 && (value & kMapsLargePage) != 0);
      table = value & kFrame;
      if (!last) continue;
      const std::uint64_t within = (std::uint64_t{1} << shift) - 1;
      return add(GuestAddress{(table & ~within) | (linear & within)});
    }
  }

  [[nodiscard]] std::vector<PageIndex> take() { return std::move(pages_); }

 private:
  [[nodiscard]] std::optional<PageIndex> page_of(GuestAddress address) const {
    for (const RamSlot& slot : memory_.slots()) {
      if (address.value < slot.base.value || address.value - slot.base.value >= slot.size) continue;
      return (slot.ram_offset + address.value - slot.base.value) / kPageSize;
    }
    return std::nullopt;
  }

  GuestMemory& memory_;
  std::size_t most_;
  std::vector<PageIndex> pages_;
};

}  // namespace

std::vector<PageIndex> pages_at_hand(Machine& machine, std::size_t most) {
  Collector collector(machine.memory(), most);
  for (std::uint32_t i = 0; i < machine.config().cpus; ++i) {
    const kvm_regs regs = machine.vcpu(i).regs();
    const kvm_sregs sregs = machine.vcpu(i).sregs();
    const std::array<std::uint64_t, 5> addresses = {sregs.cs.base + regs.rip,
                                                    sregs.ss.base + regs.rsp, sregs.idt.base,
                                                    sregs.gdt.base, sregs.tr.base};
    for (const std::uint64_t linear : addresses) collector.follow(sregs, linear);
  }
  return collector.take();
}

}  // namespace vmm

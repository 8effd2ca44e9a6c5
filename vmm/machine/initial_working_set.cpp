#include "vmm/machine/initial_working_set.hpp"

#include <algorithm>
#include <array>
#include <memory>
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

/// A page comes with the aligned group of so many around it, an instruction with more: code calls
/// code near it.
constexpr std::uint64_t kGroup = 4;
constexpr std::uint64_t kCodeGroup = 16;

/// So much of the stack is looked at, as far as its page goes.
constexpr std::uint64_t kStackBytes = 1024;

class Collector {
 public:
  Collector(GuestMemory& memory, std::size_t most) : memory_(memory), most_(most) {}

  /// The page that `address` is in, and its neighbours.
  void add(GuestAddress address, std::uint64_t group = kGroup) {
    const auto page = page_of(address);
    if (!page) return;
    const PageIndex first = *page / group * group;
    for (PageIndex near = first; near < first + group && near < memory_.page_count(); ++near) {
      add_page(near, most_);
    }
  }

  /// As long as there are fewer than so many.
  void add_page(PageIndex page, std::size_t most) {
    if (pages_.size() < most && !std::ranges::count(pages_, page)) pages_.push_back(page);
  }

  /// What devices name: so many at the most.
  void add_of_devices(std::span<const std::shared_ptr<Device>> devices, std::size_t most) {
    most = std::min(most_, pages_.size() + most);
    for (const auto& device : devices) {
      if (pages_.size() == most) return;
      for (const PageIndex page : device->working_set()) add_page(page, most);
    }
  }

  /// What `linear` leads to, and the page tables on the way. Where that is, if anywhere.
  std::optional<GuestAddress> follow(const kvm_sregs& sregs, std::uint64_t linear,
                                     std::uint64_t group = kGroup) {
    if ((sregs.cr0 & kPaging) == 0) return found(GuestAddress{linear}, group);
    if ((sregs.efer & kLongMode) == 0) {
      add(GuestAddress{sregs.cr3 & kFrame});
      return std::nullopt;
    }
    std::uint64_t table = sregs.cr3 & kFrame;
    for (int level = (sregs.cr4 & kFiveLevels) != 0 ? 5 : 4; level > 0; --level) {
      const int shift = 12 + 9 * (level - 1);
      const GuestAddress entry{table + (linear >> shift & 511) * 8};
      add(entry);
      std::uint64_t value = 0;
      if (!page_of(entry)) return std::nullopt;
      memory_.read(entry, std::as_writable_bytes(std::span(&value, 1)));
      if ((value & kPresent) == 0) return std::nullopt;
      const bool last = level == 1 || (level <= 3 && (value & kMapsLargePage) != 0);
      table = value & kFrame;
      if (!last) continue;
      const std::uint64_t within = (std::uint64_t{1} << shift) - 1;
      return found(GuestAddress{(table & ~within) | (linear & within)}, group);
    }
    return std::nullopt;
  }

  /// What this word leads to, should it be a pointer.
  void guess(const kvm_sregs& sregs, std::uint64_t word) {
    if (word >= kPageSize && pages_.size() < most_) follow(sregs, word);
  }

  /// What the words of the stack lead to: where its functions return to, and what they work on.
  void guess_from_stack(const kvm_sregs& sregs, std::uint64_t stack) {
    const auto top = follow(sregs, stack / sizeof(std::uint64_t) * sizeof(std::uint64_t));
    if (!top) return;
    const std::uint64_t rest = kPageSize - top->value % kPageSize;
    std::array<std::uint64_t, kStackBytes / sizeof(std::uint64_t)> words{};
    const auto read = std::span(words).first(std::min(rest, kStackBytes) / sizeof(std::uint64_t));
    memory_.read(*top, std::as_writable_bytes(read));
    for (const std::uint64_t word : read) guess(sregs, word);
  }

  [[nodiscard]] std::vector<PageIndex> take() { return std::move(pages_); }

 private:
  std::optional<GuestAddress> found(GuestAddress address, std::uint64_t group) {
    add(address, group);
    return page_of(address) ? std::optional(address) : std::nullopt;
  }

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

std::vector<PageIndex> initial_working_set(Machine& machine, std::size_t most) {
  Collector collector(machine.memory(), most);
  std::vector<std::pair<kvm_regs, kvm_sregs>> vcpus;
  for (std::uint32_t i = 0; i < machine.config().cpus; ++i) {
    vcpus.emplace_back(machine.vcpu(i).regs(), machine.vcpu(i).sregs());
  }
  // What is certain comes first, for all of them.
  for (const auto& [regs, sregs] : vcpus) {
    collector.follow(sregs, sregs.cs.base + regs.rip, kCodeGroup);
    for (const std::uint64_t linear :
         {sregs.ss.base + regs.rsp, sregs.idt.base, sregs.gdt.base, sregs.tr.base}) {
      collector.follow(sregs, linear);
    }
    collector.guess(sregs, sregs.gs.base);
  }
  collector.add_of_devices(machine.devices(), most / 2);
  for (const auto& [regs, sregs] : vcpus) {
    for (const std::uint64_t word :
         {regs.rax, regs.rbx, regs.rcx, regs.rdx, regs.rsi, regs.rdi, regs.rbp, regs.r8, regs.r9,
          regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15}) {
      collector.guess(sregs, word);
    }
    collector.guess_from_stack(sregs, sregs.ss.base + regs.rsp);
  }
  return collector.take();
}

}  // namespace vmm

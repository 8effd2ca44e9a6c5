#include "devices/pci/pci_bus.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "devices/pci/config_space.hpp"

namespace devices {

namespace {

class HostBridge final : public PciFunction {
 public:
  void read_config(std::uint64_t offset, std::span<std::byte> data) override {
    space_.read(offset, data);
  }
  void write_config(std::uint64_t /*offset*/, std::span<const std::byte> /*data*/) override {}

 private:
  const ConfigSpace space_{{.vendor = 0x1b36, .device = 0x0008, .class_code = 0x060000}};
};

}  // namespace

PciBus::PciBus() { attach(0, std::make_shared<HostBridge>()); }

std::size_t PciBus::free_slot() const {
  const auto free = std::ranges::find(functions_, nullptr);
  if (free == functions_.end()) throw std::invalid_argument("more than 31 PCI devices");
  return static_cast<std::size_t>(free - functions_.begin());
}

vmm::GuestAddress PciBus::bar_of(std::size_t slot) { return {kWindow.value + slot * kBarBytes}; }

void PciBus::attach(std::size_t slot, std::shared_ptr<PciFunction> function) {
  functions_.at(slot) = std::move(function);
}

}  // namespace devices

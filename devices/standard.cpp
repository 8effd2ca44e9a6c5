#include "devices/standard.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "devices/acpi_pm.hpp"
#include "devices/cmos_clock.hpp"
#include "devices/exit_port.hpp"
#include "devices/i8042.hpp"
#include "devices/networks.hpp"
#include "devices/panic_port.hpp"
#include "devices/pci/pci_bus.hpp"
#include "devices/pci_config.hpp"
#include "devices/serial_registers.hpp"
#include "devices/storage/disk_identity.hpp"
#include "devices/storage/file_storage.hpp"
#include "devices/storage/nbd_storage.hpp"
#include "devices/virtio/balloon.hpp"
#include "devices/virtio/block.hpp"
#include "devices/virtio/entropy.hpp"
#include "devices/virtio/net.hpp"
#include "devices/virtio/virtio_pci.hpp"

namespace devices {

namespace {

constexpr std::uint16_t kSerialBase = 0x3f8;
constexpr std::uint32_t kSerialIrq = 4;
constexpr std::uint16_t kExitPort = 0xf4;
constexpr std::uint16_t kI8042Base = 0x60;
constexpr std::uint16_t kI8042Ports = 5;
constexpr std::uint16_t kPanicPort = 0x505;
constexpr std::uint16_t kAcpiPmBase = 0x600;
constexpr std::uint8_t kAcpiSci = 9;
constexpr const char* kEntropyId = "rng0";
constexpr const char* kBalloonId = "balloon0";

/// A device and where it answers.
struct OnPorts {
  std::shared_ptr<vmm::Device> device;
  std::uint16_t base;
  std::uint16_t length;
};

struct StandardDevices {
  std::shared_ptr<Serial> serial;
  std::shared_ptr<PciBus> bus;
  std::vector<OnPorts> all;  ///< the serial port too
};

StandardDevices make_standard_devices(vmm::DeviceHost& host) {
  auto serial = std::make_shared<Serial>("serial0", host, kSerialIrq);
  auto bus = std::make_shared<PciBus>();
  return {serial,
          bus,
          {{serial, kSerialBase, kSerialRegisters},
           {std::make_shared<ExitPort>(host), kExitPort, 1},
           {std::make_shared<I8042>(host), kI8042Base, kI8042Ports},
           {std::make_shared<CmosClock>(), CmosClock::kBase, CmosClock::kPorts},
           {std::make_shared<PciConfig>(host, bus), PciConfig::kBase, PciConfig::kPorts},
           {std::make_shared<PanicPort>(host), kPanicPort, 1},
           {std::make_shared<AcpiPm>(host), kAcpiPmBase, AcpiPm::kPorts}}};
}

std::shared_ptr<storage::FileStorage> open_file(const DiskChoice& disk) {
  return std::make_shared<storage::FileStorage>(
      storage::FileOptions{.path = disk.path, .read_only = disk.read_only, .id = disk.id});
}

std::shared_ptr<storage::NbdStorage> open_nbd(const DiskChoice& disk,
                                              std::function<void(std::string)> report) {
  return std::make_shared<storage::NbdStorage>(
      storage::NbdOptions{.uri = disk.path.string().substr(kNbdPrefix.size()),
                          .read_only = disk.read_only,
                          .id = disk.id,
                          .report = std::move(report)});
}

bool is_over_nbd(const DiskChoice& disk) { return disk.path.string().starts_with(kNbdPrefix); }

/// As the guest has it: std::invalid_argument when it is another one.
template <typename Open, typename Identity>
std::shared_ptr<storage::Storage> open_same(Open open, DiskChoice disk, const Identity& identity) {
  disk.read_only = identity.read_only;
  auto storage = open(disk);
  storage->check_same(identity);
  return storage;
}

/// The guest's disk on this host. A peer names none: whoever runs the receiver does.
PciDevice disk_for(const vmm::DeviceVersion& wanted, const HostParts& parts) {
  const bool over_nbd = storage::is_nbd_identity(wanted.host_part);
  const auto given = std::ranges::find(parts.disks, wanted.id, &DiskChoice::id);
  if (given == parts.disks.end()) {
    throw std::invalid_argument(
        fmt::format("the guest has a disk {0}, and this receiver was not told where it is: 'ferry "
                    "receive --disk id={0},{1}'",
                    wanted.id, over_nbd ? "nbd:URI" : "PATH"));
  }
  if (is_over_nbd(*given) != over_nbd) {
    throw std::invalid_argument(fmt::format(
        "the guest's disk {} is {}, and here it is {}: both hosts must see the same disk",
        wanted.id, over_nbd ? "over NBD" : "a file or block device",
        over_nbd ? "a file or block device" : "over NBD"));
  }
  const auto open = [&parts](const DiskChoice& disk) { return open_nbd(disk, parts.report); };
  auto storage = over_nbd ? open_same(open, *given, storage::nbd_identity(wanted.host_part))
                          : open_same(open_file, *given, storage::disk_identity(wanted.host_part));
  return {wanted.id, std::make_shared<virtio::Block>(std::move(storage), parts.report)};
}

bool is_disk(const vmm::DeviceVersion& device) {
  return device.host_part.starts_with("disk ") || storage::is_nbd_identity(device.host_part);
}

/// For devices that are made to be asked for their names alone.
class NoMachine final : public vmm::DeviceHost {
 public:
  vmm::IrqLine irq_line(std::uint32_t /*gsi*/) override { return {}; }
  vmm::GuestMemory& memory() override { throw std::logic_error("there is no machine"); }
  [[nodiscard]] bool lacks_pages() const override { return false; }
  void signal_message(std::uint64_t /*address*/, std::uint32_t /*data*/) override {}
  void note_writes(vmm::GuestAddress /*address*/, int /*eventfd*/) override {}
  void end(vmm::GuestEnd /*end*/) override {}
  void reset() override {}
};

}  // namespace

PciDevice entropy_device() { return {kEntropyId, std::make_shared<virtio::Entropy>()}; }

PciDevice balloon_device(virtio::Balloon::Offers offers) {
  return {kBalloonId, std::make_shared<virtio::Balloon>(offers)};
}

std::shared_ptr<virtio::Balloon> balloon_of(const vmm::Machine& machine) {
  const auto function = std::dynamic_pointer_cast<virtio::VirtioPci>(machine.device(kBalloonId));
  return function ? std::dynamic_pointer_cast<virtio::Balloon>(function->device()) : nullptr;
}

std::shared_ptr<Serial> attach_devices(vmm::Machine& machine, const std::vector<PciDevice>& more) {
  const StandardDevices made = make_standard_devices(machine);
  for (const OnPorts& at : made.all) machine.attach_ports(at.device, at.base, at.length);
  for (const PciDevice& wanted : more) {
    const std::size_t slot = made.bus->free_slot();
    const vmm::GuestAddress bar = PciBus::bar_of(slot);
    auto function = std::make_shared<virtio::VirtioPci>(wanted.id, wanted.device, machine, bar);
    machine.attach_mmio(function, bar, PciBus::kBarBytes);
    made.bus->attach(slot, std::move(function));
  }
  return made.serial;
}

PciDevice disk_device(const DiskChoice& disk, std::function<void(std::string)> report) {
  std::shared_ptr<storage::Storage> storage;
  if (is_over_nbd(disk)) {
    storage = open_nbd(disk, report);
  } else {
    storage = open_file(disk);
  }
  return {disk.id, std::make_shared<virtio::Block>(std::move(storage), std::move(report))};
}

std::vector<PciDevice> pci_devices_for(const std::vector<vmm::DeviceVersion>& wanted,
                                       const HostParts& parts) {
  std::vector<PciDevice> more;
  for (const vmm::DeviceVersion& device : wanted) {
    parts.opens(device.id);
    if (is_disk(device)) {
      more.push_back(disk_for(device, parts));
    } else if (virtio::is_net_identity(device.host_part)) {
      more.push_back(network_device_for(device, parts));
    } else if (const auto offers = virtio::Balloon::offers_of(device.host_part)) {
      more.push_back(balloon_device(*offers));
    } else if (device.id == kEntropyId) {
      more.push_back(entropy_device());
    }
  }
  NoMachine host;
  std::vector<vmm::DeviceVersion> here;
  for (const OnPorts& at : make_standard_devices(host).all) {
    here.push_back({std::string(at.device->id()), at.device->version()});
  }
  for (const PciDevice& device : more) here.push_back({device.id, virtio::VirtioPci::kVersion});
  if (const auto unfit = vmm::first_unfit_device(wanted, here)) throw std::invalid_argument(*unfit);
  return more;
}

vmm::AcpiPlatform platform(bool pci) {
  return {.pm_event_ports = kAcpiPmBase + AcpiPm::kEventOffset,
          .pm_control_ports = kAcpiPmBase + AcpiPm::kControlOffset,
          .soft_off = AcpiPm::kSoftOff,
          .sci = kAcpiSci,
          .reset_port = kAcpiPmBase + AcpiPm::kResetOffset,
          .reset_value = AcpiPm::kReset,
          .century = CmosClock::kCentury,
          .pci_window =
              pci ? std::optional(vmm::AcpiWindow{PciBus::kWindow.value, PciBus::kWindowBytes})
                  : std::nullopt,
          .devices = {{"COM1", "PNP0501", kSerialBase, kSerialRegisters, kSerialIrq},
                      {"PEVT", "QEMU0001", kPanicPort, 1, 0}}};
}

}  // namespace devices

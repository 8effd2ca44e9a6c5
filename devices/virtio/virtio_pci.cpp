#include "devices/virtio/virtio_pci.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "devices/pci/pci_bus.hpp"
#include "vmm/bytes/byte_reader.hpp"
#include "vmm/bytes/byte_writer.hpp"

namespace devices::virtio {

namespace {

constexpr std::uint16_t kVendor = 0x1af4;
constexpr std::uint16_t kFirstDevice = 0x1040;  // and the type
constexpr std::uint8_t kModern = 1;             // the revision

constexpr std::uint32_t kPartBytes = 0x1000;
enum Part : std::uint32_t {
  common_part,
  isr_part,
  device_part,
  notify_part,
  table_part,
  pending_part,
};
constexpr std::uint32_t kNotifyStep = 4;

constexpr std::uint32_t at(Part part) { return part * kPartBytes; }

// Of a vendor's capability: virtio 1.2, section 4.1.4.
constexpr std::uint8_t kVendorCapability = 0x09;
constexpr std::uint8_t kCommonType = 1;
constexpr std::uint8_t kNotifyType = 2;
constexpr std::uint8_t kIsrType = 3;
constexpr std::uint8_t kDeviceType = 4;
constexpr std::uint8_t kWindowType = 5;
// Of the capability that is a window on the BAR, from its begin.
constexpr std::uint64_t kWindowBar = 4;
constexpr std::uint64_t kWindowOffset = 8;
constexpr std::uint64_t kWindowLength = 12;
constexpr std::uint64_t kWindowData = 16;

/// The PCI class of a device by its type.
std::uint32_t class_of(std::uint16_t type) {
  switch (type) {
    case 1: return 0x020000;  // an Ethernet controller
    case 2: return 0x010000;  // mass storage
    default: return 0x00ff00;
  }
}

template <typename Number>
void put(std::span<std::byte> bytes, std::uint64_t offset, Number value) {
  std::memcpy(bytes.subspan(offset, sizeof(value)).data(), &value, sizeof(value));
}

/// The bytes after a capability's two of a header.
template <std::size_t size>
std::array<std::byte, size> structure(std::uint8_t type, std::uint32_t offset,
                                      std::uint32_t length) {
  std::array<std::byte, size> body{};
  put(body, 0, static_cast<std::uint8_t>(size + 2));
  put(body, 1, type);
  put(body, 6, offset);
  put(body, 10, length);
  return body;
}

}  // namespace

VirtioPci::VirtioPci(std::string id, std::shared_ptr<VirtioDevice> device, vmm::DeviceHost& host,
                     vmm::GuestAddress bar)
    : id_(std::move(id)),
      msix_(device->queue_sizes().size() + 1,
            [&host](std::uint64_t address, std::uint32_t data) {
              host.signal_message(address, data);
            }),
      space_({.vendor = kVendor,
              .device = static_cast<std::uint16_t>(kFirstDevice + device->type()),
              .class_code = class_of(device->type()),
              .revision = kModern,
              .subsystem_vendor = kVendor,
              .subsystem = static_cast<std::uint16_t>(kFirstDevice + device->type())}),
      queue_vectors_(device->queue_sizes().size(), kNoVector),
      core_(std::move(device), host,
            {.used = [this](unsigned queue) { tell_used(queue); },
             .config_changed = [this] { tell_config(); }}) {
  const vmm::Lock lock(mutex_);
  space_.set_bar(static_cast<std::uint32_t>(bar.value), PciBus::kBarBytes);
  add_capabilities();
  for (unsigned queue = 0; queue < core_.queue_count(); ++queue) {
    host.note_writes({bar.value + at(notify_part) + std::uint64_t{queue} * kNotifyStep},
                     core_.notification(queue).get());
  }
}

/// While all is there that what is under way tells the driver by.
VirtioPci::~VirtioPci() { core_.set_status(0); }

void VirtioPci::add_capabilities() {
  constexpr std::size_t kPlain = 14;
  const auto add = [this](auto body)
                       FERRY_REQUIRES(mutex_) { space_.add_capability(kVendorCapability, body); };
  add(structure<kPlain>(kCommonType, at(common_part), kCommonBytes));
  add(structure<kPlain>(kIsrType, at(isr_part), 1));
  add(structure<kPlain>(kDeviceType, at(device_part), kPartBytes));
  auto notify =
      structure<kPlain + 4>(kNotifyType, at(notify_part), core_.queue_count() * kNotifyStep);
  put(notify, kPlain, kNotifyStep);
  add(notify);
  const auto window = structure<kPlain + 4>(kWindowType, 0, 0);
  std::array<std::byte, kPlain + 4> writable{};
  std::ranges::fill(std::span(writable).subspan(kWindowOffset - 2), std::byte{0xff});
  window_at_ = space_.add_capability(kVendorCapability, window, writable);
  msix_at_ = space_.add_capability(
      Msix::kCapability, msix_.capability(at(table_part), at(pending_part)), Msix::writable());
}

void VirtioPci::read(std::uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0});
  const std::uint64_t within = offset % kPartBytes;
  switch (offset / kPartBytes) {
    case common_part: {
      const Common image = common();
      if (within >= image.size()) return;
      const auto there = std::span(image).subspan(within);
      std::ranges::copy(there.first(std::min(there.size(), data.size())), data.begin());
      return;
    }
    case device_part: core_.read_config(within, data); return;
    case table_part: msix_.read_table(within, data); return;
    case pending_part: msix_.read_pending(within, data); return;
    default: return;
  }
}

void VirtioPci::write(std::uint64_t offset, std::span<const std::byte> data) {
  const std::uint64_t within = offset % kPartBytes;
  switch (offset / kPartBytes) {
    case common_part: write_common(within, data); return;
    case device_part: core_.write_config(within, data); return;
    case notify_part: notify(within / kNotifyStep); return;
    case table_part: msix_.write_table(within, data); return;
    default: return;
  }
}

/// Where KVM does not see a guest's notification itself: it came through the window.
void VirtioPci::notify(std::uint64_t queue) {
  if (queue < core_.queue_count()) core_.notification(static_cast<unsigned>(queue)).signal();
}

/// What a device that is being reset still completes is told to nobody.
void VirtioPci::forget_vectors() {
  {
    const vmm::Lock lock(mutex_);
    config_vector_ = kNoVector;
    std::ranges::fill(queue_vectors_, kNoVector);
  }
  msix_.reset();
}

std::uint16_t VirtioPci::checked_vector(std::uint16_t vector) const {
  return vector < msix_.vectors() ? vector : kNoVector;
}

void VirtioPci::tell_used(unsigned queue) {
  std::uint16_t vector = kNoVector;
  {
    const vmm::Lock lock(mutex_);
    vector = queue_vectors_[queue];
  }
  msix_.trigger(vector);
}

void VirtioPci::tell_config() {
  std::uint16_t vector = kNoVector;
  {
    const vmm::Lock lock(mutex_);
    vector = config_vector_;
  }
  msix_.trigger(vector);
}

void VirtioPci::read_config(std::uint64_t offset, std::span<std::byte> data) {
  if (begins_window(offset)) {
    read_window(data);
    return;
  }
  const vmm::Lock lock(mutex_);
  space_.read(offset, data);
}

void VirtioPci::write_config(std::uint64_t offset, std::span<const std::byte> data) {
  std::uint16_t control = 0;
  {
    const vmm::Lock lock(mutex_);
    space_.write(offset, data);
    control = space_.u16(msix_at_ + 2U);
  }
  msix_.set_control(control);
  if (begins_window(offset)) write_window(data);
}

bool VirtioPci::begins_window(std::uint64_t offset) const {
  return offset == window_at_ + kWindowData;
}

void VirtioPci::read_window(std::span<std::byte> data) {
  std::uint32_t offset = 0;
  std::uint32_t length = 0;
  {
    const vmm::Lock lock(mutex_);
    offset = space_.u32(window_at_ + kWindowOffset);
    length = space_.u32(window_at_ + kWindowLength);
  }
  std::ranges::fill(data, std::byte{0xff});
  if (length <= data.size() && length != 0) read(offset, data.first(length));
}

void VirtioPci::write_window(std::span<const std::byte> data) {
  std::uint32_t offset = 0;
  std::uint32_t length = 0;
  {
    const vmm::Lock lock(mutex_);
    offset = space_.u32(window_at_ + kWindowOffset);
    length = space_.u32(window_at_ + kWindowLength);
  }
  if (length <= data.size() && length != 0) write(offset, data.first(length));
}

std::vector<std::byte> VirtioPci::save() {
  std::vector<std::byte> bytes;
  vmm::ByteWriter out(bytes);
  {
    const vmm::Lock lock(mutex_);
    out.bytes(space_.bytes());
    out.u32(device_select_);
    out.u32(driver_select_);
    out.u16(queue_select_);
    out.u16(config_vector_);
    for (const std::uint16_t vector : queue_vectors_) out.u16(vector);
  }
  msix_.save(out);
  core_.save(out);
  return bytes;
}

void VirtioPci::load(std::uint32_t saved_version, std::span<const std::byte> bytes) {
  if (saved_version != version()) {
    throw std::invalid_argument("saved state of " + id_ + ": of another version");
  }
  vmm::ByteReader<std::invalid_argument> from(bytes, "saved state of a PCI device");
  std::uint16_t control = 0;
  {
    const vmm::Lock lock(mutex_);
    space_.load(from.bytes(ConfigSpace::kBytes).first<ConfigSpace::kBytes>());
    control = space_.u16(msix_at_ + 2U);
    device_select_ = from.u32();
    driver_select_ = from.u32();
    queue_select_ = from.u16();
    config_vector_ = checked_vector(from.u16());
    for (std::uint16_t& vector : queue_vectors_) vector = checked_vector(from.u16());
  }
  msix_.load(from);
  core_.load(from);
  from.finish();
  msix_.set_control(control);
}

}  // namespace devices::virtio

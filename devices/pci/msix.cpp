#include "devices/pci/msix.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace devices {

namespace {

constexpr std::size_t kMostVectors = 64;
constexpr std::uint16_t kEnable = 1U << 15;
constexpr std::uint16_t kMaskAll = 1U << 14;
constexpr std::uint32_t kMasked = 1;

/// The part of `bytes` from `offset` on that `data` covers; what is beyond is not there.
template <typename Byte>
std::span<Byte> covered(std::span<Byte> bytes, std::uint64_t offset, std::size_t size) {
  if (offset >= bytes.size()) return {};
  return bytes.subspan(offset, std::min<std::uint64_t>(size, bytes.size() - offset));
}

}  // namespace

Msix::Msix(std::size_t vectors, Send send)
    : vectors_(vectors), send_(std::move(send)), table_(vectors) {
  if (vectors == 0 || vectors > kMostVectors) throw std::logic_error("MSI-X of 1 to 64 vectors");
}

std::array<std::byte, 10> Msix::capability(std::uint32_t table, std::uint32_t pending) const {
  std::array<std::byte, 10> body{};
  const auto last = static_cast<std::uint16_t>(vectors_ - 1);
  std::memcpy(body.data(), &last, 2);
  std::memcpy(&body[2], &table, 4);
  std::memcpy(&body[6], &pending, 4);
  return body;
}

std::array<std::byte, 2> Msix::writable() { return {std::byte{0}, std::byte{0xc0}}; }

void Msix::trigger(std::uint16_t vector) {
  if (vector >= vectors_) return;
  const vmm::Lock lock(mutex_);
  if ((control_ & kEnable) == 0) return;
  pending_ |= std::uint64_t{1} << vector;
  send_pending();
}

void Msix::set_control(std::uint16_t control) {
  const vmm::Lock lock(mutex_);
  control_ = control;
  send_pending();
}

void Msix::send_pending() {
  if ((control_ & (kEnable | kMaskAll)) != kEnable) return;
  std::uint64_t rest = pending_;
  while (rest != 0) {
    const auto vector = static_cast<std::size_t>(std::countr_zero(rest));
    rest &= rest - 1;
    const Entry& entry = table_[vector];
    if ((entry.control & kMasked) != 0) continue;
    pending_ &= ~(std::uint64_t{1} << vector);
    send_(entry.address, entry.data);
  }
}

void Msix::read_table(std::uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0});
  const vmm::Lock lock(mutex_);
  const auto bytes = std::as_bytes(std::span(table_));
  std::ranges::copy(covered(bytes, offset, data.size()), data.begin());
}

void Msix::write_table(std::uint64_t offset, std::span<const std::byte> data) {
  const vmm::Lock lock(mutex_);
  const auto place = covered(std::as_writable_bytes(std::span(table_)), offset, data.size());
  std::ranges::copy(data.first(place.size()), place.begin());
  send_pending();
}

void Msix::read_pending(std::uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0});
  const vmm::Lock lock(mutex_);
  const auto bytes = std::as_bytes(std::span(&pending_, 1));
  std::ranges::copy(covered(bytes, offset, data.size()), data.begin());
}

void Msix::reset() {
  const vmm::Lock lock(mutex_);
  pending_ = 0;
}

void Msix::save(vmm::ByteWriter& out) {
  const vmm::Lock lock(mutex_);
  for (const Entry& entry : table_) {
    out.u64(entry.address);
    out.u32(entry.data);
    out.u32(entry.control);
  }
  out.u64(pending_);
}

void Msix::load(vmm::ByteReader<std::invalid_argument>& from) {
  const vmm::Lock lock(mutex_);
  for (Entry& entry : table_) {
    entry.address = from.u64();
    entry.data = from.u32();
    entry.control = from.u32();
  }
  const std::uint64_t known =
      vectors_ == kMostVectors ? ~std::uint64_t{0} : (std::uint64_t{1} << vectors_) - 1;
  pending_ = from.u64() & known;
}

}  // namespace devices

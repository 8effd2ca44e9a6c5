#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "devices/stateless.hpp"
#include "vmm/machine/guest_end.hpp"

namespace devices {

/// One port: what the guest writes there ends the machine, with the low 6 bits as the exit status.
class ExitPort final : public Stateless {
 public:
  explicit ExitPort(std::function<void(vmm::GuestEnd)> end) : end_(std::move(end)) {}

  [[nodiscard]] std::string_view id() const override { return "exit-port"; }
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

 private:
  const std::function<void(vmm::GuestEnd)> end_;
};

}  // namespace devices

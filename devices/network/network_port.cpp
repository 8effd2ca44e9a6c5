#include "devices/network/network_port.hpp"

#include <utility>

namespace devices::network {

std::string offload_names(std::uint64_t offloads) {
  std::string names;
  for (const auto& [bit, name] : {std::pair{Offloads::kSendChecksum, "csum"},
                                  {Offloads::kReceiveChecksum, "guest-csum"},
                                  {Offloads::kReceiveTso4, "guest-tso4"},
                                  {Offloads::kReceiveTso6, "guest-tso6"},
                                  {Offloads::kSendTso4, "host-tso4"},
                                  {Offloads::kSendTso6, "host-tso6"}}) {
    if ((offloads & bit) == 0) continue;
    if (!names.empty()) names += ", ";
    names += name;
  }
  return names;
}

void NetworkPort::send(const FrameHeader& header, std::span<const iovec> frame) {
  if (!do_send(header, frame)) ++dropped_;
}

std::optional<std::size_t> NetworkPort::receive(FrameHeader& header, std::span<const iovec> into) {
  const auto got = do_receive(header, into);
  if (got == 0) ++dropped_;
  return got;
}

std::size_t size_of(std::span<const iovec> parts) {
  std::size_t bytes = 0;
  for (const iovec& part : parts) bytes += part.iov_len;
  return bytes;
}

}  // namespace devices::network

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

/// Reads a byte of each page of `region`, in the given order, as a guest does: by a virtual
/// processor whose memory `region` is (aligned to pages, at most 1 GiB). std::exception when KVM
/// fails.
void read_as_a_guest(std::span<std::uint8_t> region, std::span<const std::size_t> order);

#pragma once

#include <cstddef>

#include "vmm/memory/guest_address.hpp"
#include "vmm/memory/page_set.hpp"

/// Which pages of a mapping were ever touched, found without touching any.
namespace vmm {

/// Opens what add_present() needs, which does so otherwise: beforehand, as a process may have no
/// descriptor left when it does. std::system_error when it cannot.
void open_page_map();

/// Adds to `into` the pages of `range` of the anonymous memory at `base` that have content, be it
/// in memory or in the swap. std::system_error when the kernel does not tell.
void add_present(const std::byte* base, PageRange range, PageSet& into);

/// Whether `add_present` passes over what was never touched nearly for nothing (Linux 6.7), or
/// takes 8 ns for each of its pages.
[[nodiscard]] bool passes_over_holes();

/// The same of a shared mapping of `file`, which begins at its start. The mapping of this process
/// may lack pages that the file has.
void add_data_of_file(int file, const std::byte* base, PageRange range, PageSet& into);

}  // namespace vmm

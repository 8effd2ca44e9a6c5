#pragma once

#include <cstddef>

#include "table1.hpp"

namespace study {

/// The same guests, links and journey as table1(), with their migrations by SimGrid's own plug-in
/// for live migration: pre-copy of flows, in which what a guest writes grows with what it computes,
/// up to nine tenths of its RAM. It stops at 30 ms, and has no end to its rounds. For up to some
/// 1500 guests: SimGrid looks at each of them at each event.
[[nodiscard]] Table1 table1_by_plug_in(std::size_t guests, bool at_once);

}  // namespace study

#pragma once

#include <vector>

#include "vmm/machine/machine.hpp"

namespace vmm {

/// Pages that the vCPUs of a stopped machine will most likely touch first when they go on: those of
/// the next instruction, the stack, the descriptor tables, the task state and what GS points to
/// (where kernels have what belongs to a CPU), then those that the devices name, at most half of
/// `most`, then those that the other registers and the words on top of the stack point to, should
/// they be pointers, and the page tables on the way to them; those of vCPUs with their neighbours.
/// In order of that, each once, at most `most`; a guess.
[[nodiscard]] std::vector<PageIndex> initial_working_set(Machine& machine, std::size_t most);

}  // namespace vmm

#pragma once

#include <cstddef>

namespace vmm {

/// From now on a SIGBUS ends this process with `status` and a line on standard error that says
/// whether guest RAM is concerned: the host's memory is bad there, or a file that is RAM was cut
/// short, or has no room. Memory that is known to be bad and that nobody has touched yet is told
/// only. `last_act` is called before that end; it must be safe in a signal handler.
void explain_memory_faults(int status, void (*last_act)() noexcept = nullptr);

/// These bytes are guest RAM, for the explanation, or are not any more. As many as there is room
/// for; any thread.
void note_guest_ram(const std::byte* data, std::size_t size);
void forget_guest_ram(const std::byte* data);

}  // namespace vmm

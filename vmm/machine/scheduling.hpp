#pragma once

/// What a thread asks of the kernel's scheduler, for itself and for good. No privilege is needed,
/// and neither changes how much work anybody gets done where the processors suffice.
namespace vmm {

/// Somebody waits for this thread as often as it wakes up: a guest, or who reads its memory. It
/// asks for short slices, so that it takes the processor at once from a thread that has just got it
/// rather than wait for the end of that one's slice (milliseconds). It gets no larger share for
/// that. Linux 6.12; without effect before.
void wake_promptly();

/// Nobody waits for this thread. It gets the processor after all that are as any other, and a tenth
/// of what one of those gets where they would fill it.
void step_aside();

}  // namespace vmm

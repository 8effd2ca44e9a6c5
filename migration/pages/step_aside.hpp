#pragma once

namespace migration {

/// From now on the calling thread gets the processor after those that somebody waits for: the
/// guest, and the threads that answer its faults. For good; a thread of a channel ends with the
/// migration. It still gets a tenth of a processor that ordinary threads would fill.
void step_aside();

}  // namespace migration

#include "ferry/store_watch.hpp"

#include <fmt/format.h>

#include <chrono>
#include <exception>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "ferry/say.hpp"

namespace ferry {

namespace {

/// So long the guest stands at a time.
constexpr std::chrono::milliseconds kStop{50};

}  // namespace

void StoreWatch::look(vmm::Machine& machine) {
  const vmm::GuestMemory& memory = machine.memory();
  if (!memory.needs_room()) return;
  const auto tell = [this](const std::exception& error) {
    if (std::exchange(trouble_told_, true)) return;
    say(
        fmt::format("the VM's RAM needs room in the image store {}, and cannot leave it yet: {}. "
                    "The guest goes on as far as it comes, and this is tried again",
                    store_->path(), error.what()));
  };
  try {
    // Without all of RAM in the file it is on its way out, or the store was full before.
    if (memory.file() < 0 || !store_->has_room_for_rest(memory)) detach_ram(machine);
  } catch (const std::system_error& error) {
    tell(error);
  } catch (const std::runtime_error&) {
    throw;
  } catch (const std::exception& error) {  // no memory, for now
    tell(error);
  }
}

/// A vCPU that finds the store full does not go on: KVM_RUN fails, and that of a KVM in software
/// does not even return. So RAM leaves before that, or while the vCPU waits.
void StoreWatch::detach_ram(vmm::Machine& machine) {
  vmm::GuestMemory& memory = machine.memory();
  const bool runs = machine.running();
  if (runs) machine.pause();
  // A device whose I/O takes longer still writes there: at the next look.
  const auto until = std::chrono::steady_clock::now() + kStop;
  if (!machine.drained(until)) {
    if (runs) machine.resume();
    return;
  }
  bool done = false;
  try {
    done = memory.detach_file(until);
  } catch (...) {
    if (runs) machine.resume();
    throw;
  }
  if (runs) machine.resume();
  if (!done) return;
  store_->give_up_room();
  if (memory.file() >= 0) return;  // all that was missing had room
  say("others have filled the image store " + store_->path() +
      ", which has no room for what the guest has not touched yet: that is anonymous memory from "
      "now on, and an image of the VM will be copied");
}

}  // namespace ferry

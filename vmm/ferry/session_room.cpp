#include <chrono>
#include <exception>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "migration/reuse/image_store.hpp"
#include "vmm/ferry/exit_status.hpp"
#include "vmm/ferry/say.hpp"
#include "vmm/ferry/session.hpp"

/// The memory and the room in a tmpfs store that this process has been promised: what it has taken
/// of it, and what when others have filled the store.
namespace ferry {

namespace {

/// So often: no event tells of either.
constexpr std::chrono::milliseconds kLookAtRoom{100};

}  // namespace

/// Until there is nothing to look at; own() begins again.
void Session::watch_room() {
  // While pages are to come, threads that bring them change whether RAM is the file.
  const bool ram_in_store =
      image_store_ && machine_ && (machine_->lacks_pages() || machine_->memory().file() >= 0);
  if (!memory_promise_ && !ram_in_store) return;
  room_watch_.expires_after(kLookAtRoom);
  room_watch_.async_wait([this](boost::system::error_code cancelled) {
    if (cancelled || exit_status_) return;
    if (memory_promise_) memory_promise_->update();
    look_at_store();
    watch_room();
  });
}

/// While the VM migrates its RAM is not looked at: who finds the store full then waits.
void Session::look_at_store() {
  if (!image_store_ || !machine_ || machine_->lacks_pages() || machine_->memory().file() < 0) {
    return;
  }
  try {
    if (!image_store_->has_room_for_rest(machine_->memory())) leave_store();
  } catch (const std::system_error& error) {
    // The guest goes on as far as it comes.
    if (!std::exchange(store_trouble_told_, true)) say(error.what());
  } catch (const std::runtime_error& error) {  // RAM that was in the file is lost
    say(error.what());
    leave(static_cast<int>(ExitStatus::os_error));
  } catch (const std::exception& error) {  // no memory, for now
    if (!std::exchange(store_trouble_told_, true)) say(error.what());
  }
}

/// A vCPU that finds the store full does not go on: KVM_RUN fails, and that of a KVM in software
/// does not even return. What the guest has not touched yet becomes anonymous memory before that,
/// or while it waits.
void Session::leave_store() {
  const bool runs = machine_->running();
  if (runs) machine_->pause();
  try {
    machine_->memory().leave_file();
  } catch (...) {
    if (runs) machine_->resume();
    throw;
  }
  if (runs) machine_->resume();
  image_store_->give_up_room();
  say("others have filled the image store " + image_store_->path() +
      ", which has no room for what the guest has not touched yet: that is anonymous memory from "
      "now on, and an image of the VM will be copied");
}

}  // namespace ferry

#include <boost/asio/post.hpp>
#include <chrono>
#include <exception>

#include "ferry/exit_status.hpp"
#include "ferry/say.hpp"
#include "ferry/session.hpp"

/// The memory and the room in a tmpfs store that this process has been promised: what it has taken
/// of it, and what when others have filled the store.
namespace ferry {

namespace asio = boost::asio;

namespace {

/// So often: no event tells of either.
constexpr std::chrono::milliseconds kLookAtRoom{100};

}  // namespace

/// Until there is nothing to look at; own() begins again. While the VM migrates, the migration
/// looks after its RAM.
void Session::watch_room() {
  // While pages are to come, threads that bring them change whether RAM is the file.
  const bool ram_in_store =
      store_watch_ && machine_ && (machine_->lacks_pages() || machine_->memory().needs_room());
  if (memory_promise_.expired() && !ram_in_store) return;
  room_watch_.expires_after(kLookAtRoom);
  room_watch_.async_wait([this](boost::system::error_code cancelled) {
    if (cancelled || exit_status_) return;
    // Whatever becomes of this look, there is a next one.
    asio::post(context_, [this] { watch_room(); });
    if (const auto promise = memory_promise_.lock()) promise->update();
    look_at_store();
  });
}

void Session::look_at_store() {
  if (!store_watch_ || !machine_ || machine_->lacks_pages()) return;
  try {
    store_watch_->look(*machine_);
  } catch (const std::exception& error) {  // RAM that was in the file is lost
    say(error.what());
    leave(static_cast<int>(ExitStatus::os_error));
  }
}

}  // namespace ferry

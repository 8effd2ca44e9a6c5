#include <fmt/format.h>
#include <sys/inotify.h>

#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "migration/net/event_loop.hpp"
#include "migration/reuse/image_store.hpp"
#include "migration/source.hpp"
#include "vmm/machine/machine_config.hpp"

/// The source after the handover, when it keeps the image for the VM's return: it gives up what the
/// guest changes meanwhile, until somebody takes the image.
namespace migration {

namespace asio = boost::asio;
using net::Frame;
using wire::FrameType;

namespace {

/// Pages to drop are gathered for so long: each drop makes a new manifest durable.
constexpr std::chrono::milliseconds kGather{300};

}  // namespace

/// The VM runs at the destination: RAM here becomes the kept image.
void OutgoingMigration::Source::keep_image() {
  const vmm::MachineConfig& config = machine_->config();
  const std::uint64_t pages = machine_->memory().page_count();
  try {
    // Those that were never touched are zero, and come back as such without being held.
    vmm::DirtyBitmap held(pages);
    machine_->memory().add_populated({0, pages}, held);
    held -= hot_.hot();
    ImageStore::Kept kept =
        options_.keep_in->keep({config.id, config.name, token_, key_}, machine_->memory(), held);
    kept_hashes_.emplace(std::move(held), std::move(kept.hashes));
    kept_ = true;
    vm_id_ = config.id;
    const std::lock_guard lock(mutex_);
    report_.kept_image = {kept.pages, kept.bytes};
  } catch (const std::exception& error) {
    callbacks_.message(fmt::format("the image of the VM is not kept: {}", error.what()));
    const std::lock_guard lock(mutex_);
    report_.kept_image.error = error.what();
  }
}

/// As the keeper of the image: until somebody takes or drops it.
asio::awaitable<void> OutgoingMigration::Source::watch_image() {
  net::spawn(context_.get_executor(), watch_store());
  std::chrono::milliseconds delay = kFirstRetry;
  while (kept_) {
    try {
      if (!control_) {
        if (co_await inquire(true) != wire::VmStatus::running) {
          throw std::runtime_error("the VM does not run there any more");
        }
        if (!kept_) co_return;
        control_ = std::exchange(inquiry_, nullptr);
        given_up_.clear();  // it is told of these again, if it has not heard of them
      }
      const Frame frame = co_await control_->receive();
      if (frame.type == FrameType::running) continue;  // the answer to an inquiry ends with it
      take_changes(frame);
      delay = kFirstRetry;
      continue;
    } catch (const std::exception&) {
      // Nothing breaks by that: what was not told is settled at the VM's return.
    }
    if (control_) std::exchange(control_, nullptr)->close();
    end_inquiry();
    if (kept_) co_await pause_before_retry(delay);
  }
}

asio::awaitable<void> OutgoingMigration::Source::watch_store() {
  try {
    const int watch = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch < 0) throw std::system_error(errno, std::generic_category(), "inotify");
    asio::posix::stream_descriptor events(context_, watch);
    if (::inotify_add_watch(events.native_handle(), options_.keep_in->path().c_str(),
                            IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO) < 0) {
      throw std::system_error(errno, std::generic_category(), "inotify");
    }
    std::array<std::byte, 4096> ignored{};
    while (kept_ && options_.keep_in->has(vm_id_, token_)) {
      co_await events.async_read_some(asio::buffer(ignored), asio::use_awaitable);
    }
  } catch (const std::exception& error) {
    callbacks_.message(fmt::format("the image is kept on, but not watched over: {}", error.what()));
  }
  release_image();
}

/// The image is not this process's to keep any more.
void OutgoingMigration::Source::release_image() {
  kept_ = false;
  retry_.cancel();
  drop_timer_.cancel();
  if (control_) control_->close();
  if (inquiry_) inquiry_->close();
}

/// Rule 1 of the paper: what the guest has changed over there cannot be reused. The destination
/// names what it may have changed; the hashes tell.
void OutgoingMigration::Source::take_changes(const Frame& frame) {
  if (frame.type != FrameType::changed) {
    throw wire::ProtocolError("the destination sent something else than what changed");
  }
  const wire::Hashes pages = wire::decode_hashes(frame.payload, to_drop_.pages());
  auto hash = pages.hashes.begin();
  bool any = false;
  for (const vmm::PageRange& range : pages.ranges) {
    for (vmm::PageIndex page = range.first; page < range.end(); ++page, ++hash) {
      if (given_up_.test(page) || kept_hashes_->same(page, *hash)) continue;
      to_drop_.set(page);
      any = true;
    }
  }
  if (any && !dropping_) drop_soon();
}

void OutgoingMigration::Source::drop_soon() {
  dropping_ = true;
  drop_timer_.expires_after(kGather);
  drop_timer_.async_wait([this](boost::system::error_code cancelled) {
    if (cancelled) return;
    // What is told waits with the kernel as long as nobody reads it: no more of it meanwhile.
    if (control_ && control_->busy()) return drop_soon();
    dropping_ = false;
    drop_pages();
  });
}

void OutgoingMigration::Source::drop_pages() {
  const vmm::DirtyBitmap pages = std::exchange(to_drop_, vmm::DirtyBitmap(to_drop_.pages()));
  try {
    if (!options_.keep_in->drop_pages(vm_id_, token_, pages)) return release_image();
  } catch (const std::exception& error) {
    callbacks_.message(fmt::format("the image is not kept any more: {}", error.what()));
    return release_image();
  }
  if (!control_) return;
  given_up_ |= pages;
  for (const vmm::PageRange& piece : wire::bitmap_pieces(pages)) {
    control_->send(FrameType::dropped, wire::encode_missing(piece, pages));
  }
}

}  // namespace migration

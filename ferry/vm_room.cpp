#include "ferry/vm_room.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <exception>
#include <utility>

#include "ferry/controlled.hpp"
#include "ferry/say.hpp"
#include "ferry/store_of_process.hpp"

namespace ferry {

namespace asio = boost::asio;

namespace {

/// So often: no event tells of either.
constexpr std::chrono::milliseconds kLookAtRoom{100};

}  // namespace

VmRoom::VmRoom(asio::io_context& context, const Options& options, const VmOfProcess& vm,
               std::function<void()> ram_lost)
    : context_(context),
      image_store_(options.image_store),
      ledger_(options.ledger),
      overcommit_(options.overcommit),
      vm_(vm),
      ram_lost_(std::move(ram_lost)),
      in_store_(image_store_ ? std::make_shared<StoreWatch>(image_store_) : nullptr),
      next_look_(context) {}

std::shared_ptr<MemoryPromise> VmRoom::promise(const vmm::MachineConfig& config,
                                               std::uint64_t used_bytes) const {
  if (!overcommit_) check_host_memory(config.memory_bytes);
  return std::make_shared<MemoryPromise>(ledger_.get(), std::min(used_bytes, config.memory_bytes),
                                         kept_of(config.id), overcommit_);
}

void VmRoom::hold(std::shared_ptr<MemoryPromise> promise) {
  promise_ = std::move(promise);
  asio::post(context_, [this, watched = std::weak_ptr(promise_)] {
    watched_ = watched;
    watch();
  });
}

/// Bytes of memory that the VM has here already: its image, which will be RAM.
std::uint64_t VmRoom::kept_of(const std::string& vm_id) const {
  if (!image_store_ || !image_store_->can_hold_ram()) return 0;
  try {
    for (const auto& entry : image_store_->list()) {
      if (entry.vm_id == vm_id) return entry.bytes;
    }
  } catch (const std::exception& error) {
    say(error.what());  // without the image the VM is welcome too
  }
  return 0;
}

void VmRoom::watch() {
  // While pages are to come, threads that bring them change whether RAM is the file.
  vmm::Machine* machine = vm_.machine();
  const bool ram_in_store =
      in_store_ && machine != nullptr && (machine->lacks_pages() || machine->memory().needs_room());
  if (watched_.expired() && !ram_in_store) return;
  next_look_.expires_after(kLookAtRoom);
  next_look_.async_wait([this](boost::system::error_code cancelled) {
    if (cancelled || stopped_) return;
    // Whatever becomes of this look, there is a next one.
    asio::post(context_, [this] { watch(); });
    if (const auto promise = watched_.lock()) promise->update();
    look();
  });
}

void VmRoom::look() {
  vmm::Machine* machine = vm_.machine();
  if (!in_store_ || machine == nullptr || machine->lacks_pages()) return;
  try {
    in_store_->look(*machine);
  } catch (const std::exception& error) {  // RAM that was in the file is lost
    say(error.what());
    ram_lost_();
  }
}

std::function<void(vmm::Machine&)> VmRoom::look_of_migration() const {
  return [in_store = in_store_](vmm::Machine& lent) {
    if (in_store) in_store->look(lent);
  };
}

std::shared_ptr<migration::ImageStore> VmRoom::store_for_image() {
  if (image_store_) return image_store_;
  try {
    image_store_ = open_image_store(migration::default_image_store());
  } catch (const std::exception& error) {
    throw Conflict(
        fmt::format("cannot keep an image: {}. Start the VM with an --image-store, or "
                    "move it without --keep-image",
                    error.what()));
  }
  return image_store_;
}

}  // namespace ferry

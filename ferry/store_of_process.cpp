#include "ferry/store_of_process.hpp"

#include <exception>
#include <system_error>
#include <utility>

#include "ferry/exit_status.hpp"
#include "ferry/say.hpp"

namespace ferry {

namespace {

[[noreturn]] void fail(const std::system_error& error) {
  const bool forbidden = status_of(error.code()) == ExitStatus::no_permission;
  throw Failure(forbidden                  ? ExitStatus::no_permission
                : wrong_path(error.code()) ? ExitStatus::no_input
                                           : ExitStatus::os_error,
                error.what());
}

}  // namespace

std::shared_ptr<migration::ImageStore> open_image_store(
    const std::filesystem::path& directory, std::uint64_t limit,
    std::shared_ptr<const migration::RoomLedger> ledger) {
  try {
    return std::make_shared<migration::ImageStore>(directory, limit, say, std::move(ledger));
  } catch (const std::system_error& error) {
    fail(error);
  } catch (const std::exception& error) {
    throw Failure(ExitStatus::no_permission, error.what());
  }
}

StoreOfProcess::StoreOfProcess(const ImageStoreChoice& choice,
                               std::shared_ptr<const migration::RoomLedger> ledger) {
  if (choice.directory.empty()) return;
  store_ = open_image_store(choice.directory, choice.limit, std::move(ledger));
}

StoreOfProcess::~StoreOfProcess() {
  try {
    if (store_) store_->tidy();
  } catch (const std::exception& error) {
    say(error.what());
  }
}

vmm::GuestMemory StoreOfProcess::memory_for(std::uint64_t bytes) const {
  if (!store_) return vmm::GuestMemory(bytes);
  try {
    return store_->memory_for(bytes);
  } catch (const std::system_error& error) {
    fail(error);
  }
}

}  // namespace ferry

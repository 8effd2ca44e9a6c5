#include "vmm/ferry/store_of_process.hpp"

#include <exception>
#include <system_error>

#include "vmm/ferry/exit_status.hpp"
#include "vmm/ferry/say.hpp"

namespace ferry {

std::shared_ptr<migration::ImageStore> open_image_store(const std::filesystem::path& directory,
                                                        std::uint64_t limit) {
  try {
    return std::make_shared<migration::ImageStore>(directory, limit, say);
  } catch (const std::system_error& error) {
    const bool forbidden = status_of(error.code()) == ExitStatus::no_permission;
    throw Failure(forbidden ? ExitStatus::no_permission : ExitStatus::os_error, error.what());
  } catch (const std::exception& error) {
    throw Failure(ExitStatus::no_permission, error.what());
  }
}

StoreOfProcess::StoreOfProcess(const ImageStoreChoice& choice) {
  if (!choice.directory.empty()) store_ = open_image_store(choice.directory, choice.limit);
}

StoreOfProcess::~StoreOfProcess() {
  try {
    if (store_) store_->tidy();
  } catch (const std::exception& error) {
    say(error.what());
  }
}

vmm::GuestMemory StoreOfProcess::memory_for(std::uint64_t bytes) const {
  return store_ ? store_->memory_for(bytes) : vmm::GuestMemory(bytes);
}

}  // namespace ferry

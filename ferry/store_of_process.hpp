#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "ferry/command_line.hpp"
#include "migration/reuse/image_store.hpp"

namespace ferry {

/// Failure that says what is wrong with the directory.
[[nodiscard]] std::shared_ptr<migration::ImageStore> open_image_store(
    const std::filesystem::path& directory, std::uint64_t limit = migration::ImageStore::kUnlimited,
    std::shared_ptr<const migration::RoomLedger> ledger = nullptr);

/// The store that was named on the command line, if one was. It outlives the VM: RAM that was an
/// image is given back when both are done with it.
class StoreOfProcess {
 public:
  StoreOfProcess(const ImageStoreChoice& choice,
                 std::shared_ptr<const migration::RoomLedger> ledger);
  ~StoreOfProcess();
  StoreOfProcess(const StoreOfProcess&) = delete;
  StoreOfProcess& operator=(const StoreOfProcess&) = delete;

  [[nodiscard]] const std::shared_ptr<migration::ImageStore>& get() const { return store_; }
  [[nodiscard]] vmm::GuestMemory memory_for(std::uint64_t bytes) const;

 private:
  std::shared_ptr<migration::ImageStore> store_;
};

}  // namespace ferry

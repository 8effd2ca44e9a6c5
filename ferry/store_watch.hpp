#pragma once

#include <memory>

#include "migration/reuse/image_store.hpp"
#include "vmm/machine/machine.hpp"

namespace ferry {

/// RAM that is a file in an image store on a tmpfs, while the guest runs: what it has not touched
/// yet needs room there, which others may take. One thread at a time: that which drives the
/// machine.
class StoreWatch {
 public:
  explicit StoreWatch(std::shared_ptr<migration::ImageStore> store) : store_(std::move(store)) {}

  /// Where the room does not do any more, RAM leaves the file, and the guest stands for some
  /// milliseconds; a later look may have to go on with that. To be called ten times a second or so,
  /// not while pages are missing. Trouble is told once. std::runtime_error when RAM is lost.
  void look(vmm::Machine& machine);

 private:
  void detach_ram(vmm::Machine& machine);

  std::shared_ptr<migration::ImageStore> store_;
  bool trouble_told_ = false;
};

}  // namespace ferry

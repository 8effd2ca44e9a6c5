#pragma once

#include <cstdint>
#include <vector>

#include "migration/base/page_hash.hpp"
#include "migration/base/token.hpp"
#include "migration/wire/encode.hpp"
#include "vmm/kvm/dirty_log.hpp"
#include "vmm/memory/guest_memory.hpp"
#include "vmm/memory/page_set.hpp"

namespace migration {

/// What the guest has changed since a handover whose image the source keeps: for that image's
/// keeper, which gives up what differs, and for the VM's return there.
class ChangeTracker {
 public:
  /// `key`: of the hashes of the image. Nothing has changed so far but what the dirty log has.
  ChangeTracker(const Token& token, const HashKey& key, std::uint64_t pages);

  [[nodiscard]] const Token& token() const { return token_; }
  /// Maybe: these pages were in the dirty log. What is in it now comes on top.
  [[nodiscard]] const vmm::PageSet& changed() const { return changed_; }

  /// Takes what changed out of `log`. The keeper is to be told this of it: of 64 MiB at most, as
  /// the caller has other things to do.
  [[nodiscard]] std::vector<wire::Hashes> news(vmm::DirtyLog& log, const vmm::GuestMemory& memory);
  /// The keeper knows nothing: it has just come.
  void tell_all();
  /// The keeper does not hold these any more.
  void dropped(const std::vector<vmm::PageRange>& pages);

 private:
  Token token_;
  HashKey key_;
  vmm::PageSet changed_;
  vmm::PageSet untold_;   ///< of these: the keeper has not heard of what is in them now
  vmm::PageSet dropped_;  ///< by the keeper
};

}  // namespace migration

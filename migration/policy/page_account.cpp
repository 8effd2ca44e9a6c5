#include "migration/policy/page_account.hpp"

#include <utility>

namespace migration {

void PageAccount::compared(vmm::PageSet same, vmm::PageSet copied, vmm::PageSet unsent) {
  reusable_ = std::move(same);
  copied_ = std::move(copied);
  unsent_ = std::move(unsent);
  compared_ = true;
}

vmm::PageSet PageAccount::to_send(vmm::PageSet dirty) const {
  dirty |= unsent_;
  return dirty;
}

vmm::PageSet PageAccount::take_unsent(vmm::PageSet dirty) {
  dirty |= unsent_;
  unsent_.clear();
  return dirty;
}

void PageAccount::handed_out(const vmm::PageSet& pages) {
  sent_ |= pages;
  missing(pages);
}

void PageAccount::missing(const vmm::PageSet& pages) {
  reusable_ -= pages;
  copied_ -= pages;
}

std::uint64_t PageAccount::sent_of(vmm::PageSet pages) const {
  pages &= sent_;
  return pages.count();
}

}  // namespace migration

#include "migration/policy/page_account.hpp"

#include <utility>

namespace migration {

void PageAccount::compared(vmm::PageSet same, vmm::PageSet copied, vmm::PageSet must_send) {
  reusable_ = std::move(same);
  copied_ = std::move(copied);
  must_send_ = std::move(must_send);
  compared_ = true;
  selective_ = true;
}

void PageAccount::without(vmm::PageSet free, vmm::PageSet must_send) {
  free_ = std::move(free);
  must_send_ = std::move(must_send);
  selective_ = true;
}

vmm::PageSet PageAccount::to_send(vmm::PageSet dirty) const {
  dirty |= must_send_;
  return dirty;
}

vmm::PageSet PageAccount::take_to_send(vmm::PageSet dirty) {
  dirty |= must_send_;
  must_send_.clear();
  return dirty;
}

void PageAccount::handed_out(const vmm::PageSet& pages) {
  sent_ |= pages;
  missing(pages);
}

void PageAccount::missing(const vmm::PageSet& pages) {
  reusable_ -= pages;
  copied_ -= pages;
  free_ -= pages;
}

std::uint64_t PageAccount::sent_of(vmm::PageSet pages) const {
  pages &= sent_;
  return pages.count();
}

}  // namespace migration

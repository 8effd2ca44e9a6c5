#include "migration/pages/page_batch.hpp"

#include "vmm/bytes/copy_bytes.hpp"

namespace migration {

void PageBatch::add(vmm::PageRange range) {
  pages += range.count;
  vmm::append(ranges, range);
}

void PageBatch::clear() {
  ranges.clear();
  pages = 0;
}

std::span<const std::byte> PageCopies::copy(std::span<const std::byte> page) {
  content.resize(kBlock);
  const auto place = std::span(content).subspan(bytes(), page.size());
  vmm::copy_bytes(page, place);
  return place;
}

void DescribedPages::clear() {
  PageBatch::clear();
  body.clear();
}

}  // namespace migration

#include "migration/postcopy/page_fetcher.hpp"

#include "migration/postcopy/missing_page_sink.hpp"

namespace migration {

PageFetcher::PageFetcher(vmm::GuestMemory& memory,
                         const std::shared_ptr<const vmm::Userfault>& userfault,
                         std::unique_ptr<FileOverlay> overlay, bool digests,
                         std::chrono::milliseconds timeout, Callbacks callbacks)
    : missing_(memory.page_count()),
      installer_(memory, userfault, std::move(overlay), digests, missing_,
                 [this] { loop_.finish(); }),
      loop_(memory, userfault, missing_, installer_, timeout, std::move(callbacks)) {}

void PageFetcher::told_all() {
  if (has_all()) loop_.finish();
}

std::unique_ptr<PageSink> PageFetcher::make_sink() {
  return std::make_unique<MissingPageSink>(installer_, loop_.watch());
}

}  // namespace migration

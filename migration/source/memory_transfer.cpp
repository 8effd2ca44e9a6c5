#include "migration/source/memory_transfer.hpp"

#include <stdexcept>

#include "migration/pages/verify.hpp"
#include "migration/wire/encode.hpp"

namespace migration::source {

namespace asio = boost::asio;
using wire::FrameType;

void Parts::check_guest() const {
  if (machine.ended()) throw std::runtime_error("the guest ended while it was being migrated");
}

vmm::PageSet Parts::take_to_send() const { return pages.take_to_send(machine.dirty_log().read()); }

asio::awaitable<void> Parts::send_digests(const vmm::PageSet* missing) const {
  journal.phase("verifying");
  // What was left out is zero there, as if it had never been touched.
  vmm::PageSet without = pages.free();
  if (missing != nullptr) without |= *missing;
  for (const vmm::PageRange& piece : pages_to_digest(machine.memory(), &without)) {
    co_await link.send_bulk(FrameType::digests,
                            wire::encode_digests(piece, digest(machine.memory(), piece)));
  }
}

}  // namespace migration::source

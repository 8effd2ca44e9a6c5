#include "migration/destination/returned_image.hpp"

#include <fmt/format.h>

#include <cstring>
#include <exception>
#include <utility>

namespace migration::destination {

namespace asio = boost::asio;
using wire::FrameType;

ReturnedImage::ReturnedImage(std::shared_ptr<ImageStore> store,
                             std::function<void(const std::string&)> message)
    : store_(std::move(store)), message_(std::move(message)) {}

vmm::GuestMemory ReturnedImage::make_ram(const std::string& vm_id, std::uint64_t bytes,
                                         Reuse wanted) {
  drop();  // that of a VM that was refused
  if (!store_) return vmm::GuestMemory(bytes);
  if (wanted != Reuse::off) {
    image_ = store_->claim(vm_id, bytes);
  } else {
    try {
      store_->drop(vm_id);  // of no use to anybody once the VM is here
    } catch (const std::exception& error) {
      message_(fmt::format("the image of the VM stays: {}", error.what()));
    }
  }
  return image_ ? std::move(image_->memory) : store_->memory_for(bytes);
}

void ReturnedImage::use(const wire::Offer& offer, PageTarget& target, wire::Accept& accept) {
  if (!image_) return;
  const bool exact = offer.image_token == image_->token;
  if (exact && offer.reuse != Reuse::content) {
    accept.image_by = Reuse::generation;
  } else if (offer.reuse != Reuse::generation) {
    accept.image_by = Reuse::content;
  } else {
    message_(
        "the image that was kept of this VM is not used: the source cannot say exactly what has "
        "changed since");
    // All of it: around what was read into anonymous memory, huge pages are zero and not missing.
    const vmm::PageRange all{0, target.memory.page_count()};
    target.memory.discard({&all, 1});
    image_->held.clear();
  }
  accept.image_pages = image_->held.count();
  accept.image_key = image_->key;
  for (const vmm::PageRange& range : image_->held.ranges()) target.written.put(range);
  if (target.collapser) target.collapser->exclude(image_->held);
}

asio::awaitable<void> ReturnedImage::send(std::shared_ptr<net::Connection> link,
                                          wire::Accept accept) {
  if (accept.image_pages == 0) {
    image_.reset();
    co_return;
  }
  if (accept.image_by == Reuse::generation) {
    for (const vmm::PageRange& piece : wire::bitmap_pieces(image_->held)) {
      link->send(FrameType::held, wire::encode_missing(piece, image_->held));
    }
    hashes_.emplace(image_->held, std::move(image_->hashes));
  } else {
    for (const wire::Hashes& piece : wire::hashes_of(image_->held, image_->hashes)) {
      link->send(FrameType::hashes, wire::encode_hashes(piece));
      co_await link->drained();
    }
  }
  image_->hashes = {};
}

void ReturnedImage::drop() {
  hashes_.reset();
  image_.reset();
}

wire::Bytes ReturnedImage::compare(const wire::Hashes& theirs) {
  if (theirs.stretch().first < compared_) throw wire::ProtocolError("the hashes are out of order");
  compared_ = theirs.stretch().end();
  return wire::encode_missing(wire::bitmap_piece_around(theirs.stretch()),
                              hashes_->same(theirs.ranges, theirs.hashes));
}

void ReturnedImage::copy(std::span<const Copy> copies, PageTarget& target) {
  vmm::GuestMemory& memory = target.memory;
  copies_over_ = copies.empty();
  for (const Copy& copy : copies) pages_copied_ += copy.count;
  if (pages_copied_ > memory.page_count()) {
    throw wire::ProtocolError("the source wants pages copied to more than once");
  }
  for (const Copy& copy : copies) {
    const auto from = memory.pages({copy.from, copy.count});
    memory.reserve({copy.from, copy.count});  // to read a hole takes room too
    memory.reserve({copy.to, copy.count});
    std::memcpy(memory.pages({copy.to, copy.count}).data(), from.data(), from.size());
    target.written.put(vmm::PageRange{copy.to, copy.count});
  }
}

}  // namespace migration::destination

#include <fmt/format.h>

#include "migration/source/source.hpp"

/// The source after the handover, while the destination lacks pages: it serves them, and takes a
/// lost link up again until the last one has landed.
namespace migration {

namespace asio = boost::asio;
using net::Frame;
using wire::FrameType;

namespace {

constexpr const char* kOutOfOrder = "the destination's list of missing pages is out of order";

}  // namespace

bool SourceMigration::Source::serving() const {
  const Stage now = stage();
  return Side::serves(now) || (now == Stage::committed && owner_.hands_pages_over());
}

/// Until the destination has every page; throws when the link is lost.
asio::awaitable<void> SourceMigration::Source::serve() {
  journal_.write([this](MigrationReport& report) {
    report.outcome = Outcome::running;
    report.error = std::nullopt;
    report.owner = is_there() + "; pages that it lacks are still here";
  });
  post_copy_->push(running_.round);
  while (stage() == Stage::serving) {
    journal_.phase(fmt::format("{} missing", running_.missing));
    on_word(co_await link_.control().receive());
  }
}

void SourceMigration::Source::drop_channels() {
  if (post_copy_) post_copy_->hang_up();  // a channel may wait for pages to be asked for
  link_.drop_channels();
}

void SourceMigration::Source::drop_link() {
  drop_channels();
  link_.drop();
}

/// The destination lives and runs the VM. It tells what is missing now; what was on its way when
/// the link broke is so sent again.
asio::awaitable<void> SourceMigration::Source::take_up_link() {
  const std::uint64_t pages = machine_->memory().page_count();
  vmm::PageSet missing(pages);
  std::uint64_t told = 0;
  vmm::PageIndex next = 0;
  while (told < running_.missing && running_.missing <= pages) {
    const Frame frame = co_await link_.control().receive();
    if (frame.type != FrameType::missing) {
      on_word(frame);
      if (stage() != Stage::serving) co_return;
      continue;
    }
    const wire::Missing piece = wire::decode_missing(frame.payload, pages);
    if (piece.range.first < next) throw wire::ProtocolError(kOutOfOrder);
    next = piece.range.end();
    for (const vmm::PageRange& range : piece.pages) {
      told += range.count;
      missing.set(range);
    }
  }
  if (told != running_.missing || missing.count() != told) {
    throw wire::ProtocolError("the destination's list of missing pages is unsound");
  }
  co_await post_copy_->take_up(missing);
}

}  // namespace migration

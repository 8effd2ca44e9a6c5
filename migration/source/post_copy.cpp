#include "migration/source/post_copy.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "migration/wire/decode.hpp"
#include "migration/wire/encode.hpp"
#include "vmm/machine/initial_working_set.hpp"

namespace migration::source {

namespace asio = boost::asio;
using wire::FrameType;

namespace {

/// Pages that go with the state, as the guest will touch them in its first moments: 768 KiB.
constexpr std::size_t kInitialWorkingSet = 192;

}  // namespace

asio::awaitable<void> PostCopy::prepare() {
  parts_.journal.phase("switching");
  if (parts_.options.mode == Mode::post_copy && !parts_.pages.selective()) {
    const vmm::PageRange all{0, parts_.machine.memory().page_count()};
    for (const vmm::PageRange& piece : wire::range_pieces(all)) {
      parts_.link.send(FrameType::missing, wire::encode_all_missing(piece));
    }
    make_server(vmm::AtomicPageSet(all.count, true));
  } else {
    told_missing_ = parts_.take_to_send();
    tell_missing(told_missing_);
  }
  faults_ = co_await parts_.link.dial_faults();
  if (server_) serve_faults();
  co_await parts_.link.control().drained();
}

void PostCopy::make_server(vmm::AtomicPageSet missing) {
  server_ = std::make_unique<PageServer>(parts_.link.shared(), std::move(missing),
                                         parts_.options.prepaging, parts_.options.verify);
}

void PostCopy::tell_missing(const vmm::PageSet& missing) {
  std::vector<vmm::PageRange> pieces = wire::bitmap_pieces(missing);
  // One frame always goes: it is how the destination learns that pages may be missing.
  if (pieces.empty()) pieces.push_back({0, std::min<std::uint64_t>(64, missing.pages())});
  for (const vmm::PageRange& piece : pieces) {
    parts_.link.send(FrameType::missing, wire::encode_missing(piece, missing));
  }
}

void PostCopy::serve_faults() {
  server_->serve(std::move(*faults_), parts_.link.failure_of_now());
  faults_.reset();
}

/// What else became dirty.
std::uint64_t PostCopy::take_rest() {
  if (!server_) {
    vmm::PageSet missing = parts_.machine.dirty_log().read();
    missing |= told_missing_;
    vmm::PageSet news = missing;
    news -= std::exchange(told_missing_, missing);
    if (!news.empty()) tell_missing(news);
    resent_before_ = parts_.link.pages_sent() - parts_.pages.sent() + parts_.pages.sent_of(missing);
    handed_over_ = missing.count();
    if (parts_.pages.selective()) parts_.journal.must_travel(*handed_over_);
    make_server(vmm::AtomicPageSet(missing));
    serve_faults();
    parts_.pages.missing(missing);
  }
  parts_.journal.reached(Journal::Moment::landed);
  return kInitialWorkingSet;
}

asio::awaitable<void> PostCopy::send_rest(const std::function<void()>& all_told) {
  if (handed_over_ && parts_.options.verify) co_await parts_.send_digests(&told_missing_);
  all_told();
  co_await parts_.link.control().drained();  // the destination restores the state meanwhile
  server_->send_now(vmm::initial_working_set(parts_.machine, kInitialWorkingSet));
}

MemoryTransfer::LastWord PostCopy::last_word() const { return {FrameType::post_copy, rounds_}; }

std::optional<Journal::UnderWay> PostCopy::under_way() const {
  if (!server_) return std::nullopt;
  const PageServer::Counts counts = server_->counts();
  return Journal::UnderWay{handed_over_, counts.demand + counts.pushed - server_->sent_again()};
}

void PostCopy::push(std::uint32_t round) { parts_.link.start(server_->round(round)); }

asio::awaitable<void> PostCopy::take_up(const vmm::PageSet& missing) {
  server_->reset(missing);
  faults_ = co_await parts_.link.dial_faults();
  serve_faults();
  co_await parts_.link.open_channels();
}

void PostCopy::hang_up() {
  if (server_) server_->hang_up();
}

void PostCopy::set(Prepaging prepaging) {
  if (server_) server_->set(prepaging);
}

void PostCopy::count(MigrationReport& report) const {
  if (!server_) return;
  const PageServer::Counts counts = server_->counts();
  report.wire_bytes += server_->bytes_sent();
  report.wire_bytes_back += server_->bytes_received();
  report.pages.demand = counts.demand;
  report.pages.pushed = counts.pushed;
  report.pages.resent = resent_before_ + server_->sent_again();
}

}  // namespace migration::source

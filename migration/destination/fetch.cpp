#include "migration/destination/fetch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <system_error>
#include <utility>

namespace migration::destination {

namespace asio = boost::asio;

namespace {

/// With so much room, or all that is missing, pages are taken again.
constexpr std::uint64_t kRoomToGoOn = std::uint64_t{1} << 20;

}  // namespace

Fetch::Fetch(asio::io_context& context, std::chrono::milliseconds timeout,
             std::shared_ptr<const ImageStore> store, Callbacks callbacks)
    : context_(context),
      timeout_(timeout),
      store_(std::move(store)),
      callbacks_(std::move(callbacks)) {}

Fetch::~Fetch() = default;

std::string Fetch::open_userfault() {
  try {
    userfault_ = std::make_shared<const vmm::Userfault>();
    return {};
  } catch (const std::system_error& error) {
    return error.what();
  }
}

std::shared_ptr<const vmm::Userfault> Fetch::start(vmm::GuestMemory& memory, bool digests,
                                                   bool empty) {
  PageFetcher::Callbacks callbacks;
  callbacks.complete = [this](bool file_again) {
    asio::post(context_, [this, file_again] { callbacks_.complete(file_again); });
  };
  callbacks.failed = [this](std::exception_ptr failure) {
    // The receiver's thread may be waiting for the very pages that now do not come.
    if (loading_) fetcher_->abandon();
    asio::post(context_, [this, connection = connection_.load(), failure] {
      connection_lost(connection, failure);
    });
  };
  ram_pages_ = memory.page_count();
  auto fetcher = std::make_unique<PageFetcher>(memory, userfault_, empty ? cover(memory) : nullptr,
                                               digests, timeout_, callbacks);
  {
    const vmm::Lock lock(mutex_);
    fetcher_ = std::move(fetcher);
  }
  return std::exchange(userfault_, nullptr);
}

/// A file of which the modes that begin with rounds, or an image, have filled a part already is
/// waited for as it is.
std::unique_ptr<FileOverlay> Fetch::cover(vmm::GuestMemory& memory) const {
  if (memory.file() < 0 || !userfault_->can_protect()) return nullptr;
  try {
    return std::make_unique<FileOverlay>(memory, userfault_);
  } catch (const std::system_error&) {
    return nullptr;  // it takes longer without
  }
}

void Fetch::on_missing(const wire::Missing& told, bool untouched) {
  // A frame of 8 bytes may tell about all of RAM, which takes time to look through.
  pages_told_ += told.range.count;
  if (pages_told_ > wire::kMaxTimesMissing * ram_pages_) {
    throw wire::ProtocolError("the source tells again and again which pages are missing");
  }
  fetcher_->expect(told.pages, untouched);
}

void Fetch::on_post_copy() {
  {
    const vmm::Lock lock(mutex_);
    post_copy_ = true;
  }
  check_room();
  fetcher_->told_all();
  connect_if_told();
}

void Fetch::connect(net::Socket socket) {
  socket_ = std::move(socket);
  connect_if_told();
}

void Fetch::connect_if_told() {
  if (!post_copy_ || !socket_) return;
  fetcher_->connect(std::move(*socket_));
  socket_.reset();
  connected_ = true;
}

void Fetch::connection_lost(unsigned connection, std::exception_ptr failure) {
  if (!fetcher_ || connection != connection_) return;
  connected_ = false;
  callbacks_.lost(std::move(failure));
}

void Fetch::disconnect() {
  if (fetcher_) fetcher_->disconnect();
  ++connection_;
  socket_.reset();
  connected_ = false;
}

bool Fetch::begin_loading() {
  loading_ = post_copy_;
  return !post_copy_ || fetcher_->connected();
}

bool Fetch::end_loading() {
  loading_ = false;
  return !post_copy_ || !fetcher_->abandoned();
}

void Fetch::abandon() {
  if (fetcher_) fetcher_->abandon();
}

LatencyHistogram Fetch::latencies() const { return fetcher_ ? fetcher_->latencies() : latencies_; }

void Fetch::finish() {
  socket_.reset();
  std::unique_ptr<PageFetcher> fetcher;
  const vmm::Lock lock(mutex_);
  latencies_ = fetcher_->latencies();
  fetcher = std::move(fetcher_);
}

/// The VM cannot go back once it runs here, and would wait for pages that find no room.
void Fetch::check_room() const {
  if (!store_ || !fetcher_->fills_file()) return;
  const std::uint64_t bytes = fetcher_->missing() * vmm::kPageSize;
  if (store_->has_room_for(bytes)) return;
  throw std::system_error(
      ENOSPC, std::generic_category(),
      fmt::format("others have filled the image store {}, which has no room for {} KiB of the VM's "
                  "pages that are still at the source",
                  store_->path(), bytes / 1024));
}

bool Fetch::has_room() const {
  if (!store_ || !fetcher_->fills_file()) return true;
  return store_->has_room_for(std::min(fetcher_->missing() * vmm::kPageSize, kRoomToGoOn));
}

void Fetch::set_waits_for_room(bool waits) {
  const vmm::Lock lock(mutex_);
  waits_for_room_ = waits;
}

std::optional<Fetch::Status> Fetch::status() const {
  const vmm::Lock lock(mutex_);
  if (fetcher_) {
    return Status{.missing = fetcher_->missing(),
                  .latencies = fetcher_->latencies(),
                  .waits_for_room = waits_for_room_};
  }
  if (!post_copy_) return std::nullopt;
  return Status{.latencies = latencies_};
}

}  // namespace migration::destination

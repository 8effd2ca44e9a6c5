#include <fmt/format.h>

#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "migration/reuse/image_store.hpp"
#include "migration/source/source.hpp"
#include "vmm/machine/machine_config.hpp"

/// The source's part of memory reuse: what need not be sent, what the guest writes often, and the
/// image that is kept.
namespace migration {

namespace asio = boost::asio;

namespace {

/// Post-copy has no rounds that tell which pages the guest writes often: it looks so many times, at
/// this interval, before it stops the guest (Zhong 2014: history at a fixed interval).
constexpr unsigned kSamples = 4;
constexpr std::chrono::milliseconds kSampleTime{25};

}  // namespace

asio::awaitable<void> SourceMigration::Source::compare(Comparison& comparison) {
  journal_.phase("comparing with the image there");
  const auto& since = options_.tracked_since;
  Comparison::Found found = co_await comparison.compare(since ? &since->changed : nullptr);
  pages_.compared(std::move(found.same), std::move(found.copied), std::move(found.must_send));
}

/// Which pages the guest writes often, before it is stopped for post-copy.
asio::awaitable<void> SourceMigration::Source::sample_history() {
  journal_.phase("watching what the guest writes");
  vmm::DirtyLog& log = machine_->dirty_log();
  if (!log.active()) log.start();
  const vmm::PageRange all{0, machine_->memory().page_count()};
  asio::steady_timer timer(context_);
  for (unsigned sample = 0; sample < kSamples; ++sample) {
    // Only what was seen is cleared: a page that is written in between stays in the log.
    const vmm::PageSet before = log.read();
    if (pages_.selective()) pages_.must_send(before);
    log.clear(before, all);
    timer.expires_after(kSampleTime);
    co_await timer.async_wait(asio::use_awaitable);
    parts().check_guest();
    pages_.written(log.read());
  }
}

/// The VM runs at the destination: RAM here becomes the kept image.
void SourceMigration::Source::keep_image() {
  const vmm::MachineConfig& config = machine_->config();
  const std::uint64_t pages = machine_->memory().page_count();
  try {
    // Those that were never touched are zero, and come back as such without being held. Those that
    // were left out are zero there, and not here.
    vmm::PageSet held(pages);
    machine_->memory().add_populated({0, pages}, held);
    held -= pages_.hot();
    held -= pages_.free();
    ImageStore::Kept kept = options_.keep_in->keep({config.id, config.name, link_.token(), key_},
                                                   machine_->memory(), held);
    keeper_ = std::make_unique<ImageKeeper>(
        context_,
        ImageKeeper::Image{options_.keep_in, config.id, link_.token(),
                           HeldHashes(std::move(held), std::move(kept.hashes))},
        ImageKeeper::Peer{options_.to, accept_.incarnation, options_.timeout}, callbacks_.message);
    journal_.write([&](MigrationReport& report) { report.kept_image = {kept.pages, kept.bytes}; });
  } catch (const std::exception& error) {
    callbacks_.message(fmt::format("the image of the VM is not kept: {}", error.what()));
    journal_.write([&](MigrationReport& report) { report.kept_image.error = error.what(); });
  }
}

}  // namespace migration

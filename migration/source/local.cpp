#include "migration/source/local.hpp"

namespace migration::source {

namespace asio = boost::asio;
using Side = vmm::RamClaim::Side;

Local::Local(const Parts& parts) : parts_(parts), claim_(parts.machine.memory().claim()) {
  if (claim_) claim_->open();
}

std::string Local::why_not() const {
  if (parts_.options.to.kind != Address::Kind::unix_socket) {
    return "that needs a destination on this host, at a unix: address";
  }
  if (!claim_) return "the VM has not been started with --memory-backing shared";
  if (parts_.machine.memory().file() < 0) return "a part of it is not shared memory any more";
  if (parts_.options.keep_image) return "no image of it can be kept then";
  return {};
}

void Local::offer() { parts_.link.control().attach(parts_.machine.memory().file()); }

bool Local::may_run() { return !claim_ || claim_->take(Side::source); }

bool Local::ran_there() const { return claim_ && claim_->is_of(Side::destination); }

asio::awaitable<void> Local::send_rest(const std::function<void()>& all_told) {
  all_told();
  parts_.journal.reached(Journal::Moment::landed);
  parts_.journal.write(
      [](MigrationReport& report) { report.pages.handed_over = report.pages.total; });
  co_return;
}

}  // namespace migration::source

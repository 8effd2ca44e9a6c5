#include "ferry/leaving.hpp"

#include <fmt/format.h>

#include <cassert>

namespace ferry {

using migration::MigrationReport;
using migration::Outcome;

std::string_view state_of(const Leaving& vm) {
  switch (vm.outcome) {
    case Outcome::in_doubt: return "in-doubt";
    case Outcome::completed: return "gone";
    default: return "migrating";
  }
}

std::string why_not(std::string_view what, const Leaving& vm) {
  if (vm.outcome == Outcome::in_doubt) {
    return fmt::format(
        "cannot {}: who runs the VM is in doubt. See 'ferry info'; 'ferry resume --force' runs it "
        "here",
        what);
  }
  if (vm.serving) {
    return fmt::format(
        "cannot {}: the VM is elsewhere by now, and this process only serves the pages that it "
        "lacks there",
        what);
  }
  return fmt::format(
      "cannot {} while the VM is being migrated: wait for the migration's end, or 'ferry cancel' "
      "it",
      what);
}

std::string why_no_stop(const Leaving& vm) {
  return vm.serving ? "cannot stop: the VM is elsewhere by now and lacks pages that are here. This "
                      "process ends by itself once they have gone"
                    : "cannot stop: the VM is just being handed over. See 'ferry info' for what "
                      "comes of it";
}

EndOfLeaving end_of(const Leaving& vm, bool again) {
  if (again || (vm.outcome == Outcome::in_doubt && !vm.serving)) return EndOfLeaving::now;
  if (vm.outcome == Outcome::completed) return EndOfLeaving::image_is_kept;
  return vm.serving ? EndOfLeaving::pages_have_gone : EndOfLeaving::cancelled;
}

std::string what_end_waits_for(EndOfLeaving end, bool cancelled) {
  switch (end) {
    case EndOfLeaving::now: break;
    case EndOfLeaving::image_is_kept:
      return "the VM has moved: this process ends once its image is kept or given up";
    case EndOfLeaving::pages_have_gone:
      return "the VM runs elsewhere and lacks pages that are here: this process ends once they "
             "have gone. Another signal or Ctrl-A X ends it now, and with it that VM";
    case EndOfLeaving::cancelled:
      return cancelled ? "cancels the migration, then ends with the VM. Another signal or Ctrl-A X "
                         "does not wait for the other side"
                       : "the VM is being handed over: this process ends once that is settled. "
                         "Another signal or Ctrl-A X does not wait, and may end the VM";
  }
  assert(false);
  return {};
}

MigrationReport report_of_sudden_end(MigrationReport report, bool serving, bool cancelled) {
  report.error = "the process that had the VM was made to end";
  if (serving) {
    report.owner = "the VM ran elsewhere and lacks pages that were here alone: it is lost";
    report.outcome = Outcome::in_doubt;
  } else if (cancelled) {
    report.owner =
        "the VM has ended with this process; where it was to go, it may wait, paused, to be "
        "stopped";
    report.outcome = Outcome::failed;
  } else {
    report.owner = "unless the VM runs at the other side, it is lost";
    report.outcome = Outcome::in_doubt;
  }
  return report;
}

}  // namespace ferry

#include "migration/model/run.hpp"

#include <chrono>

#include "migration/model/post_copy.hpp"
#include "migration/model/pre_copy.hpp"

namespace migration::model {

namespace {

class Migration {
 public:
  Migration(const Scenario& scenario, const std::stop_token& stop)
      : scenario_(scenario), copying_(scenario, stop), pre_copy_(scenario, copying_) {}

  Outcome run() {
    copying_.pass(scenario_.hosts.begin_seconds);
    copying_.pass_round_trip();
    const Mode mode = scenario_.settings.mode;
    if (mode != Mode::post_copy && mode != Mode::stop_and_copy) pre_copy_.run();
    const vmm::PageSet missing = hand_over(mode == Mode::post_copy || pre_copy_.switched());
    outcome_.handover_seconds = copying_.seconds();
    bring(missing);
    outcome_.total_seconds = copying_.seconds();
    account();
    return std::move(outcome_);
  }

 private:
  /// The pages that are missing then.
  [[nodiscard]] vmm::PageSet hand_over(bool post_copy) {
    const Hosts& hosts = scenario_.hosts;
    if (post_copy) {
      copying_.pass(hosts.switch_seconds);
      copying_.pass_round_trip();
    }
    const double start = copying_.seconds();
    copying_.pass(hosts.pause_seconds);
    copying_.stop_guest();
    copying_.pass(hosts.save_seconds);
    copying_.send_bytes(scenario_.guest.state_bytes);
    vmm::PageSet missing(copying_.guest().pages());
    if (post_copy) {
      missing =
          scenario_.settings.mode == Mode::post_copy ? all_that_differs() : pre_copy_.take_rest();
    } else {
      pre_copy_.send_rest();
    }
    outcome_.different = copying_.different(missing);
    // The destination restores while the word that all landed travels; then `commit` and its
    // answer.
    copying_.pass(hosts.restore_seconds);
    copying_.pass_round_trip();
    outcome_.downtime_seconds = copying_.seconds() - start;
    return missing;
  }

  [[nodiscard]] vmm::PageSet all_that_differs() const {
    if (scenario_.changed) return *scenario_.changed;
    vmm::PageSet all(copying_.guest().pages());
    all.set(vmm::PageRange{0, all.pages()});
    return all;
  }

  void bring(const vmm::PageSet& missing) {
    if (missing.empty()) return;
    outcome_.missing = missing.count();
    copying_.start_guest();
    const PostCopyCounts counts = bring_missing(scenario_, copying_, missing);
    copying_.pass_round_trip();
    outcome_.demand = counts.demand;
    outcome_.pushed = counts.pushed;
    outcome_.waited_seconds = counts.waited_seconds;
  }

  void account() {
    outcome_.why = pre_copy_.why();
    outcome_.switched = pre_copy_.switched();
    outcome_.predicted_downtime_seconds = pre_copy_.predicted_downtime();
    outcome_.rounds = pre_copy_.rounds();
    outcome_.held_back = pre_copy_.held_back();
    outcome_.needless = pre_copy_.needless();
    outcome_.wire_bytes = copying_.sent().wire_bytes;
    switch (scenario_.settings.mode) {
      case Mode::pre_copy:
      case Mode::automatic:
        // Also in the last round that is permitted, after which it would stop whatever the rest.
        outcome_.converges =
            !outcome_.switched &&
            outcome_.predicted_downtime_seconds <=
                std::chrono::duration<double>(scenario_.settings.max_downtime).count();
        break;
      case Mode::post_copy:
      case Mode::hybrid:
      case Mode::local:
      case Mode::stop_and_copy: outcome_.converges = true; break;
    }
  }

  const Scenario& scenario_;
  Copying copying_;
  PreCopy pre_copy_;
  Outcome outcome_;
};

}  // namespace

Outcome run(const Scenario& scenario, const std::stop_token& stop) {
  return Migration(scenario, stop).run();
}

}  // namespace migration::model

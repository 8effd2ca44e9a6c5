#pragma once

#include <array>
#include <bitset>

#include "tests/migration/handover/world.hpp"

namespace migration::handover::model {

template <class Side>
using AdviceTable = std::array<Advice, Side::kStages>;

template <class Side>
[[nodiscard]] AdviceTable<Side> advice_of() {
  AdviceTable<Side> all;
  for (std::size_t stage = 0; stage < all.size(); ++stage) {
    all.at(stage) = Side::advice(static_cast<typename Side::Stage>(stage));
  }
  return all;
}

/// The rules and words that are explored: those of the program, or some that were tampered with.
struct Tables {
  RuleTable<SourceSide> source = SourceSide::table();
  RuleTable<DestinationSide> destination = DestinationSide::table();
  AdviceTable<SourceSide> source_advice = advice_of<SourceSide>();
  AdviceTable<DestinationSide> destination_advice = advice_of<DestinationSide>();

  [[nodiscard]] const Advice& advice(SourceSide::Stage stage) const {
    return source_advice.at(static_cast<std::size_t>(stage));
  }
  [[nodiscard]] const Advice& advice(DestinationSide::Stage stage) const {
    return destination_advice.at(static_cast<std::size_t>(stage));
  }
};

/// Which events have come in which stages.
struct Coverage {
  std::array<std::bitset<SourceSide::kEvents>, SourceSide::kStages> source;
  std::array<std::bitset<DestinationSide::kEvents>, DestinationSide::kStages> destination;
};

/// It has been told to run the VM, and will say whether it could.
[[nodiscard]] bool is_starting(DestinationStage stage);

/// A world that is being changed by one thing that happens: an event is given to a side, and what
/// its rules say is done.
class Step {
 public:
  Step(const Tables& tables, const World& from, Coverage* coverage = nullptr)
      : tables_(&tables), coverage_(coverage), world_(from) {}

  [[nodiscard]] World& world() { return world_; }
  /// What must never happen and has; null: nothing.
  [[nodiscard]] const char* violation() const { return violation_; }

  void source(SourceEvent event);
  /// `link`: by which the event came; null: by none.
  void destination(DestinationEvent event, Link* link = nullptr);

  /// A side that has been told to run the VM does so.
  void destination_started();
  void destination_cannot_start();
  void close_by_source(Link& link);
  void close_by_destination(Link& link);
  void kill_source();
  void kill_destination();
  /// The VM runs, if the source has its disk or can have it.
  void run_at_source();

 private:
  void act_at_source(Action action);
  void act_at_destination(Action action, Link* link);
  [[nodiscard]] bool source_has_disk();
  void free_disk();
  void send(ToDestination frame);
  void send(ToSource frame);
  void close_earlier(const Link* but);
  void out_of_turn();
  void gives_up(DestinationEvent event);
  void end_destination(DestinationEvent event);
  void violate(const char* what) {
    if (violation_ == nullptr) violation_ = what;
  }

  const Tables* tables_;
  Coverage* coverage_;  ///< null: nobody wants to know
  World world_;
  const char* violation_ = nullptr;
};

}  // namespace migration::handover::model

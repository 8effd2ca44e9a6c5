#pragma once

#include <utility>
#include <vector>

#include "tests/migration/handover/moves.hpp"

namespace migration::handover::model {

/// Gathers the moves that one world has.
class Mover::Adder {
 public:
  Adder(const Mover& mover, const World& from, std::vector<Move>& moves)
      : mover_(&mover), from_(&from), moves_(&moves) {}

  [[nodiscard]] const World& from() const { return *from_; }

  /// A move that costs nothing: what happens by itself when nothing goes wrong.
  template <class Change>
  void free(Label label, Change change) const {
    add(label, false, change);
  }
  /// One that takes a fault.
  template <class Change>
  void fault(Label label, Change change) const {
    if (from_->faults_left > 0) add(label, true, change);
  }
  /// A fault, but when `cause` makes it come by itself.
  template <class Change>
  void fault_unless(bool cause, Label label, Change change) const {
    cause ? free(label, change) : fault(label, change);
  }

 private:
  template <class Change>
  void add(Label label, bool fault, Change change) const {
    Step step(*mover_->tables_, *from_, mover_->coverage_);
    if (fault) --step.world().faults_left;
    change(step);
    step.world().forget_links();
    moves_->push_back({step.world(), label, fault, step.violation()});
  }

  const Mover* mover_;
  const World* from_;
  std::vector<Move>* moves_;
};

}  // namespace migration::handover::model

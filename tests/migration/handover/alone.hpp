#pragma once

#include <array>
#include <cstddef>
#include <unordered_set>
#include <vector>

#include "tests/migration/handover/moves.hpp"

namespace migration::handover::model {

/// What comes of one side when the other one is dead, or hangs and sends signs of life: no stage is
/// a dead end for a side that has the VM, nor does any have it wait for ever for an answer.
class Alone {
 public:
  explicit Alone(const Tables& tables) : mover_(tables, Bounds{}), tables_(&tables) {}
  /// Null: all is well.
  [[nodiscard]] const char* judge(const World& world);

 private:
  struct Goal;
  [[nodiscard]] const char* judge_source(const World& world);
  [[nodiscard]] const char* judge_destination(const World& world);
  [[nodiscard]] static bool is_skipped(const Goal& goal, Label label);
  [[nodiscard]] bool comes_to(const Goal& goal, const World& from);

  struct Hash {
    std::size_t operator()(const World& world) const { return world.hash(); }
  };
  static constexpr std::size_t kGoals = 8;

  Mover mover_;
  const Tables* tables_;
  std::array<std::unordered_set<World, Hash>, kGoals> known_;  ///< these come to the goal
  std::vector<Move> moves_;
};

}  // namespace migration::handover::model

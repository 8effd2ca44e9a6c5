#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <set>
#include <string>

#include "tests/migration/handover/mutants.hpp"

namespace migration::handover::model {
namespace {

constexpr Bounds kBounds{3, 2, false};

/// Those that nothing is wrong with; why is said above them in the file.
std::set<std::string> explained() {
  std::ifstream file(HANDOVER_TESTS "/equivalent_mutants.txt");
  std::set<std::string> all;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line.front() != '#') all.insert(line);
  }
  return all;
}

/// One in so many is tried, to save time. FERRY_EACH_MUTANT: each is.
std::size_t stride() { return std::getenv("FERRY_EACH_MUTANT") == nullptr ? 4 : 1; }

TEST(HandoverSimulation, FindsEveryChangeOfARuleOrItIsExplained) {
  const std::set<std::string> harmless = explained();
  ASSERT_FALSE(harmless.empty());
  const std::vector<Mutant> all = mutants(what_happens(kBounds));
  std::size_t tried = 0;
  std::size_t survivors = 0;
  std::set<std::string> names;
  for (std::size_t at = 0; at < all.size(); ++at) {
    EXPECT_TRUE(names.insert(all[at].what).second) << "twice: " << all[at].what;
    if (at % stride() != 0) continue;
    ++tried;
    const bool survived = survives(all[at], kBounds);
    survivors += survived ? 1 : 0;
    EXPECT_EQ(survived, harmless.contains(all[at].what))
        << all[at].what << (survived ? ": is not found, and nobody says why" : ": is found");
  }
  for (const std::string& name : harmless) EXPECT_TRUE(names.contains(name)) << "is none: " << name;
  std::cout << all.size() << " mutants, " << tried << " of them tried, " << survivors
            << " survive\n";
}

}  // namespace
}  // namespace migration::handover::model

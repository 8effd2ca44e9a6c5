#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <span>
#include <string>

#include "tests/migration/handover/known_faults.hpp"
#include "tests/migration/handover/mutants.hpp"
#include "tests/migration/handover/table_text.hpp"

/// The program of scripts/explore-handover.
namespace {

using namespace migration::handover::model;  // NOLINT(google-build-using-namespace)

bool print(const char* what, const Exploration& found) {
  std::printf("%s: %zu states, %zu transitions\n", what, found.states, found.transitions);
  if (found.wrong) std::printf("%s:\n%s", found.wrong->what.c_str(), found.wrong->trace.c_str());
  return !found.wrong;
}

bool explore_all(const Bounds& bounds) {
  bool all = true;
  for (const Bounds& each : kinds_of(bounds)) {
    const char* const name = each.post_copy ? "post-copy" : "pre-copy";
    all = print(each.disk ? (std::string(name) + " with a disk").c_str() : name,
                explore(Tables{}, each)) &&
          all;
  }
  return all;
}

void print_known_faults() {
  for (const KnownFault& fault : known_faults()) {
    for (const bool post_copy : {false, true}) {
      Bounds bounds{3, 2, post_copy};
      bounds.owners_only = fault.owners != nullptr;
      const Exploration found = explore(fault.tables, bounds);
      if (found.wrong) {
        std::printf("%s: %s\n%s\n", fault.name, found.wrong->what.c_str(),
                    found.wrong->trace.c_str());
        break;
      }
    }
  }
}

void print_survivors(const Bounds& bounds) {
  const std::vector<Mutant> all = mutants(what_happens(bounds));
  std::size_t survivors = 0;
  for (const Mutant& mutant : all) {
    if (!survives(mutant, bounds)) continue;
    std::puts(mutant.what.c_str());
    ++survivors;
  }
  std::fprintf(stderr, "%zu mutants, %zu survive\n", all.size(), survivors);
}

int run(std::span<char*> arguments) {
  const char* command = arguments.size() > 1 ? arguments[1] : "";
  Bounds bounds;
  if (arguments.size() > 2) bounds.faults = static_cast<std::uint8_t>(std::atoi(arguments[2]));
  if (arguments.size() > 3) bounds.links = static_cast<std::uint8_t>(std::atoi(arguments[3]));
  if (bounds.faults > kMostFaults || bounds.links < 1 || bounds.links > World::kLinks) {
    std::fprintf(stderr, "at most %d faults, and 1 to %zu connections\n", int{kMostFaults},
                 World::kLinks);
    return 64;
  }
  if (std::strcmp(command, "states") == 0) return explore_all(bounds) ? 0 : 1;
  if (std::strcmp(command, "mutants") == 0) {
    print_survivors(bounds);
  } else if (std::strcmp(command, "faults") == 0) {
    print_known_faults();
  } else if (std::strcmp(command, "tables") == 0) {
    std::fputs(tables_text().c_str(), stdout);
  } else {
    return 64;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run({argv, static_cast<std::size_t>(argc)});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 70;
  }
}

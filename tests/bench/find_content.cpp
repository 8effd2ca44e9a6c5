// Measures what finding moved pages costs a source that is given the hashes of an image: building
// the index, looking up every page, and planning the copies. Hashing the pages comes on top. Prints
// a table, the median of the runs. Usage: content_bench [RUNS]

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

#include "migration/reuse/content_index.hpp"
#include "migration/reuse/copy_plan.hpp"

namespace migration {
namespace {

using Clock = std::chrono::steady_clock;
using Pages = std::vector<vmm::PageIndex>;

struct Times {
  double index = 0;
  double find = 0;
  double plan = 0;
};

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

std::vector<PageHash> random_hashes(std::uint64_t pages) {
  std::mt19937_64 random(1);
  std::vector<PageHash> hashes(pages);
  for (PageHash& hash : hashes) {
    for (std::byte& byte : hash) byte = static_cast<std::byte>(random());
  }
  return hashes;
}

/// `now`: whose content of the image each page has.
Times measure(const std::vector<PageHash>& image, const Pages& now) {
  vmm::PageSet held(image.size());
  held.set(vmm::PageRange{0, image.size()});
  std::vector<PageHash> hashes = image;
  Times times;
  auto start = Clock::now();
  const ContentIndex index(HeldHashes(std::move(held), std::move(hashes)));
  times.index = ms_since(start);
  start = Clock::now();
  std::vector<Copy> moved;
  for (vmm::PageIndex page = 0; page < now.size(); ++page) {
    const ContentIndex::Place place = index.find(page, image[now[page]]);
    if (place.page != now[page]) std::abort();
    if (place.match == ContentIndex::Match::elsewhere) moved.push_back({page, place.page, 1});
  }
  times.find = ms_since(start);
  start = Clock::now();
  const std::size_t wanted = moved.size();
  const CopyPlan plan = plan_copies(std::move(moved));
  times.plan = ms_since(start);
  std::uint64_t copied = plan.left_out.size();
  for (const Copy& copy : plan.copies) copied += copy.count;
  if (copied != wanted) std::abort();
  return times;
}

double median(std::vector<Times>& times, double Times::*what) {
  std::ranges::sort(times, {}, what);
  return times[times.size() / 2].*what;
}

void run(std::size_t runs) {
  fmt::print("| pages | moved | index, ms | look-ups, ms | plan, ms |\n|---|---|---|---|---|\n");
  for (const std::uint64_t pages : {std::uint64_t{1} << 18, std::uint64_t{1} << 22}) {
    const std::vector<PageHash> image = random_hashes(pages);
    const auto print = [&](std::string_view moved, const Pages& now) {
      std::vector<Times> times(runs);
      for (Times& one : times) one = measure(image, now);
      fmt::print("| {} | {} | {:.1f} | {:.1f} | {:.1f} |\n", pages, moved,
                 median(times, &Times::index), median(times, &Times::find),
                 median(times, &Times::plan));
    };
    Pages now(pages);
    for (vmm::PageIndex page = 0; page < pages; ++page) now[page] = page;
    print("none", now);
    std::rotate(now.begin(), now.begin() + 512, now.end());
    print("all, by 2 MiB", now);
    std::ranges::shuffle(now, std::mt19937_64(2));
    print("all, at random", now);
  }
}

}  // namespace
}  // namespace migration

int main(int argc, char** argv) {
  migration::run(argc > 1 ? static_cast<std::size_t>(std::max(1, std::atoi(argv[1]))) : 5);
}

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "migration/reuse/hash_pages.hpp"
#include "migration/reuse/image_store.hpp"

/// What it takes to look at every page of 1 GiB of RAM that is a file on a tmpfs: by the keyed hash
/// and by the digest, where the pages are mapped already and where the mapping is new, with one
/// processor and with all. Usage: hash_bench [RUNS]
namespace {

constexpr std::uint64_t kBytes = std::uint64_t{1} << 30;

double milliseconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void use_processors(const cpu_set_t& set) {
  if (::sched_setaffinity(0, sizeof(set), &set) < 0) std::abort();
}

}  // namespace

int main(int argc, char** argv) {
  const int runs = argc > 1 ? std::max(1, std::atoi(argv[1])) : 5;
  std::string directory = "/dev/shm/ferry-hash-XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr) std::abort();
  const migration::ImageStore store(directory);
  const migration::HashKey key = migration::random_hash_key();
  vmm::GuestMemory memory(kBytes, store.make_ram(kBytes));
  vmm::PageSet pages(memory.page_count());
  pages.set(vmm::PageRange{0, memory.page_count()});
  std::mt19937_64 random(1);
  for (vmm::PageIndex page = 0; page < memory.page_count(); ++page) {
    const auto bytes = memory.pages({page, 1});
    for (std::size_t at = 0; at < bytes.size(); at += 8) {
      const std::uint64_t value = random();
      std::memcpy(&bytes[at], &value, sizeof(value));
    }
  }
  struct Way {
    const char* name;
    std::function<void(const vmm::GuestMemory&)> look;
  };
  const Way ways[] = {
      {"keyed hash",
       [&](const auto& ram) { static_cast<void>(migration::hash_pages(ram, pages, pages, key)); }},
      {"digest",
       [&](const auto& ram) { static_cast<void>(migration::digest_pages(ram, pages, pages)); }},
  };
  cpu_set_t all;
  if (::sched_getaffinity(0, sizeof(all), &all) < 0) std::abort();
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(::sched_getcpu(), &one);
  fmt::print("{:12} {:>10} {:>12} {:>12}\n", "", "processors", "mapped, ms", "new, ms");
  for (const auto& [count, set] : {std::pair(1, one), std::pair(CPU_COUNT(&all), all)}) {
    use_processors(set);
    for (const Way& way : ways) {
      std::vector<double> mapped;
      std::vector<double> fresh;
      for (int run = 0; run < runs; ++run) {
        mapped.push_back(milliseconds([&] { way.look(memory); }));
        vmm::UniqueFd file(::dup(memory.file()));
        const vmm::GuestMemory again(kBytes, std::move(file));
        fresh.push_back(milliseconds([&] { way.look(again); }));
      }
      fmt::print("{:12} {:>10} {:12.0f} {:12.0f}\n", way.name, count, median(mapped),
                 median(fresh));
    }
  }
  std::filesystem::remove_all(directory);
}

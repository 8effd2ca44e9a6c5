#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <vector>

#include "migration/policy/push_order.hpp"
#include "vmm/memory/atomic_page_set.hpp"

namespace migration {

/// A post-copy migration as a discrete simulation: vCPUs touch pages at a rate, a link carries
/// pages one after another, those that were asked for before those that are pushed.
struct Simulation {
  std::uint64_t ram_pages = 65'536;
  double link = 9'000;       ///< pages per second
  double touches = 4'000;    ///< per second and vCPU, while it need not wait
  double round_trip = 500;   ///< us
  std::uint64_t chunk = 16;  ///< pages
  std::uint64_t ahead = 32;  ///< pushed pages that have been taken and not yet sent
};

/// The pages that a vCPU touches, one after another.
using Touches = std::vector<vmm::PageIndex>;

struct SimulatedOutcome {
  std::uint64_t faults = 0;       ///< pages that were asked for, neither landed nor on their way
  std::uint64_t working_set = 0;  ///< pages that the guest touches
  std::uint64_t proposals = 0;    ///< ranges pushed
  double guest_seconds = 0;       ///< until the last vCPU had touched all its pages
};

inline SimulatedOutcome simulate(const Simulation& with, Prepaging prepaging,
                                 const std::vector<Touches>& vcpus) {
  constexpr double kNever = 1e300;
  struct Vcpu {
    std::size_t done = 0;
    double ready = 0;  ///< us
    bool waits = false;
  };
  struct Request {
    double at;
    vmm::PageIndex page;
  };
  const double page_us = 1e6 / with.link;
  vmm::AtomicPageSet unsent(with.ram_pages, true);
  PushOrder order(prepaging, with.ram_pages);
  std::vector<double> lands(with.ram_pages, kNever);  // when
  std::vector<Vcpu> state(vcpus.size());
  std::deque<Request> requests;  // on their way to the source
  std::deque<vmm::PageIndex> asked, pushed;
  SimulatedOutcome outcome;
  std::vector<bool> touched(with.ram_pages);
  for (const Touches& touches : vcpus) {
    for (const vmm::PageIndex page : touches) touched[page] = true;
  }
  outcome.working_set = static_cast<std::uint64_t>(std::ranges::count(touched, true));

  // A step is the time of one page on the link.
  for (double now = 0;; now += page_us) {
    bool all_done = true;
    for (std::size_t i = 0; i < vcpus.size(); ++i) {
      Vcpu& vcpu = state[i];
      while (vcpu.done < vcpus[i].size() && vcpu.ready <= now) {
        const vmm::PageIndex page = vcpus[i][vcpu.done];
        if (lands[page] > now) {
          if (!vcpu.waits) {
            if (unsent.test(page)) ++outcome.faults;
            // The destination cannot tell a page that is on its way, and asks for it too.
            requests.push_back({vcpu.ready + with.round_trip / 2, page});
            vcpu.waits = true;
          }
          break;
        }
        if (vcpu.waits) vcpu.ready = std::max(vcpu.ready, lands[page]);
        vcpu.waits = false;
        vcpu.ready += 1e6 / with.touches;
        ++vcpu.done;
        outcome.guest_seconds = std::max(outcome.guest_seconds, vcpu.ready / 1e6);
      }
      all_done = all_done && vcpu.done == vcpus[i].size();
    }
    if (all_done) break;
    while (!requests.empty() && requests.front().at <= now) {
      const vmm::PageIndex page = requests.front().page;
      requests.pop_front();
      order.faulted(page);
      if (unsent.test_and_clear(page)) asked.push_back(page);
    }
    while (pushed.size() < with.ahead) {
      const auto range = order.next(unsent, with.chunk);
      if (!range) break;
      ++outcome.proposals;
      std::vector<vmm::PageRange> taken;
      unsent.extract(*range, taken);
      for (const vmm::PageRange& run : taken) {
        for (vmm::PageIndex page = run.first; page < run.end(); ++page) pushed.push_back(page);
      }
    }
    std::deque<vmm::PageIndex>& queue = asked.empty() ? pushed : asked;
    if (!queue.empty()) {
      lands[queue.front()] = now + page_us + with.round_trip / 2;
      queue.pop_front();
    }
  }
  return outcome;
}

}  // namespace migration

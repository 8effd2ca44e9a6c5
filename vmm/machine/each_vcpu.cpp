#include "vmm/machine/each_vcpu.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>
#include <vector>

namespace vmm {

namespace {

/// For fewer, waking a thread takes longer than it saves.
constexpr std::size_t kVcpusOfAThread = 2;

std::size_t helpers_for(std::size_t vcpus) {
  const std::size_t threads =
      std::min<std::size_t>(std::thread::hardware_concurrency(), vcpus / kVcpusOfAThread);
  return std::max<std::size_t>(threads, 1) - 1;
}

}  // namespace

void for_each_vcpu(std::span<const std::unique_ptr<Vcpu>> vcpus,
                   const std::function<void(std::size_t)>& work) {
  std::atomic<std::size_t> next = 0;
  std::vector<std::exception_ptr> failures(vcpus.size());
  const std::function<void()> take_some = [&] {
    for (std::size_t i = next++; i < vcpus.size(); i = next++) {
      try {
        work(i);
      } catch (...) {
        failures[i] = std::current_exception();
      }
    }
  };
  const auto helpers = vcpus.last(helpers_for(vcpus.size()));
  for (const auto& helper : helpers) helper->begin_errand(take_some);
  take_some();
  for (const auto& helper : helpers) helper->end_errand();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

}  // namespace vmm

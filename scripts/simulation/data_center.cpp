#include "data_center.hpp"

#include <algorithm>
#include <span>

#include "cpu_time.hpp"
#include "placement/cost.hpp"
#include "placement/order.hpp"
#include "placement/power_aware.hpp"

namespace study {

using placement::Fleet;
using placement::HostIndex;
using placement::Leg;
using placement::Vm;
using placement::VmIndex;

namespace {

/// The traces say nothing of memory: a guest is taken to write so many pages for each million
/// instructions, which is 10 000 a second for the largest one when busy.
constexpr double kPagesPerMillion = 4;

class Day {
 public:
  Day(Fleet fleet, const std::vector<Trace>& traces, const placement::Policy& policy,
      const Charge& charge)
      : fleet_(std::move(fleet)),
        traces_(traces),
        policy_(policy),
        charge_(charge),
        network_(fleet_.hosts),
        metrics_(fleet_) {
    for (VmIndex vm = 0; vm < fleet_.vms.size(); ++vm) trace_of_.push_back(vm % traces.size());
  }

  Figures run() {
    network_.run([this] {
      for (std::size_t sample = 0; sample < traces_.front().size(); ++sample) {
        const double start = static_cast<double>(sample) * kInterval;
        network_.sleep_until(start);
        take(sample);
        if (!charge_.none && sample > 0) carry_out(decide(), start + kInterval);
      }
      network_.sleep_until(static_cast<double>(traces_.front().size()) * kInterval);
    });
    Figures figures = metrics_.figures(network_.now());
    figures.policy_seconds = policy_seconds_;
    return figures;
  }

 private:
  /// Those that ask for nothing, now and at the next sample.
  void end_idle_vms(std::size_t sample) {
    std::size_t left = 0;
    for (VmIndex vm = 0; vm < fleet_.vms.size(); ++vm) {
      const Trace& trace = traces_[trace_of_[vm]];
      if (trace[sample] == 0 && trace[sample + 1] == 0) continue;
      if (left != vm) fleet_.vms[left] = std::move(fleet_.vms[vm]);
      trace_of_[left++] = trace_of_[vm];
    }
    fleet_.vms.resize(left);
    trace_of_.resize(left);
  }

  void take(std::size_t sample) {
    const bool has_next = sample + 1 < traces_.front().size();
    if (!charge_.vms_stay && sample > 0 && has_next) end_idle_vms(sample);
    for (VmIndex index = 0; index < fleet_.vms.size(); ++index) {
      Vm& vm = fleet_.vms[index];
      if (vm.cpu.size() == placement::kRecentSamples) vm.cpu.erase(vm.cpu.begin());
      vm.cpu.push_back(traces_[trace_of_[index]][sample]);
      vm.dirty_pages_per_s = kPagesPerMillion * vm.cpu.back() / 100 * vm.cpu_size;
    }
    metrics_.sampled(network_.now(), kInterval);
  }

  std::vector<HostIndex> decide() {
    const double start = cpu_seconds();
    const auto* published =
        charge_.published ? dynamic_cast<const placement::PowerAware*>(&policy_) : nullptr;
    std::vector<VmIndex> moved_on;
    std::vector<HostIndex> targets =
        published != nullptr ? published->place(fleet_, moved_on) : policy_.place(fleet_);
    policy_seconds_ += cpu_seconds() - start;
    for (const VmIndex vm : moved_on) metrics_.moved_on(static_cast<double>(fleet_.vms[vm].used));
    return targets;
  }

  /// Steps that would begin after the next sample are not made: there will be a better plan.
  void carry_out(const std::vector<HostIndex>& targets, double until) {
    if (charge_.published) {
      std::vector<Leg> all;
      for (VmIndex vm = 0; vm < targets.size(); ++vm) {
        if (targets[vm] != fleet_.vms[vm].host)
          all.push_back({vm, fleet_.vms[vm].host, targets[vm]});
      }
      move(all);
      return;
    }
    for (const auto& step : placement::order_moves(fleet_, targets).steps) {
      if (network_.now() >= until) return;
      move(step);
    }
  }

  void move(const std::vector<Leg>& legs) {
    std::vector<Transfer> transfers;
    std::vector<double> bytes;
    for (const Leg& leg : legs) {
      transfers.push_back(transfer_of(leg, bytes));
      metrics_.begins(network_.now(), leg.vm, leg.to);
    }
    network_.transfer(transfers, [&](std::size_t i) {
      const Leg& leg = legs[i];
      metrics_.ended(network_.now(), leg.vm, leg.from, leg.to, bytes[i]);
      Vm& vm = fleet_.vms[leg.vm];
      vm.host = leg.to;
      if (!charge_.reuse) return;
      std::erase(vm.kept_at, leg.to);
      vm.kept_at.push_back(leg.from);
    });
  }

  Transfer transfer_of(const Leg& leg, std::vector<double>& bytes) const {
    const Vm& vm = fleet_.vms[leg.vm];
    const double link = std::min(fleet_.hosts[leg.from].link, fleet_.hosts[leg.to].link);
    Transfer transfer{.from = leg.from, .to = leg.to, .bytes = 0, .seconds = 0};
    if (charge_.published) {
      bytes.push_back(static_cast<double>(vm.used));
      transfer.seconds = bytes.back() / (link / 2);
      return transfer;
    }
    const auto cost = placement::cost_of(vm, leg.to, charge_.mode, link);
    bytes.push_back(cost.bytes);
    transfer.bytes = cost.bytes;
    transfer.seconds = cost.seconds - cost.bytes / link;
    return transfer;
  }

  Fleet fleet_;
  std::vector<std::size_t> trace_of_;  ///< of each VM
  const std::vector<Trace>& traces_;
  const placement::Policy& policy_;
  const Charge charge_;
  Network network_;
  Metrics metrics_;
  double policy_seconds_ = 0;
};

}  // namespace

Figures simulate(Fleet fleet, const std::vector<Trace>& traces, const placement::Policy& policy,
                 const Charge& charge) {
  return Day(std::move(fleet), traces, policy, charge).run();
}

}  // namespace study

#include "metrics.hpp"

#include <algorithm>

namespace study {

using placement::HostIndex;
using placement::VmIndex;

namespace {

/// A migration's part of the CPU of the VM, and of its load that its destination has meanwhile.
constexpr double kDegraded = 0.1;
constexpr HostIndex kStays = ~HostIndex{0};
constexpr double kJoulesPerKwh = 3.6e6;
constexpr double kRounding = 1e-9;

}  // namespace

Metrics::Metrics(const placement::Fleet& fleet)
    : fleet_(fleet),
      hosts_(fleet.hosts.size()),
      going_to_(fleet.vms.size(), kStays),
      began_(fleet.vms.size(), 0) {}

double Metrics::asked(VmIndex vm) const {
  const placement::Vm& guest = fleet_.vms[vm];
  return guest.cpu.empty() ? 0 : guest.cpu.back() / 100 * guest.cpu_size;
}

double Metrics::load(VmIndex vm, HostIndex host) const {
  return std::min(asked(vm), fleet_.hosts[host].core);
}

bool Metrics::full(HostIndex host) const {
  return hosts_[host].load >= fleet_.hosts[host].cpu * (1 - kRounding);
}

void Metrics::settle(double now, HostIndex host) {
  Account& account = hosts_[host];
  const double seconds = now - account.since;
  account.since = now;
  if (account.vms == 0) return;
  account.joules += seconds * watts(fleet_.hosts[host], account.load);
  account.on_seconds += seconds;
  if (full(host)) account.full_seconds += seconds;
}

void Metrics::sampled(double now, double seconds) {
  for (HostIndex host = 0; host < hosts_.size(); ++host) {
    settle(now, host);
    hosts_[host].load = 0;
    hosts_[host].vms = 0;
  }
  for (VmIndex vm = 0; vm < fleet_.vms.size(); ++vm) {
    const HostIndex host = fleet_.vms[vm].host;
    asked_ += asked(vm) * seconds;
    hosts_[host].load += load(vm, host);
    ++hosts_[host].vms;
    if (going_to_[vm] == kStays) continue;
    hosts_[going_to_[vm]].load += kDegraded * load(vm, going_to_[vm]);
    ++hosts_[going_to_[vm]].vms;
  }
  for (HostIndex host = 0; host < hosts_.size(); ++host) {
    if (hosts_[host].vms > 0 && full(host)) ++figures_.overloads;
  }
}

void Metrics::begins(double now, VmIndex vm, HostIndex to) {
  settle(now, to);
  hosts_[to].load += kDegraded * load(vm, to);
  ++hosts_[to].vms;
  going_to_[vm] = to;
  began_[vm] = now;
}

void Metrics::ended(double now, VmIndex vm, HostIndex from, HostIndex to, double bytes) {
  settle(now, from);
  settle(now, to);
  hosts_[from].load = std::max(0.0, hosts_[from].load - load(vm, from));
  --hosts_[from].vms;
  hosts_[to].load += (1 - kDegraded) * load(vm, to);
  going_to_[vm] = kStays;
  degraded_ += kDegraded * asked(vm) * (now - began_[vm]);
  figures_.bytes += bytes;
  ++figures_.migrations;
}

void Metrics::moved_on(double bytes) {
  figures_.bytes += bytes;
  ++figures_.migrations;
}

Figures Metrics::figures(double now) {
  Figures figures = figures_;
  double joules = 0;
  double on = 0;
  double full = 0;
  for (HostIndex host = 0; host < hosts_.size(); ++host) {
    settle(now, host);
    joules += hosts_[host].joules;
    on += hosts_[host].on_seconds;
    full += hosts_[host].full_seconds;
  }
  figures.energy_kwh = joules / kJoulesPerKwh;
  figures.hosts_on = now > 0 ? on / now : 0;
  figures.slatah = on > 0 ? full / on : 0;
  figures.pdm = asked_ > 0 ? degraded_ / asked_ : 0;
  return figures;
}

}  // namespace study

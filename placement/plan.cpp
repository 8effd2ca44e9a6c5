#include "placement/plan.hpp"

#include <algorithm>
#include <numeric>

#include "placement/loads.hpp"

namespace placement {

namespace {

Figures figures(const Fleet& fleet, const Loads& loads) {
  Figures figures;
  double size = 0;
  for (HostIndex host = 0; host < fleet.hosts.size(); ++host) {
    const Load& load = loads.at(host);
    if (load.vms == 0) continue;
    ++figures.hosts_on;
    figures.watts += watts(fleet.hosts[host], load.cpu);
    figures.memory += load.memory;
    figures.cpu += load.cpu;
    figures.overloaded += load.cpu > fleet.hosts[host].cpu ? 1 : 0;
    size += fleet.hosts[host].cpu;
  }
  if (size > 0) figures.cpu /= size;
  return figures;
}

double watts_of(const Fleet& fleet, const Loads& loads, HostIndex host) {
  return loads.at(host).vms == 0 ? 0 : watts(fleet.hosts[host], loads.at(host).cpu);
}

/// How many share each direction of each link.
struct Shares {
  std::vector<std::size_t> out;
  std::vector<std::size_t> in;
  Shares(const Fleet& fleet, const std::vector<Leg>& step)
      : out(fleet.hosts.size()), in(fleet.hosts.size()) {
    for (const Leg& leg : step) {
      ++out[leg.from];
      ++in[leg.to];
    }
  }
};

Move cost_move(const Fleet& fleet, const Leg& leg, const Shares& shares, std::size_t step) {
  const double rate =
      std::min(fleet.hosts[leg.from].link / static_cast<double>(shares.out[leg.from]),
               fleet.hosts[leg.to].link / static_cast<double>(shares.in[leg.to]));
  Move move;
  move.vm = leg.vm;
  move.from = leg.from;
  move.to = leg.to;
  move.step = step;
  move.mode = mode_for(fleet.vms[leg.vm], rate);
  move.cost = cost_of(fleet.vms[leg.vm], leg.to, move.mode, rate);
  return move;
}

}  // namespace

double Plan::bytes() const {
  return std::accumulate(moves.begin(), moves.end(), 0.0,
                         [](double sum, const Move& move) { return sum + move.cost.bytes; });
}

double Plan::joules() const {
  return std::accumulate(moves.begin(), moves.end(), 0.0,
                         [](double sum, const Move& move) { return sum + move.cost.joules; });
}

Plan make_plan(const Fleet& fleet, std::span<const HostIndex> targets) {
  Loads loads(fleet);
  Plan plan;
  plan.before = figures(fleet, loads);
  Order order = order_moves(fleet, targets);
  plan.stuck = std::move(order.stuck);
  for (std::size_t step = 0; step < order.steps.size(); ++step) {
    const Shares shares(fleet, order.steps[step]);
    double longest = 0;
    for (const Leg& leg : order.steps[step]) {
      Move move = cost_move(fleet, leg, shares, step + 1);
      move.saves_watts = watts_of(fleet, loads, leg.from) + watts_of(fleet, loads, leg.to);
      loads.add(leg.vm, leg.to);
      loads.remove(leg.vm, leg.from);
      move.saves_watts -= watts_of(fleet, loads, leg.from) + watts_of(fleet, loads, leg.to);
      longest = std::max(longest, move.cost.seconds);
      plan.moves.push_back(move);
    }
    plan.seconds += longest;
  }
  plan.after = figures(fleet, loads);
  return plan;
}

}  // namespace placement

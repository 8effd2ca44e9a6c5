#include "network.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <simgrid/s4u.hpp>

namespace study {

namespace s4u = simgrid::s4u;

namespace {

constexpr double kLatency = 50e-6;

/// SimGrid numbers hosts by name.
s4u::Host* host(placement::HostIndex index) { return s4u::Host::by_name(fmt::format("{}", index)); }

/// There is one engine in a process, and it wants a command line.
s4u::Engine& engine() {
  static int count = 7;
  static char name[] = "ferry-study";
  // A flow has what its share of the links gives it, whatever the round trip.
  static char model[] = "--cfg=network/model:CM02";
  static char window[] = "--cfg=network/TCP-gamma:0";
  static char stack[] = "--cfg=contexts/stack-size:64";
  static char guard[] = "--cfg=contexts/guard-size:0";
  static char quiet[] = "--log=root.thres:error";
  static char cross[] = "--cfg=network/crosstraffic:0";
  static char* words[] = {name, model, window, stack, guard, quiet, cross, nullptr};
  static s4u::Engine engine(&count, words);
  return engine;
}

}  // namespace

Network::Network(const std::vector<placement::Host>& hosts) {
  engine();
  auto* zone = s4u::create_star_zone("hosts");
  for (placement::HostIndex index = 0; index < hosts.size(); ++index) {
    auto* node = zone->create_host(fmt::format("{}", index), 1e9);
    auto* link = zone->create_split_duplex_link(fmt::format("link-{}", index), hosts[index].link)
                     ->set_latency(kLatency);
    const s4u::LinkInRoute up(dynamic_cast<s4u::SplitDuplexLink*>(link),
                              s4u::LinkInRoute::Direction::UP);
    zone->add_route(node->get_netpoint(), nullptr, nullptr, nullptr, {up}, true);
  }
  zone->seal();
}

void Network::run(std::function<void()> body) {
  s4u::Actor::create("operator", host(0), std::move(body));
  engine().run();
}

double Network::now() const { return s4u::Engine::get_clock(); }

void Network::sleep_until(double when) { s4u::this_actor::sleep_until(when); }

void Network::transfer(const std::vector<Transfer>& transfers,
                       const std::function<void(std::size_t)>& ended) {
  std::vector<s4u::ActorPtr> movers;
  for (std::size_t i = 0; i < transfers.size(); ++i) {
    movers.push_back(s4u::Actor::create("move", host(transfers[i].from), [&transfers, &ended, i] {
      const Transfer& move = transfers[i];
      s4u::this_actor::sleep_for(move.seconds);
      if (move.bytes > 0) {
        s4u::Comm::sendto(host(move.from), host(move.to), static_cast<std::uint64_t>(move.bytes));
      }
      ended(i);
    }));
  }
  for (const auto& mover : movers) mover->join();
}

}  // namespace study

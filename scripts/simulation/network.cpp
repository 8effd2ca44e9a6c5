#include "network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <simgrid/Exception.hpp>
#include <simgrid/s4u.hpp>
#include <utility>

namespace study {

namespace s4u = simgrid::s4u;

namespace {

constexpr double kLatency = 50e-6;
/// In place of no bytes per second, which a link cannot have.
constexpr double kNothing = 1e-3;

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

struct Network::UnderWay {
  s4u::Link* uplink = nullptr;
  std::vector<s4u::CommPtr> flows;
  const std::vector<Transfer>* transfers = nullptr;
  const Breaks* breaks = nullptr;
};

void Network::prepare() { engine(); }

Network::Network(const std::vector<placement::Host>& hosts, const Uplink& uplink, const Cut& cut)
    : cut_(cut), under_way_(std::make_unique<UnderWay>()) {
  engine();
  auto* zone = s4u::create_star_zone("hosts");
  if (uplink.hosts > 0) {
    under_way_->uplink =
        zone->create_link("uplink", uplink.bytes_per_second)->set_latency(kLatency);
  }
  for (placement::HostIndex index = 0; index < hosts.size(); ++index) {
    auto* node = zone->create_host(fmt::format("{}", index), 1e9);
    node->set_core_count(static_cast<int>(hosts[index].cpu / hosts[index].core));
    auto* link = zone->create_split_duplex_link(fmt::format("link-{}", index), hosts[index].link)
                     ->set_latency(kLatency);
    std::vector<s4u::LinkInRoute> route;
    route.emplace_back(dynamic_cast<s4u::SplitDuplexLink*>(link), s4u::LinkInRoute::Direction::UP);
    if (index < uplink.hosts) route.emplace_back(under_way_->uplink);
    zone->add_route(node->get_netpoint(), nullptr, nullptr, nullptr, route, true);
  }
  zone->seal();
}

Network::~Network() = default;

void Network::run(std::function<void()> body) {
  s4u::Actor::create("operator", host(0), std::move(body));
  if (cut_.seconds > 0) {
    s4u::Actor::create("cut", host(0), [this] { cut_uplink(); })->daemonize();
  }
  engine().run();
}

void Network::cut_uplink() {
  s4u::Link* uplink = under_way_->uplink;
  const double usual = uplink->get_bandwidth();
  s4u::this_actor::sleep_until(cut_.at);
  uplink->set_bandwidth(kNothing);
  s4u::this_actor::sleep_for(std::min(cut_.patience, cut_.seconds));
  for (std::size_t i = 0; i < under_way_->flows.size(); ++i) {
    const s4u::CommPtr flow = under_way_->flows[i];
    if (!flow) continue;
    const double share = 1 - flow->get_remaining() / (*under_way_->transfers)[i].bytes;
    if (*under_way_->breaks && (*under_way_->breaks)(i, share)) flow->cancel();
  }
  s4u::this_actor::sleep_until(cut_.at + cut_.seconds);
  uplink->set_bandwidth(usual);
}

double Network::now() const { return s4u::Engine::get_clock(); }

void Network::sleep_until(double when) { s4u::this_actor::sleep_until(when); }

void Network::transfer(const std::vector<Transfer>& transfers, const Ended& ended,
                       const Breaks& breaks) {
  under_way_->flows.assign(transfers.size(), nullptr);
  under_way_->transfers = &transfers;
  under_way_->breaks = &breaks;
  std::vector<s4u::ActorPtr> movers;
  for (std::size_t i = 0; i < transfers.size(); ++i) {
    movers.push_back(s4u::Actor::create("move", host(transfers[i].from), [&, i] {
      const Transfer& move = transfers[i];
      s4u::this_actor::sleep_for(move.seconds);
      if (move.bytes > 0) {
        s4u::CommPtr& flow = under_way_->flows[i];
        flow = s4u::Comm::sendto_async(host(move.from), host(move.to),
                                       static_cast<std::uint64_t>(move.bytes));
        try {
          flow->wait();
        } catch (const simgrid::NetworkFailureException&) {  // it was cancelled
          flow = nullptr;
          return;
        }
        flow = nullptr;
      }
      ended(i);
    }));
  }
  for (const auto& mover : movers) mover->join();
  under_way_->flows.clear();
}

}  // namespace study

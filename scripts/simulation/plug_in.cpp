#include "plug_in.hpp"

#include <fmt/format.h>
#include <simgrid/plugins/live_migration.h>
#include <simgrid/plugins/load.h>

#include <algorithm>
#include <map>
#include <simgrid/s4u.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "network.hpp"

namespace study {

namespace s4u = simgrid::s4u;

namespace {

/// So long guests compute, and write. Migrations that have not ended by then would not have ended.
constexpr double kDay = 86'400;
constexpr int kMiB = 1 << 20;

class PlugIn {
 public:
  PlugIn(std::size_t guests, bool at_once)
      : at_once_(at_once), count_(guests), network_(table1_hosts(guests)) {}

  Table1 run() {
    s4u::VirtualMachine::on_suspend_cb(
        [this](const s4u::VirtualMachine& guest) { stopped_[&guest] = network_.now(); });
    s4u::VirtualMachine::on_resume_cb([this](const s4u::VirtualMachine& guest) {
      result_.stop_seconds = std::max(result_.stop_seconds, network_.now() - stopped_[&guest]);
    });
    network_.run([this] {
      start_guests();
      leg("link-0_UP", there(), result_.there_bytes, result_.there_seconds);
      leg("link-0_DOWN", here(), result_.back_bytes, result_.back_seconds);
      for (s4u::VirtualMachine* guest : guests_) guest->destroy();
    });
    if (result_.there_seconds + result_.back_seconds > kDay) {
      throw std::runtime_error(
          "SimGrid's plug-in does not end: what the guests write stays too much");
    }
    return result_;
  }

 private:
  static s4u::Host* here() { return s4u::Host::by_name("0"); }
  static s4u::Host* there() { return s4u::Host::by_name("1"); }

  /// Each computes on a core of its own, and so writes at an even rate.
  void start_guests() {
    for (std::size_t i = 0; i < count_; ++i) {
      const std::string name = fmt::format("guest-{}", i);
      auto* guest =
          sg_vm_create_migratable(here(), name.c_str(), 1, kTable1GuestBytes / kMiB, 0, 0);
      sg_vm_set_migration_speed(guest, kTable1Link);
      sg_vm_set_dirty_page_intensity(guest, kTable1DirtyBytes / kTable1Link);
      guest->start();
      s4u::Actor::create(name, guest, [] {
        s4u::this_actor::execute(kDay * s4u::this_actor::get_host()->get_speed());
      })->daemonize();
      guests_.push_back(guest);
    }
  }

  void leg(const char* link, s4u::Host* to, double& bytes, double& seconds) {
    auto* way = s4u::Link::by_name(link);
    sg_link_load_track(way);
    sg_link_load_reset(way);
    const double start = network_.now();
    std::vector<s4u::ActorPtr> movers;
    for (s4u::VirtualMachine* guest : guests_) {
      movers.push_back(
          s4u::Actor::create("move", guest->get_pm(), [guest, to] { sg_vm_migrate(guest, to); }));
      if (!at_once_) movers.back()->join();
    }
    for (const auto& mover : movers) mover->join();
    seconds = network_.now() - start;
    bytes = sg_link_get_cum_load(way);
  }

  /// The plug-ins must be there before the links and the guests.
  struct Loaded {
    Loaded() {
      Network::prepare();
      sg_link_load_plugin_init();
      sg_vm_live_migration_plugin_init();
    }
  };

  const bool at_once_;
  const std::size_t count_;
  Loaded loaded_;
  Network network_;
  std::vector<s4u::VirtualMachine*> guests_;
  std::map<const s4u::VirtualMachine*, double> stopped_;  ///< when
  Table1 result_;
};

}  // namespace

Table1 table1_by_plug_in(std::size_t guests, bool at_once) { return PlugIn(guests, at_once).run(); }

}  // namespace study

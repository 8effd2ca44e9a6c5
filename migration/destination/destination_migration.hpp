#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "migration/base/address.hpp"
#include "migration/base/latency_histogram.hpp"
#include "migration/base/page_hash.hpp"
#include "migration/base/report.hpp"
#include "migration/base/token.hpp"
#include "migration/wire/decode.hpp"
#include "vmm/machine/machine.hpp"

namespace migration {

class ImageStore;

struct ReceiveOptions {
  Address listen;
  std::chrono::milliseconds timeout{10'000};  ///< a peer that makes no progress so long is lost
  /// Where images of VMs that left are, and RAM if it can hold it; null is none.
  std::shared_ptr<ImageStore> image_store = nullptr;
  /// Whether the dirty log runs for a VM whose source keeps the image: then its return there sends
  /// exactly what changed.
  bool tracking = true;
  /// RAM that comes as pages is put into a vmm::SharedRam.
  bool shared_memory = false;
};

/// Makes RAM. To be called last, when nothing else speaks against the machine: an image of the VM
/// is taken out of the store.
using MakeRam = std::function<vmm::GuestMemory(const vmm::MachineConfig&)>;
/// Builds the machine, with the devices that were opened for it. Throws to refuse: the message goes
/// to the source.
/// The first argument: bytes of RAM that the guest uses by now, which it will need here soon.
using BuildMachine = std::function<std::unique_ptr<vmm::Machine>(std::uint64_t, const MakeRam&)>;
/// Opens what of the host the machine that a config asks for needs. Throws to refuse, too. A disk
/// may hang: it runs in a thread that nobody waits for and that may outlive all. So it owns what it
/// uses, and tells by the second argument what it is about to open.
using MachineFactory =
    std::function<BuildMachine(vmm::MachineConfig, const std::function<void(std::string)>& opens)>;

/// The destination's side: listens, takes one VM, and goes on answering what became of it for as
/// long as it lives. In a thread of its own.
class DestinationMigration {
 public:
  /// A handover whose image the source keeps, and whose changes the dirty log has logged.
  struct KeptAtSource {
    Token token{};
    HashKey key{};  ///< of the hashes of that image
  };
  struct Failure {
    std::string why;
    bool protocol = false;    ///< the peer did not keep to the protocol
    bool permission = false;  ///< the system does not let this process listen there
  };
  /// Called from the receiver's thread.
  struct Callbacks {
    std::function<void(const Address&)> listening;    ///< with the real port; once
    std::function<void(const std::string&)> message;  ///< for people, for example a refused peer
    /// The machine that the factory made is gone again: its VM was refused after all, and another
    /// may be offered.
    std::function<void()> refused = [] {};
    /// The VM is here and runs (or is paused, as it was at the source). With the
    /// handover if the source keeps the image and the dirty log has run since.
    std::function<void(std::unique_ptr<vmm::Machine>, std::optional<KeptAtSource>)> arrived;
    /// There will be no VM: the source aborted, the link was lost before Prepared, or the name to
    /// listen on could not be looked up or listened on.
    std::function<void(const Failure&)> failed;
    /// Post-copy: the source has been away for long while pages are missing (true), or is back.
    std::function<void(bool)> waiting_for_source;
    /// The source keeps the image, and its keeper has just been connected: it knows nothing yet.
    std::function<void()> image_keeper_came = [] {};
    /// These pages the keeper has dropped: what becomes of them is of no interest any more.
    std::function<void(std::vector<vmm::PageRange>)> dropped = [](auto) {};
    /// Post-copy: no page is missing any more, and the machine needs its Userfault no longer.
    std::function<void()> complete;
    /// The source knows that the VM is here, whole: it may go on to another host.
    std::function<void()> settled = [] {};
  };

  /// Listens at once; std::system_error that names the address when it cannot. With a host's name
  /// it listens once that has been looked up, for which it takes a timeout at most.
  DestinationMigration(ReceiveOptions options, MachineFactory factory, Callbacks callbacks);
  /// Stops listening and joins. A VM that was prepared but not committed is dropped.
  ~DestinationMigration();
  DestinationMigration(const DestinationMigration&) = delete;
  DestinationMigration& operator=(const DestinationMigration&) = delete;

  /// `ferry resume --force`: the source is known to be dead, of a VM that waits for it, prepared,
  /// or that runs here without having been acknowledged. Empty, or why not. Any thread.
  [[nodiscard]] std::string force_resume();
  /// This process ends, and the guest with it: a source whose VM has not been taken over is told
  /// that it will not be. `done` is called from the receiver's thread once nothing is left to
  /// answer: three timeouts later where the source has not heard what became of its VM. Any thread.
  void decline(std::function<void()> done);
  /// Pages that the guest may have changed since it arrived, by the hashes that they have now: the
  /// keeper drops those that differ. Any thread.
  void tell_changed(std::vector<wire::Hashes> pages);
  /// Whether there is a keeper that hears of it.
  [[nodiscard]] bool image_keeper_listens() const;
  struct Status {
    std::string state;   ///< "listening", "receiving", "prepared", "running", "paused", "gone"
    std::string detail;  ///< who owns the VM and what to do: for people
    /// Post-copy: pages that the VM still lacks, and how long it waited for those that it touched.
    struct Fetching {
      std::uint64_t missing = 0;
      LatencyHistogram latencies;
      bool link_lost = false;  ///< to the source, which has them
      bool waits_for_room = false;
    };
    std::optional<Fetching> fetching = std::nullopt;
    /// The VM is here, whole, and its source has not acknowledged that: it must not go on yet.
    bool unheard = false;
    /// How the VM came, as its source has told.
    std::optional<MigrationReport> report = std::nullopt;
    /// With the real port; none before it listens.
    std::optional<Address> listening = std::nullopt;
    /// The VM that is on its way, and how much of it has come.
    struct Receiving {
      std::string id, name;
      std::uint32_t cpus = 0;
      std::uint64_t memory_bytes = 0;
      std::uint32_t round = 0;
      std::uint64_t pages = 0;  ///< that have landed; one that came twice counts twice
      std::uint64_t bytes = 0;  ///< that came with them
    };
    std::optional<Receiving> receiving = std::nullopt;
  };
  /// For `ferry info`. Any thread.
  [[nodiscard]] Status status() const;

 private:
  class Destination;
  std::unique_ptr<Destination> destination_;
};

}  // namespace migration

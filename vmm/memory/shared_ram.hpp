#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "vmm/memory/guest_address.hpp"
#include "vmm/os/unique_fd.hpp"

namespace vmm {

/// RAM that can be handed to another process of this host: a memfd that neither shrinks nor grows.
/// Behind RAM it has one page more, for a RamClaim.
class SharedRam {
 public:
  /// Makes it, of so many bytes of RAM. std::system_error when the host cannot give it.
  explicit SharedRam(std::uint64_t size);
  /// Takes what another process made. std::invalid_argument says what `file` lacks.
  SharedRam(UniqueFd file, std::uint64_t size);

  /// Gives the descriptor away.
  [[nodiscard]] UniqueFd release() { return std::move(file_); }

 private:
  UniqueFd file_;
};

/// Who may run the guest of a SharedRam. Two processes have that RAM from the moment in which it is
/// handed over until one lets it go, each with a state of its own, and whoever runs the guest makes
/// the state of the other worthless. So a side takes the claim before it runs the guest, and of a
/// handover one side alone gets it, whatever either has been told of the other.
class RamClaim {
 public:
  enum class Side : std::uint8_t { source = 1, destination = 2 };

  /// Of the memfd of a SharedRam with so many bytes of RAM, and of the handover that is open now.
  RamClaim(int file, std::uint64_t size);
  ~RamClaim();
  RamClaim(const RamClaim&) = delete;
  RamClaim& operator=(const RamClaim&) = delete;

  /// Opens a handover, the claim on which nobody has, and ends those before: by who runs the guest.
  void open();
  /// Whether `side` has it by this object, now or since before. Not for one of another process that
  /// takes itself for the same side.
  [[nodiscard]] bool take(Side side);
  /// `side` has not run the guest after all.
  void give_back(Side side);
  [[nodiscard]] bool is_of(Side side) const;

 private:
  [[nodiscard]] std::atomic_ref<std::uint64_t> word() const { return std::atomic_ref(*word_); }
  /// What the word is when `side` has it.
  [[nodiscard]] std::uint64_t held_by(Side side) const {
    return handover_ | static_cast<std::uint64_t>(side);
  }

  std::uint64_t* word_;         ///< the number of the handover, and in kSideBits who has it
  std::uint64_t handover_ = 0;  ///< in the same place
  bool mine_ = false;           ///< taken by this object
};

}  // namespace vmm

#pragma once

#include <cstdint>

#include "guest/cpu/memory_map.hpp"
#include "guest/cpu/processor.hpp"
#include "guest/io/command_line.hpp"
#include "guest/io/virtio.hpp"
#include "guest/workload/random.hpp"

namespace guest {

/// Memory of which blocks are in use or free by turns. When a virtio balloon asks, it names blocks
/// as free, and takes some of them back at the worst moments. What it has written to a block in use
/// must stay there, or the machine ends.
class Balloon {
 public:
  /// Fails the machine where there is no such device.
  Balloon(const Options& options, Processor& cpu, MemoryMap& memory);

  /// Uses some blocks and frees others, answers the device, and returns when to be called again.
  std::uint64_t step(std::uint64_t now);

  /// How often it was asked.
  std::uint64_t runs() const { return runs_; }
  /// Blocks that it has named, and those of them that it then took back before the run was over.
  std::uint64_t named() const { return named_; }
  std::uint64_t taken_back() const { return taken_back_; }

 private:
  static constexpr std::uint32_t kSlots = 8;

  struct Block {
    std::uint32_t stamp = 0;  // what was written; 0: it is free
    bool named = false;       // in this run
  };
  struct Words;

  void look_for_run();
  void go_on_with_run();
  void post_word(std::uint32_t slot, std::uint32_t& word);
  void name(std::uint32_t slot, std::uint64_t index);
  void change_one();
  void use(std::uint64_t index);
  void verify(std::uint64_t index) const;
  std::uint64_t* page(std::uint64_t index, std::uint64_t number) const;

  Virtio device_;
  std::uint64_t count_;
  std::uint64_t memory_;
  Block* blocks_;
  Words* words_;
  Random random_{0};
  std::uint32_t next_stamp_ = 0;
  std::uint64_t next_ = 0;  // of the blocks that are looked at in a run
  bool begun_ = false;      // the device was told that the run is answered
  bool over_ = true;
  std::uint64_t due_ = 0;
  std::uint64_t runs_ = 0;
  std::uint64_t named_ = 0;
  std::uint64_t taken_back_ = 0;
};

}  // namespace guest
